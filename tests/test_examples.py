"""The examples of CONTRIBUTING.md work, and each has less than 40 lines."""

import importlib.util
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from detectron2.data import DatasetCatalog
from detectron2.modeling import build_model

from zoomin_d2.data import build_interpolation_test_loader
from zoomin_d2.evaluation import METRICS, InterpolationEvaluator
from zoomin_d2.evaluation.extra_metrics import EXTRA_METRICS
from zoomin_d2.generators import GENERATORS
from zoomin_d2.inference.export import export

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.fixture
def run_example():
    """Execute examples/<name>.py as a module."""

    def run(name: str):
        spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return run


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("add_*.py")), ids=lambda p: p.stem)
def test_examples_are_short_and_named(path):
    assert len(path.read_text().splitlines()) < 40
    assert f"examples/{path.name}" in (EXAMPLES.parent / "CONTRIBUTING.md").read_text()


def test_dataset(run_example, small_cfg, tmp_path):
    (tmp_path / "park").mkdir()
    for k in range(4):
        picture = np.full((64, 64, 3), 10 * k, dtype=np.uint8)
        cv2.imwrite(str(tmp_path / f"park/{8 + k}.png"), picture)
    run_example("add_dataset").register(str(tmp_path))
    try:
        small_cfg.DATALOADER.NUM_WORKERS = 0
        samples = [batch[0] for batch in build_interpolation_test_loader(small_cfg, "my_frames")]
        assert [x["file_name"] for x in samples] == ["my_frames/park/0", "my_frames/park/1"]
        assert samples[1]["frame_t"].unique().tolist() == [20]
    finally:
        DatasetCatalog.remove("my_frames")


def test_training_with_code_of_your_own(run_example, monkeypatch):
    module = run_example("train_with_my_dataset")
    monkeypatch.setattr(module.train_net, "main", lambda args: "my_frames" in DatasetCatalog.list())
    try:
        assert module.main(None)
    finally:
        DatasetCatalog.remove("my_frames")


def test_generator(run_example, small_cfg, make_batch, tmp_path):
    if "tiny" not in GENERATORS:
        run_example("add_generator")
    small_cfg.MODEL.GENERATOR.NAME = "tiny"
    model = build_model(small_cfg)
    losses = model(make_batch(2, 64, 64))
    sum(losses.values()).backward()
    assert all(p.grad.abs().sum() > 0 for p in model.generator.parameters())
    export(model.generator, "torchscript", tmp_path / "tiny.pt")
    inputs = (*torch.rand(2, 1, 3, 5, 7), torch.tensor([0.3]))
    made = torch.jit.load(tmp_path / "tiny.pt")(*inputs)
    torch.testing.assert_close(made, model.generator(*inputs).pred_frame)


def test_metric(run_example, tmp_path):
    before = dict(METRICS), dict(EXTRA_METRICS)
    try:
        run_example("add_metric")
        evaluator = InterpolationEvaluator("toy", extra_metrics=["max_error"])
        truth = torch.full((3, 32, 32), 100, dtype=torch.uint8)
        pred = truth.clone()
        pred[1, 5, 6] = 130
        evaluator.process([{"file_name": "a", "frame_t": truth}], [{"pred_frame": pred / 255}])
        assert evaluator.evaluate()["interpolation"]["max_error"] == 30
    finally:
        for current, old in zip((METRICS, EXTRA_METRICS), before):
            current.clear()
            current.update(old)


def test_loss(run_example, small_cfg, make_batch):
    module = run_example("add_loss")
    frame = torch.zeros(1, 3, 5, 5)
    frame[..., 2, 2] = 1.0
    # |-4| once and |1| four times, of the nine places that a 3 x 3 kernel has in 5 x 5.
    assert module.laplacian_loss(frame, torch.zeros_like(frame)).item() == pytest.approx(8 / 9)
    small_cfg.MODEL.META_ARCHITECTURE = "LaplacianInterpolator"
    small_cfg.MODEL.LOSS_WEIGHTS.LAPLACIAN = 1.0
    losses = build_model(small_cfg)(make_batch(1, 64, 64))
    small_cfg.MODEL.META_ARCHITECTURE = "FrameInterpolator"
    usual = build_model(small_cfg)(make_batch(1, 64, 64))
    assert losses.keys() - usual.keys() == {"loss_edges"} and losses["loss_edges"] > 0
