"""zoomin_d2.evaluation.extra_metrics: asked for by name, in the evaluator's table and json."""

import json
import logging

import pytest
import torch
from detectron2.structures import Boxes, Instances

from zoomin_d2.evaluation import InterpolationEvaluator, extra_metrics, lpips
from zoomin_d2.evaluation.extra_metrics import EXTRA_METRICS, usable_extra_metrics
from zoomin_d2.evaluation.results import METRICS


def _sample(name="a"):
    generator = torch.Generator().manual_seed(0)
    truth = torch.randint(0, 256, (3, 40, 48), dtype=torch.uint8, generator=generator)
    boxes = Instances((40, 48), proposal_boxes=Boxes(torch.tensor([[4.0, 4.0, 30.0, 30.0]])))
    return {"file_name": name, "frame_t": truth}, {"pred_frame": truth / 255, "proposals": boxes}


def test_every_name_has_a_meaning():
    for name in EXTRA_METRICS:
        assert {name, f"ROI_{name}"} <= METRICS.keys()


def test_columns_in_the_evaluator(tmp_path, monkeypatch):
    def stand_in(pred, truth, boxes):  # the real one needs its weights
        difference = (pred - truth / 255).abs().mean(dim=(1, 2, 3))
        return difference, None if boxes is None else difference + 1

    monkeypatch.setitem(EXTRA_METRICS, "LPIPS", stand_in)
    monkeypatch.setattr(extra_metrics, "find_lpips_weights", lambda: None)
    evaluator = InterpolationEvaluator("x", tmp_path, extra_metrics=["sharpness", "LPIPS"])
    sample, output = _sample()
    evaluator.process([sample], [output])
    results = evaluator.evaluate()["interpolation"]
    assert results["sharpness"] == results["ROI_sharpness"] == 1
    assert results["LPIPS"] == pytest.approx(0, abs=1e-6)
    assert results["ROI_LPIPS"] == pytest.approx(1)
    written = json.loads((tmp_path / "results.json").read_text())
    assert written["conventions"]["LPIPS"].startswith("LPIPS 0.1, AlexNet")
    plain = InterpolationEvaluator("x")
    plain.process([sample], [output])
    assert "sharpness" not in plain.evaluate()["interpolation"]


def test_without_weights_one_line_says_so(monkeypatch, tmp_path, caplog):
    monkeypatch.setenv(lpips.ENVIRONMENT_VARIABLE, str(tmp_path / "none"))
    with caplog.at_level(logging.WARNING):
        assert usable_extra_metrics(["LPIPS", "sharpness"]) == ["sharpness"]
    (record,) = caplog.records
    assert "Skipping LPIPS" in record.message and "make lpips" in record.message


@pytest.mark.parametrize("with_roi", [False, True])
def test_a_number_without_a_meaning(monkeypatch, with_roi):
    monkeypatch.setitem(EXTRA_METRICS, "mine", lambda pred, truth, boxes: (1.5, pred.mean()))
    if with_roi:
        monkeypatch.setitem(METRICS, "mine", METRICS["sharpness"])
    evaluator = InterpolationEvaluator("x", extra_metrics=["mine"])
    with pytest.raises(ValueError, match=f"'{'ROI_mine' if with_roi else 'mine'}' has no entry"):
        evaluator.process(*([x] for x in _sample()))


def test_unknown_names():
    with pytest.raises(ValueError, match=r"'SSIMULACRA'.*sharpness, LPIPS"):
        usable_extra_metrics(["SSIMULACRA"])
