"""Detectron2's own classes with our configs and "zoo:" names: they work, or say why not."""

import numpy as np
import pytest
import torch
from detectron2.checkpoint import DetectionCheckpointer
from detectron2.engine import DefaultPredictor, DefaultTrainer
from detectron2.evaluation import inference_on_dataset
from detectron2.modeling import build_model
from detectron2.solver.build import GradientClipType

from tests.helpers.training_runs import REPOSITORY
from zoomin_d2 import get_zoomin_cfg
from zoomin_d2.data.batching import WorkerLoader
from zoomin_d2.evaluation import InterpolationEvaluator
from zoomin_d2.model_zoo.generator_file import load_generator


@pytest.fixture
def fast_cfg():
    cfg = get_zoomin_cfg()
    cfg.merge_from_file(str(REPOSITORY / "configs/fast/baseline.yaml"))
    cfg.MODEL.DEVICE = "cpu"
    cfg.MODEL.WEIGHTS = "zoo:fast"
    cfg.MODEL.FROZEN_RPN.WEIGHTS = ""
    cfg.TEST.ROI_METRICS = False
    cfg.DATALOADER.NUM_WORKERS = 0
    return cfg


def _has_weights_of_fast(model) -> bool:
    found, expected = model.generator.state_dict(), load_generator("fast").generator.state_dict()
    return all(torch.equal(found[name], value) for name, value in expected.items())


def test_detection_checkpointer(fast_cfg, tmp_path):
    model = build_model(fast_cfg)
    DetectionCheckpointer(model, str(tmp_path)).load("zoo:fast")
    assert _has_weights_of_fast(model)
    DetectionCheckpointer(model, str(tmp_path)).save("a")  # its own format, as before
    again = build_model(fast_cfg)
    DetectionCheckpointer(again).load(str(tmp_path / "a.pth"))
    assert _has_weights_of_fast(again)


def test_default_predictor_says_what_to_use(fast_cfg):
    predictor = DefaultPredictor(fast_cfg)
    assert _has_weights_of_fast(predictor.model)
    with pytest.raises(ValueError, match=r"no 'frame_1'.* zoomin_d2\.Interpolator"):
        predictor(np.zeros((32, 32, 3), np.uint8))


def test_default_trainer_says_what_to_use(fast_cfg):
    with pytest.raises(ValueError, match=r"zoomin_d2\.engine\.InterpolationTrainer"):
        DefaultTrainer(fast_cfg)
    assert GradientClipType("norm") is GradientClipType.NORM
    with pytest.raises(ValueError, match="'other' is not a valid GradientClipType"):
        GradientClipType("other")


def test_inference_on_dataset(fast_cfg):
    triplet = [torch.full((3, 32, 32), value, dtype=torch.uint8) for value in (90, 100, 110)]
    sample = dict(zip(("frame_1", "frame_t", "frame_2"), triplet), t=0.5, file_name="a")
    loader = WorkerLoader([[sample]])
    results = inference_on_dataset(build_model(fast_cfg), loader, InterpolationEvaluator("tiny"))
    assert results["interpolation"].keys() >= {"PSNR", "SSIM"}
