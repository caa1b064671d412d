"""Frames in, one number per image out: PSNR, SSIM, IE, MAE, each in one stated convention.

All functions take `pred` and `truth` as RGB (N, 3, H, W), uint8 or float in [0, 1], and return
(N,) float32. Floats are first clamped and rounded to the 8-bit values that a file would hold, so
that a frame scores the same from memory and from disk. Means over images are taken in
`results.py`, never here.

Shape shorthand:
    N: images; H, W: height and width in pixels; R: boxes of one image.
"""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from zoomin_d2.frames import to_8bit

PEAK = 255.0  # the largest 8-bit value; every metric works on 0..255

# Floats slightly outside [0, 1] do not imply another range: a truth may have been resized, and a
# network's output may not be clamped.
TRUTH_SLACK = 0.01
PRED_SLACK = 0.5

_WINDOW_SIZE = 11  # pixels, side of the SSIM window
_WINDOW_SIGMA = 1.5  # pixels
_C1 = (0.01 * PEAK) ** 2
_C2 = (0.03 * PEAK) ** 2


def psnr(pred: Tensor, truth: Tensor, mask: Tensor | None = None) -> Tensor:
    """PSNR in dB of the 8-bit rounded RGB frame: 10 log10(255^2 / MSE over all 3HW values).

    With `mask` (N, H, W) bool it is DVF's masked PSNR (eval_voxelflow.m): the MSE is
    sum(mask * d^2) / (3 * sum(mask)); pass `~mask` for its complement.

    Returns:
        (N,); inf where the frames are identical, nan where the mask is empty.
    """
    return 10.0 * torch.log10(PEAK**2 / _mean_over_pixels(_difference(pred, truth) ** 2, mask))


def ie(pred: Tensor, truth: Tensor, mask: Tensor | None = None) -> Tensor:
    """Interpolation error: root of the mean squared difference over all RGB values, 0..255.

    (Baker et al. take the L2 norm over RGB first, which is sqrt(3) larger; RIFE's and IFRNet's
    "IE" is `mae` below.) With `mask` (N, H, W) bool, only its pixels count; nan if it is empty.
    """
    return _mean_over_pixels(_difference(pred, truth) ** 2, mask).sqrt()


def mae(pred: Tensor, truth: Tensor, mask: Tensor | None = None) -> Tensor:
    """Mean absolute difference over all RGB values, 0..255 ("IE" in RIFE, IFRNet and EMA-VFI).

    With `mask` (N, H, W) bool, only its pixels count; nan if it is empty.
    """
    return _mean_over_pixels(_difference(pred, truth).abs(), mask)


