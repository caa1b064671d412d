"""Equations 5 to 11 with numbers worked by hand."""

import math

import pytest
import torch

from zoomin_d2.modeling.losses import (
    EPSILON,
    charbonnier,
    hinge_d_losses,
    hinge_g_loss,
    laplacian_loss,
    mean_over_valid,
    perceptual_loss,
    photometric_loss,
    psnr_loss,
    smoothness_loss,
)


def test_charbonnier_is_eq_6():
    # sqrt(3^2 + 4^2) = 5; at zero it is epsilon.
    assert charbonnier(torch.tensor(3.0), epsilon=4.0).item() == pytest.approx(5)
    assert charbonnier(torch.tensor(0.0)).item() == pytest.approx(EPSILON)


def test_photometric_loss_by_hand():
    # The difference is the 2 x 2 image [[0.3, 0], [0, 0]] in each channel. Color: one of four
    # values. x gradients -0.3 and 0: one of two. y gradients -0.3 and 0: one of two.
    pred, target = torch.zeros(1, 3, 2, 2), torch.zeros(1, 3, 2, 2)
    pred[..., 0, 0] = 0.3
    big, small = math.hypot(0.3, 1e-3), 1e-3
    expected = (big + 3 * small) / 4 + (big + small) / 2 + (big + small) / 2
    assert photometric_loss(pred, target).item() == pytest.approx(expected, rel=1e-5)


def test_gradient_terms_ignore_an_offset():
    offset = photometric_loss(torch.full((1, 3, 4, 4), 0.75), torch.full((1, 3, 4, 4), 0.25))
    assert offset.item() == pytest.approx(math.hypot(0.5, 1e-3) + 2e-3, rel=1e-5)


def test_psnr_loss_is_the_mean_of_frames():
    target = torch.zeros(3, 3, 4, 4)
    frame = target + torch.tensor([0.1, 0.01, 0.0]).view(3, 1, 1, 1)
    expected = -(-10 * math.log10(0.01001) - 10 * math.log10(0.00011) + 50) / 3
    assert psnr_loss(frame, target).item() == pytest.approx(expected, rel=1e-5)
    frame.requires_grad_()
    psnr_loss(frame, target).backward()
    assert frame.grad.isfinite().all()


def test_laplacian_loss_of_one_pixel():
    # Along one axis the smaller picture has 1, 6, 1 sixteenths, and doubled again
    # 1, 4, 12, 28, 38, 28, 12, 4, 1 of 128: the finest level is the pixel minus that, in two
    # dimensions. What remains sums to a quarter and counts twice.
    target = torch.zeros(2, 3, 16, 16)
    frame = target.clone()
    frame[..., 8, 8] = 1
    peak = (38 / 128) ** 2
    expected = (2 * (1 - peak) + 2 / 4) / 256
    assert laplacian_loss(frame, target, levels=2).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("size", [(32, 32), (64, 48)])
def test_laplacian_loss_of_an_offset(size):
    # A constant is in no level but the last: 16 times a 256th of the values.
    frame = torch.full((1, 3, *size), 0.25)
    assert laplacian_loss(frame, torch.zeros_like(frame)).item() == pytest.approx(0.25 / 16)


@pytest.mark.parametrize("size", [(1, 1), (7, 33)])
def test_laplacian_loss_of_any_size(size):
    frame = torch.rand(1, 3, *size, requires_grad=True)
    laplacian_loss(frame, torch.zeros(1, 3, *size)).backward()
    assert frame.grad.isfinite().all() and frame.grad.abs().sum() > 0


def test_perceptual_loss_averages_levels():
    features = {"p2": torch.zeros(1, 2, 4, 4), "p3": torch.zeros(1, 2, 2, 2)}
    target = {"p2": torch.full((1, 2, 4, 4), 1.0), "p3": torch.full((1, 2, 2, 2), -3.0)}
    assert perceptual_loss(features, target).item() == pytest.approx(2)
    with pytest.raises(ValueError, match="differ"):
        perceptual_loss(features, {"p2": target["p2"]})


def test_smoothness_of_a_ramp_is_its_slope():
    # flow dx = 2 per pixel to the right, dy constant: x gradients (2 + 0) / 2, y gradients 0.
    flow = torch.zeros(1, 2, 3, 4)
    flow[:, 0] = torch.arange(4.0) * 2
    mask = torch.full((1, 1, 3, 4), 0.5)
    assert smoothness_loss(flow, flow, mask).item() == pytest.approx(2)


def test_hinge_losses_are_eq_9_and_10():
    # Two images with two slots each; the second image has one valid slot.
    logits_real = torch.tensor([[0.5, 2.0], [-1.0, 99.0]])
    logits_fake = torch.tensor([[-3.0, 0.0], [0.5, 99.0]])
    valid = torch.tensor([[True, True], [True, False]])
    loss_real, loss_fake = hinge_d_losses(logits_real, logits_fake, valid)
    # real: relu(1 - D): image 1 (0.5 + 0) / 2, image 2 (2) -> mean 1.125
    assert loss_real.item() == pytest.approx(1.125)
    # fake: relu(1 + D): image 1 (0 + 1) / 2, image 2 (1.5) -> mean 1.0
    assert loss_fake.item() == pytest.approx(1.0)
    # generator: -D: image 1 (3 + 0) / 2, image 2 (-0.5) -> mean 0.5
    assert hinge_g_loss(logits_fake, valid).item() == pytest.approx(0.5)


def test_better_fakes_move_both_losses():
    valid = torch.ones(1, 1, dtype=torch.bool)
    worse, better = torch.tensor([[-0.5]]), torch.tensor([[0.5]])
    assert hinge_g_loss(better, valid) < hinge_g_loss(worse, valid)
    assert hinge_d_losses(worse, better, valid)[1] > hinge_d_losses(worse, worse, valid)[1]


def test_padding_slots_do_not_change_a_mean():
    values = torch.randn(3, 4)
    valid = torch.tensor([[1, 1, 0, 0], [1, 1, 1, 1], [1, 0, 0, 0]], dtype=torch.bool)
    padded = torch.cat((values, torch.full((3, 5), math.nan)), dim=1)
    padded_valid = torch.cat((valid, torch.zeros(3, 5, dtype=torch.bool)), dim=1)
    assert mean_over_valid(padded, padded_valid) == mean_over_valid(values, valid)


def test_no_valid_slot_gives_zero():
    values = torch.randn(2, 3, requires_grad=True)
    loss = mean_over_valid(values, torch.zeros(2, 3, dtype=torch.bool))
    loss.backward()
    assert loss.item() == 0
    assert values.grad.abs().sum() == 0
