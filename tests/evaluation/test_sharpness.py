"""zoomin_d2.evaluation.sharpness on gradients worked out by hand."""

import math

import pytest
import torch

from zoomin_d2.evaluation.sharpness import sharpness


def _ramp(step_x, step_y=0, height=6, width=8):
    """Grey levels that grow by whole steps per pixel."""
    levels = torch.arange(width) * step_x + torch.arange(height)[:, None] * step_y
    return levels.to(torch.uint8).expand(1, 3, -1, -1)


def test_ratio_of_gradient_lengths():
    ratio, inside = sharpness(_ramp(3, 4), _ramp(10))  # length 5 against 10
    assert ratio.tolist() == pytest.approx([0.5])
    assert inside is None
    assert sharpness(_ramp(10), _ramp(10))[0].tolist() == [1]


def test_luma_weighs_green_most():
    truth = _ramp(10)
    green_only = truth.clone()
    green_only[:, [0, 2]] = 0
    assert sharpness(green_only, truth)[0].item() == pytest.approx(0.587)


def test_inside_boxes_flat_truth_and_no_box():
    truth, pred = _ramp(10).clone(), _ramp(10).clone()
    pred[..., :4] = 0  # the left is flat, then a step of 40
    truth, pred = truth.expand(3, -1, -1, -1), pred.expand(3, -1, -1, -1)
    left, right = torch.tensor([[0.0, 0.0, 3.0, 6.0]]), torch.tensor([[4.0, 0.0, 8.0, 6.0]])
    _, inside = sharpness(pred, truth, [left, torch.cat((right, right)), torch.zeros(0, 4)])
    assert inside[:2].tolist() == [0, 1]
    assert math.isnan(inside[2])
    assert math.isnan(sharpness(_ramp(1), _ramp(0))[0])


def test_blurring_lowers_it():
    truth = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    blurred = torch.nn.functional.avg_pool2d(truth, 3, 1, 1)
    assert sharpness(blurred, truth)[0] < 0.5
    with pytest.raises(ValueError, match="two equal batches"):
        sharpness(truth, truth[..., 1:])
