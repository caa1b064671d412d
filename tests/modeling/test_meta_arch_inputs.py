"""Odd batches for FrameInterpolator and odd frames for its evaluator: a result, or why not."""

import pytest
import torch
from detectron2.modeling import build_model

from zoomin_d2.evaluation import InterpolationEvaluator


@pytest.fixture
def model(small_cfg):
    torch.manual_seed(0)
    small_cfg.TEST.ROI_METRICS = False
    return build_model(small_cfg).eval()


@pytest.mark.parametrize("size", [(1, 1), (17, 33), (2, 5)])
def test_any_size_is_finite_and_scored(model, make_batch, size):
    batch = make_batch(2, *size)
    results = model(batch)
    assert all(x["pred_frame"].shape == (3, *size) for x in results)
    assert all(x["pred_frame"].isfinite().all() for x in results)
    evaluator = InterpolationEvaluator("odd")
    if min(size) < 11:  # the window of SSIM
        with pytest.raises(ValueError, match=r"'random/0' cannot be scored.*at least 11 x 11"):
            evaluator.process(batch, results)
        return
    evaluator.process(batch, results)
    assert evaluator.evaluate()["interpolation"]["PSNR"] > 0


def test_memory_layout_does_not_matter(model, make_batch):
    batch = make_batch(1, 20, 24)
    plain = model(batch)[0]["pred_frame"]
    for key in ("frame_1", "frame_2"):
        batch[0][key] = batch[0][key].permute(1, 2, 0).contiguous().permute(2, 0, 1)
        assert not batch[0][key].is_contiguous()
    assert torch.equal(model(batch)[0]["pred_frame"], plain)


@pytest.mark.parametrize(
    "change, error, message",
    [
        ({"frame_1": torch.zeros(3, 20, 24, dtype=torch.int32)}, TypeError, "got torch.int32"),
        ({"frame_1": torch.zeros(3, 20, 24, dtype=torch.bool)}, TypeError, "got torch.bool"),
        ({"t": 0.0}, ValueError, "between 0 and 1"),
        ({"t": 1.5}, ValueError, "between 0 and 1"),
        ({"t": float("nan")}, ValueError, "between 0 and 1"),
    ],
)
def test_what_is_no_frame_is_named(model, make_batch, change, error, message):
    batch = make_batch(1, 20, 24)
    batch[0].update(change)
    with pytest.raises(error, match=message):
        model(batch)


def test_different_sizes_are_named(model, make_batch):
    with pytest.raises(ValueError, match="one size per batch"):
        model(make_batch(1, 20, 24) + make_batch(1, 20, 25))
    with pytest.raises(ValueError, match="got no samples"):
        model([])


def test_bytes_and_floats_are_not_mixed(model, make_batch):
    batch = make_batch(2, 20, 24)
    batch[1]["frame_1"] = batch[1]["frame_1"] / 255  # stacked, the bytes would stay 0..255
    with pytest.raises(TypeError, match=r"'frame_1' must have one dtype.*float32.*uint8"):
        model(batch)


def test_nan_in_a_frame_is_named(model, make_batch):
    batch = make_batch(1, 20, 24)
    batch[0]["frame_1"] = torch.full((3, 20, 24), float("nan"))
    with pytest.raises(FloatingPointError, match="random/0"):
        InterpolationEvaluator("odd").process(batch, model(batch))
