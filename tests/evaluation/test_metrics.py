"""Metrics against numbers worked out by hand and against a direct sum in numpy."""

import math

import numpy as np
import pytest
import torch

from zoomin_d2.evaluation import metrics


@pytest.fixture
def two_by_two():
    """Differences 3 (red, top left), 4 (green, top right) and 12 (blue, bottom right)."""
    truth = torch.full((1, 3, 2, 2), 100, dtype=torch.uint8)
    pred = truth.clone()
    pred[0, 0, 0, 0] += 3
    pred[0, 1, 0, 1] -= 4
    pred[0, 2, 1, 1] += 12
    return pred, truth


def test_constant_offset_of_ten():
    truth = torch.full((1, 3, 16, 16), 100, dtype=torch.uint8)
    pred = truth + 10
    # MSE = 100: 10 log10(65025 / 100).
    assert metrics.psnr(pred, truth).item() == pytest.approx(28.1308, abs=1e-4)
    assert metrics.ie(pred, truth).item() == pytest.approx(10.0)
    assert metrics.mae(pred, truth).item() == pytest.approx(10.0)
    # Without variance only the luminance term is left: C1 = (0.01 * 255)^2 = 6.5025.
    expected = (2 * 100 * 110 + 6.5025) / (100**2 + 110**2 + 6.5025)
    assert metrics.ssim(pred, truth).item() == pytest.approx(expected, abs=1e-4)
    assert metrics.ssim_rgb(pred, truth).item() == pytest.approx(expected, abs=1e-4)


def test_two_by_two_image(two_by_two):
    # Squares 9 + 16 + 144 = 169 and absolute values 3 + 4 + 12 = 19 over 12 values.
    assert metrics.ie(*two_by_two).item() == pytest.approx(math.sqrt(169 / 12))
    assert metrics.mae(*two_by_two).item() == pytest.approx(19 / 12)
    assert metrics.psnr(*two_by_two).item() == pytest.approx(10 * math.log10(65025 * 12 / 169))


def test_masked_numbers_by_dvf_formula(two_by_two):
    mask = torch.tensor([[[True, False], [False, True]]])
    # Set: (9 + 144) / (3 * 2) = 25.5; not set: 16 / (3 * 2).
    psnr = metrics.psnr(*two_by_two, mask).item()
    assert psnr == pytest.approx(10 * math.log10(65025 / 25.5), abs=1e-4)
    complement = metrics.psnr(*two_by_two, ~mask).item()
    assert complement == pytest.approx(10 * math.log10(65025 * 6 / 16), abs=1e-4)
    assert metrics.ie(*two_by_two, mask).item() == pytest.approx(math.sqrt(25.5))
    assert metrics.mae(*two_by_two, mask).item() == pytest.approx(15 / 6)


def test_overlapping_boxes_count_once(two_by_two):
    top_row = torch.tensor([[0.0, 0.0, 2.0, 1.0], [0.0, 0.0, 1.0, 1.0]])
    # The union is the top row: (9 + 16) / (3 * 2).
    psnr = metrics.roi_psnr(*two_by_two, [top_row]).item()
    assert psnr == pytest.approx(10 * math.log10(65025 * 6 / 25), abs=1e-4)
    assert metrics.roi_ie(*two_by_two, [top_row]).item() == pytest.approx(math.sqrt(25 / 6))


def test_no_rois_no_roi_numbers(two_by_two):
    assert math.isnan(metrics.roi_psnr(*two_by_two, [torch.zeros(0, 4)]).item())
    assert math.isnan(metrics.roi_ie(*two_by_two, [torch.zeros(0, 4)]).item())


def test_pixel_is_in_a_box_by_its_center():
    boxes = torch.tensor([[0.6, 0.0, 2.4, 1.0], [2.5, 1.0, 9.0, 9.0]])
    expected = torch.tensor([[False, True, False, False], [False, False, True, True]])
    assert torch.equal(metrics.boxes_to_mask(boxes, height=2, width=4), expected)


def test_identical_frames():
    frames = torch.randint(0, 256, (2, 3, 20, 24), dtype=torch.uint8)
    assert metrics.psnr(frames, frames).tolist() == [math.inf, math.inf]
    assert metrics.ie(frames, frames).tolist() == [0.0, 0.0]
    assert metrics.ssim(frames, frames).tolist() == pytest.approx([1.0, 1.0])
    assert metrics.ssim_rgb(frames, frames).tolist() == pytest.approx([1.0, 1.0])


