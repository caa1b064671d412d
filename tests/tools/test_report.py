"""tools/report.py and the page that train_net leaves, on results of the evaluator."""

import argparse
import json
from pathlib import Path

import numpy as np
import pytest
import report
import torch
import train_net
from detectron2.config import CfgNode

from zoomin_d2.evaluation import InterpolationEvaluator
from zoomin_d2.visualization.report.saved import read_maps


@pytest.fixture
def make_results(tmp_path):
    def make(folder: str, offset: int) -> str:
        evaluator = InterpolationEvaluator("toy", tmp_path / folder / "toy", num_saved=1)
        frame = torch.full((3, 64, 64), 100, dtype=torch.uint8)
        sample = {"file_name": "a", "frame_1": frame, "frame_t": frame, "frame_2": frame}
        evaluator.process([sample], [{"pred_frame": (frame + offset) / 255}])
        evaluator.evaluate()
        return str(tmp_path / folder)

    return make


def test_one_page_of_several_folders(make_results, tmp_path, capsys):
    sources = [make_results("first", 2), f"mine={make_results('second', 9)}"]
    args = report.make_parser().parse_args(
        [*sources, "--output", str(tmp_path / "page"), "--title", "Ours"]
    )
    page = report.main(args)
    text = page.read_text()
    assert "<title>Ours</title>" in text
    assert '"methods": ["first", "mine"]' in text
    assert "2 methods on toy" in capsys.readouterr().out


@pytest.mark.parametrize("change", [{"provenance": None}, {"saved_frames": [1]}, {"images": 3}])
def test_damaged_results(make_results, tmp_path, change):
    file = Path(make_results("run", 2)) / "toy/results.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with pytest.raises(ValueError, match=r"results\.json is not the result of an evaluation"):
        report.main(report.make_parser().parse_args([str(tmp_path / "run")]))


def test_damaged_maps(tmp_path):
    np.savez_compressed(tmp_path / "maps.npz", flow=np.zeros((2, 8, 8)))
    whole = (tmp_path / "maps.npz").read_bytes()
    for content in (whole[: len(whole) // 2], b"no maps", whole[:60] + bytes(40) + whole[100:]):
        (tmp_path / "maps.npz").write_bytes(content)
        with pytest.raises(ValueError, match=r"maps\.npz cannot be read .*: evaluate again"):
            read_maps(tmp_path)


def test_train_net_leaves_the_page(make_results, tmp_path):
    cfg = CfgNode({"OUTPUT_DIR": str(tmp_path / "run"), "DATASETS": {"TEST": ("toy",)}})
    make_results("run/inference", 3)
    other = tmp_path / "run/inference/other/results.json"  # of an earlier run, in the same folder
    other.parent.mkdir()
    content = json.loads((tmp_path / "run/inference/toy/results.json").read_text())
    other.write_text(json.dumps(content | {"dataset": "other"}))
    train_net.report(cfg)
    page = (tmp_path / "run/report/index.html").read_text()
    assert '"methods": ["run"]' in page and "other" not in page


@pytest.mark.parametrize("eval_only", [False, True])
def test_page_after_training_or_evaluation(make_results, tmp_path, monkeypatch, eval_only):
    cfg = CfgNode({"OUTPUT_DIR": str(tmp_path / "run"), "DATASETS": {"TEST": ("toy",)}})

    class Trainer:
        def __init__(self, cfg):
            pass

        def resume_or_load(self, resume):
            pass

        def train(self):
            make_results("run/inference", 3)
            return None  # as Detectron2's, without TEST.EXPECTED_RESULTS

        @classmethod
        def evaluate(cls, cfg, resume):
            make_results("run/inference", 3)
            return {"interpolation": {"PSNR": 38.0}}

    monkeypatch.setattr(train_net, "setup_run", lambda args: cfg)
    monkeypatch.setattr(train_net, "InterpolationTrainer", Trainer)
    train_net.main(argparse.Namespace(eval_only=eval_only, resume=False))
    assert (tmp_path / "run/report/index.html").is_file()


def test_a_page_that_fails_is_only_a_warning(tmp_path, caplog):
    train_net.report(CfgNode({"OUTPUT_DIR": str(tmp_path), "DATASETS": {"TEST": ("toy",)}}))
    assert "Could not write the report page: there is no results.json" in caplog.text
