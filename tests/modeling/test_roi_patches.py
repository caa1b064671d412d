"""Zooming into boxes: positions, high-resolution partners, padding, gradients."""

import pytest
import torch
from detectron2.structures import Boxes, Instances

from zoomin_d2.modeling.roi_patches import (
    clamp_straight_through,
    crop_real_patches,
    crop_roi_patches,
    pad_proposals,
    scale_boxes,
    valid_slots,
)


def _instances(*boxes):
    instances = Instances((32, 32))
    instances.proposal_boxes = Boxes(torch.tensor(boxes, dtype=torch.float32).view(-1, 4))
    instances.objectness_logits = torch.arange(len(boxes), 0.0, -1)
    return instances


def test_box_of_patch_size_is_unchanged():
    frame = torch.rand(1, 3, 32, 32)
    boxes = torch.tensor([[[4.0, 6, 12, 14]]])
    assert torch.allclose(crop_roi_patches(frame, boxes, 8)[0], frame[0, :, 6:14, 4:12], atol=1e-6)


def test_large_box_is_averaged():
    # Columns alternate 0 and 1: every 2nd pixel would be all 0 or all 1, the average is a half.
    frame = (torch.arange(32) % 2).float().expand(1, 3, 32, 32)
    patch = crop_roi_patches(frame, torch.tensor([[[0.0, 0, 32, 32]]]), 8)
    assert torch.allclose(patch, torch.full_like(patch, 0.5), atol=1e-6)


def test_hr_patch_shows_the_same_region():
    # A ramp sampled at pixel centres at two resolutions: the patches agree where the box is.
    def ramp(size):
        return ((torch.arange(size) + 0.5) / size).expand(3, size, size)

    boxes = torch.tensor([[[8.0, 8, 24, 24]], [[8.0, 8, 24, 24]]])
    low = torch.stack((ramp(32), ramp(32)))
    real = crop_real_patches(low, [None, ramp(128)], [1, 4], boxes, 16)
    assert real.shape == (2, 3, 16, 16)
    assert torch.allclose(real[0], real[1], atol=1e-5)
    assert torch.allclose(real[0], crop_roi_patches(low, boxes, 16)[0])


def test_bytes_partner_of_float_frame():
    low = torch.full((2, 3, 32, 32), 0.2)
    boxes = torch.tensor([[[8.0, 8, 24, 24]], [[8.0, 8, 24, 24]]])
    partner = torch.full((3, 32, 32), 51, dtype=torch.uint8)  # 0.2, too
    real = crop_real_patches(low, [partner, None], [1, 1], boxes, 16)
    assert torch.allclose(real, torch.full_like(real, 0.2))


def test_hr_patch_has_more_detail():
    high = (torch.arange(128) % 2).float().expand(3, 128, 128)  # vanishes in the 4 x 4 average
    low = torch.nn.functional.avg_pool2d(high, 4)
    boxes = torch.tensor([[[8.0, 8, 16, 16]], [[8.0, 8, 16, 16]]])
    real = crop_real_patches(torch.stack((low, low)), [None, high], [1, 4], boxes, 32)
    assert real[0].std() < 1e-3
    assert real[1].std() > 0.4


def test_padding_counts_the_valid_boxes():
    boxes, num_valid = pad_proposals(
        [_instances([0, 0, 16, 16], [1, 1, 20, 20], [2, 2, 30, 30]), _instances()], num=2
    )
    assert boxes.shape == (2, 2, 4)
    assert num_valid.tolist() == [2, 0]
    assert boxes[1].abs().sum() == 0
    assert valid_slots(num_valid, 2).tolist() == [[True, True], [False, False]]


def test_gradient_stays_inside_the_box():
    frame = torch.rand(1, 3, 32, 32, requires_grad=True)
    crop_roi_patches(frame, torch.tensor([[[8.0, 8, 16, 16]]]), 8).sum().backward()
    touched = frame.grad.abs().sum(dim=(0, 1)) > 0
    assert touched[8:16, 8:16].all()
    assert not touched[:7].any() and not touched[18:].any()


def test_the_gradient_passes_the_clamp():
    values = torch.tensor([-3.0, -0.004, 0.25, 1.0, 1.004, 7.0], requires_grad=True)
    clamped = clamp_straight_through(values)
    assert clamped.tolist() == [0, 0, 0.25, 1, 1, 1]
    (clamped * torch.arange(6.0)).sum().backward()
    assert values.grad.tolist() == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("shape", [(3, 64, 64), (3, 256, 256), (3, 128, 124)])
def test_a_partner_of_another_size_is_named(shape):
    boxes = torch.tensor([[[0.0, 0.0, 8.0, 8.0]]])
    with pytest.raises(ValueError, match=r"frame_t_hr is \(3, \d+, \d+\): .* \(3, 128, 128\)"):
        crop_real_patches(torch.zeros(1, 3, 32, 32), [torch.zeros(shape)], [4], boxes, 16)


def test_native_boxes_stay_in_the_frame():
    boxes = torch.tensor([[[10.0, 10, 30, 20], [0, 0, 10, 10], [90, 40, 100, 50]]])
    both = scale_boxes(boxes, ["zoomed", "native"], 16, (50, 100))
    assert torch.equal(both[:, :3], boxes)
    assert both[0, 3:].tolist() == [[12, 7, 28, 23], [0, 0, 16, 16], [84, 34, 100, 50]]


def test_native_boxes_of_a_small_frame():
    boxes = torch.tensor([[[2.0, 2, 8, 6]]])
    assert scale_boxes(boxes, ["native"], 16, (10, 40))[0].tolist() == [[0, 0, 16, 10]]