def test_empty_mask_is_undefined(two_by_two):
    assert math.isnan(metrics.psnr(*two_by_two, torch.zeros(1, 2, 2, dtype=torch.bool)).item())


def test_floats_are_rounded_half_up():
    values = torch.tensor([-0.2, 0.49 / 255, 0.5 / 255, 10.4 / 255, 1.0, 1.3])
    assert metrics.to_8bit(values).tolist() == [0, 0, 1, 10, 255, 255]


def test_same_score_from_memory_and_disk():
    truth = torch.randint(0, 256, (1, 3, 16, 16), dtype=torch.uint8)
    pred = torch.rand(1, 3, 16, 16)
    for metric in (metrics.psnr, metrics.ie, metrics.mae, metrics.ssim, metrics.ssim_rgb):
        assert torch.equal(metric(pred, truth), metric(metrics.to_8bit(pred), truth / 255))


def test_images_of_a_batch_do_not_mix():
    pred, truth = torch.randint(0, 256, (2, 3, 3, 16, 18), dtype=torch.uint8)
    for metric in (metrics.psnr, metrics.ie, metrics.mae, metrics.ssim, metrics.ssim_rgb):
        alone = torch.cat([metric(pred[i : i + 1], truth[i : i + 1]) for i in range(3)])
        torch.testing.assert_close(metric(pred, truth), alone)


def _gaussian() -> np.ndarray:
    taps = np.exp(-((np.arange(11) - 5) ** 2) / (2 * 1.5**2))
    return taps / taps.sum()


def _ssim_of_windows(first: np.ndarray, second: np.ndarray, window: np.ndarray) -> float:
    """Mean SSIM over all positions of a window in two volumes, every sum written out."""
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    values = []
    for corner in np.ndindex(*(s - w + 1 for s, w in zip(first.shape, window.shape))):
        region = tuple(slice(c, c + w) for c, w in zip(corner, window.shape))
        a, b = first[region], second[region]
        mean_a, mean_b = (window * a).sum(), (window * b).sum()
        var_a, var_b = (window * (a - mean_a) ** 2).sum(), (window * (b - mean_b) ** 2).sum()
        cov = (window * (a - mean_a) * (b - mean_b)).sum()
        luminance = (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
        values.append(luminance * (2 * cov + c2) / (var_a + var_b + c2))
    return float(np.mean(values))


@pytest.fixture
def noisy_pair():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 256, (3, 14, 13))
    pred = np.clip(truth + rng.integers(-40, 41, truth.shape), 0, 255)
    return pred, truth


def _batch(volume: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(volume.astype(np.uint8))[None]


def test_ssim_is_a_3d_window(noisy_pair):
    taps = _gaussian()
    window = taps[:, None, None] * taps[None, :, None] * taps[None, None, :]
    pred, truth = (np.pad(x.astype(float), 5, mode="edge") for x in noisy_pair)
    expected = _ssim_of_windows(pred, truth, window)
    value = metrics.ssim(*(_batch(x) for x in noisy_pair)).item()
    assert value == pytest.approx(expected, abs=1e-5)


def test_ssim_rgb_is_a_2d_window(noisy_pair):
    taps = _gaussian()
    window = (taps[:, None] * taps[None, :])[None]
    expected = _ssim_of_windows(*(x.astype(float) for x in noisy_pair), window)
    value = metrics.ssim_rgb(*(_batch(x) for x in noisy_pair)).item()
    assert value == pytest.approx(expected, abs=1e-5)


def test_bad_input_says_what_is_wrong():
    frames = torch.zeros(1, 3, 8, 8)
    with pytest.raises(ValueError, match=r"\(1, 3, 8, 8\).*\(1, 3, 8, 9\)"):
        metrics.psnr(frames, torch.zeros(1, 3, 8, 9))
    with pytest.raises(ValueError, match="must be RGB"):
        metrics.psnr(frames[:, :1], frames[:, :1])
    with pytest.raises(TypeError, match="int64"):
        metrics.psnr(frames.long(), frames.long())
    with pytest.raises(ValueError, match="mask must be bool"):
        metrics.psnr(frames, frames, torch.ones(1, 8, 8))
    with pytest.raises(ValueError, match="at least 11 x 11"):
        metrics.ssim_rgb(frames, frames)
    with pytest.raises(ValueError, match="2 lists of boxes"):
        metrics.roi_psnr(frames, frames, [torch.zeros(0, 4)] * 2)
    with pytest.raises(ValueError, match=r"\(R, 4\)"):
        metrics.boxes_to_mask(torch.zeros(4), 8, 8)