def ssim(pred: Tensor, truth: Tensor) -> Tensor:
    """SSIM with a 3-D Gaussian over the RGB volume: `ssim_matlab` of CAIN, RIFE, IFRNet and AMT.

    The 11 x 11 x 11 window (sigma 1.5) runs over x, y *and* color, all replicate-padded, so that
    colors are mixed and the value is higher than that of `ssim_rgb`.
    """
    first, second = _paired_8bit(pred, truth)
    taps = _gaussian_taps(first)
    mix = _color_mixing(taps)

    def blur(x: Tensor) -> Tensor:
        x = torch.einsum("cd,ndhw->nchw", mix, x)
        return _blur(F.pad(x, (_WINDOW_SIZE // 2,) * 4, mode="replicate"), taps)

    return _ssim_map(first, second, blur).mean(dim=(1, 2, 3))


def ssim_rgb(pred: Tensor, truth: Tensor) -> Tensor:
    """SSIM of Wang et al. 2004 per color channel, then averaged: 11 x 11 Gaussian, sigma 1.5.

    Only windows that lie inside the frame count (no padding), with population covariances: what
    skimage gives for `gaussian_weights=True, sigma=1.5, use_sample_covariance=False`.

    Raises:
        ValueError: a side of the frame is smaller than the window of 11 pixels.
    """
    first, second = _paired_8bit(pred, truth)
    if min(first.shape[-2:]) < _WINDOW_SIZE:
        raise ValueError(
            f"SSIM_rgb needs frames of at least {_WINDOW_SIZE} x {_WINDOW_SIZE} pixels, "
            f"got {first.shape[-2]} x {first.shape[-1]}"
        )
    taps = _gaussian_taps(first)
    return _ssim_map(first, second, lambda x: _blur(x, taps)).mean(dim=(1, 2, 3))


def roi_psnr(pred: Tensor, truth: Tensor, boxes: Sequence[Tensor]) -> Tensor:
    """PSNR in dB of the pixels in at least one ROI of their image (the union).

    It is the union, not a mean over ROIs: overlapping proposals then count a pixel once, a large
    ROI weighs by its area, and tiny flat ROIs cannot send the number to infinity.

    Args:
        boxes: for each image (R, 4) XYXY in absolute pixels; see `boxes_to_mask`.

    Returns:
        (N,); nan for an image without ROIs, inf where all ROI pixels are identical.
    """
    return psnr(pred, truth, mask=_roi_masks(truth, boxes))


def roi_ie(pred: Tensor, truth: Tensor, boxes: Sequence[Tensor]) -> Tensor:
    """`ie` of the pixels in at least one ROI of their image; see `roi_psnr`."""
    return ie(pred, truth, mask=_roi_masks(truth, boxes))


def score_image(
    pred: Tensor, truth: Tensor, mask: Tensor | None = None, boxes: Tensor | None = None
) -> dict[str, float]:
    """All numbers of one image, under their names in `results.METRICS`.

    Args:
        pred, truth: (3, H, W).
        mask: (H, W) bool; gives PSNR_masked and PSNR_unmasked.
        boxes: (R, 4) XYXY in absolute pixels, or a mask (`boxes_to_mask`); gives ROI_PSNR, ROI_IE.

    Raises:
        ValueError: a frame has no pixels or is not in [0, 1] (see `check_range`), or sizes differ.
    """
    check_range("true", truth, TRUTH_SLACK)
    check_range("predicted", pred, PRED_SLACK)
    pred, truth = pred[None], truth[None].to(pred.device)
    scores = {
        "PSNR": psnr(pred, truth),
        "SSIM": ssim(pred, truth),
        "IE": ie(pred, truth),
        "MAE": mae(pred, truth),
        "SSIM_rgb": ssim_rgb(pred, truth),
    }
    if mask is not None:
        _check_size("mask", mask, *truth.shape[-2:])
        mask = mask[None].to(pred.device)
        scores["PSNR_masked"] = psnr(pred, truth, mask)
        scores["PSNR_unmasked"] = psnr(pred, truth, ~mask)
    if boxes is not None:
        scores["ROI_PSNR"] = roi_psnr(pred, truth, [boxes])
        scores["ROI_IE"] = roi_ie(pred, truth, [boxes])
    # One transfer from the device instead of one per number.
    return dict(zip(scores, torch.cat(list(scores.values())).tolist()))


def check_range(kind: str, frame: Tensor, slack: float) -> None:
    """Raises ValueError if a frame has no pixels, or floats outside [0, 1] by over ``slack``."""
    if frame.numel() == 0:
        raise ValueError(f"its {kind} frame has no pixels")
    if frame.is_floating_point():
        low, high = (x.item() for x in frame.aminmax())
        if not (low >= -slack and high <= 1 + slack):  # nan is in no range
            raise ValueError(
                f"its {kind} frame has values from {low:g} to {high:g}; floats must be in [0, 1] "
                "(divide by 255)"
            )


def boxes_to_mask(boxes: Tensor, height: int, width: int) -> Tensor:
    """The union of boxes as a mask: True where a pixel's center (x + 0.5, y + 0.5) is in a box.

    Args:
        boxes: (R, 4) XYXY in absolute pixels, Detectron2's continuous coordinates; or already a
            mask, (height, width) bool, which is returned (objects that are given by their masks).

    Returns:
        (height, width) bool on the boxes' device; all False for R = 0.
    """
    if boxes.dtype == torch.bool:
        _check_size("mask of the ROIs", boxes, height, width)
        return boxes
    if boxes.dim() != 2 or boxes.shape[1] != 4:
        raise ValueError(f"boxes must be (R, 4) XYXY, got {tuple(boxes.shape)}")
    x = torch.arange(width, device=boxes.device) + 0.5
    y = torch.arange(height, device=boxes.device) + 0.5
    in_columns = (x >= boxes[:, 0:1]) & (x < boxes[:, 2:3])  # (R, W)
    in_rows = (y >= boxes[:, 1:2]) & (y < boxes[:, 3:4])  # (R, H)
    return (in_rows[:, :, None] & in_columns[:, None, :]).any(dim=0)


def _check_size(name: str, mask: Tensor, height: int, width: int) -> None:
    if mask.shape != (height, width):
        raise ValueError(f"the {name} is {tuple(mask.shape)}, the frame {(height, width)} (H, W)")


def _roi_masks(truth: Tensor, boxes: Sequence[Tensor]) -> Tensor:
    if len(boxes) != truth.shape[0]:
        raise ValueError(f"got {len(boxes)} lists of boxes for {truth.shape[0]} images")
    return torch.stack([boxes_to_mask(b.to(truth.device), *truth.shape[-2:]) for b in boxes])


def _paired_8bit(pred: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    """Both as float32 with whole values 0..255, after checking that they can be compared."""
    if pred.shape != truth.shape:
        raise ValueError(
            f"the predicted frames have shape {tuple(pred.shape)}, the true ones "
            f"{tuple(truth.shape)}; they must be equal"
        )
    if pred.dim() != 4 or pred.shape[1] != 3:
        raise ValueError(f"frames must be RGB (N, 3, H, W), got {tuple(pred.shape)}")
    return to_8bit(pred).float(), to_8bit(truth).float()


def _difference(pred: Tensor, truth: Tensor) -> Tensor:
    first, second = _paired_8bit(pred, truth)
    return first - second


def _mean_over_pixels(values: Tensor, mask: Tensor | None) -> Tensor:
    """(N, 3, H, W) -> (N,): mean over all values, or over the colors of the mask's pixels."""
    if mask is None:
        return values.mean(dim=(1, 2, 3))
    if mask.dtype != torch.bool or mask.shape != values[:, 0].shape:
        raise ValueError(
            f"the mask must be bool with shape {tuple(values[:, 0].shape)} (N, H, W), "
            f"got {mask.dtype} {tuple(mask.shape)}"
        )
    values = values.mean(dim=1) * mask
    return values.sum(dim=(1, 2)) / mask.sum(dim=(1, 2))  # 0 / 0 = nan for an empty mask


def _gaussian_taps(like: Tensor) -> Tensor:
    x = torch.arange(_WINDOW_SIZE, device=like.device, dtype=like.dtype) - _WINDOW_SIZE // 2
    taps = torch.exp(-(x**2) / (2 * _WINDOW_SIGMA**2))
    return taps / taps.sum()


def _color_mixing(taps: Tensor) -> Tensor:
    """The window along the three replicate-padded colors as an equivalent 3 x 3 matrix.

    Output color c is the sum over taps k of taps[k] * color[clamp(c + k - 5, 0, 2)].
    """
    mix = taps.new_zeros(3, 3)
    offsets = torch.arange(_WINDOW_SIZE, device=taps.device) - _WINDOW_SIZE // 2
    for color in range(3):
        mix[color].index_add_(0, (color + offsets).clamp(0, 2), taps)
    return mix


def _blur(x: Tensor, taps: Tensor) -> Tensor:
    """Separable Gaussian without padding: (N, C, H, W) -> (N, C, H - 10, W - 10)."""
    # Images are folded into the channels of one depthwise convolution: 10 times faster on a CPU.
    folded = x.flatten(0, 1).unsqueeze(0)
    planes = folded.shape[1]
    rows = taps.view(1, 1, -1, 1).expand(planes, 1, -1, 1)
    columns = taps.view(1, 1, 1, -1).expand(planes, 1, 1, -1)
    folded = F.conv2d(F.conv2d(folded, rows, groups=planes), columns, groups=planes)
    return folded.squeeze(0).unflatten(0, x.shape[:2])


def _ssim_map(first: Tensor, second: Tensor, blur: Callable[[Tensor], Tensor]) -> Tensor:
    """SSIM of every window, from local means, variances and the covariance that `blur` gives."""
    moments = blur(torch.cat([first, second, first**2, second**2, first * second]))
    mean_1, mean_2, square_1, square_2, product = moments.chunk(5)
    variances = square_1 - mean_1**2 + square_2 - mean_2**2
    covariance = product - mean_1 * mean_2
    luminance = (2 * mean_1 * mean_2 + _C1) / (mean_1**2 + mean_2**2 + _C1)
    return luminance * (2 * covariance + _C2) / (variances + _C2)
