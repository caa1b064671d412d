"""Is a frame as sharp as the true one? The mean length of its gradient, over the truth's.

A network trained only on distances averages over possible positions where it is unsure, which
flattens gradients: values are below 1. A value above 1 is sharper than the truth, for example
because of noise. The number does not show whether the detail is right; read it beside LPIPS and
PSNR.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from zoomin_d2.evaluation.metrics import boxes_to_mask
from zoomin_d2.frames import to_8bit


def sharpness(
    pred: Tensor, truth: Tensor, boxes: Sequence[Tensor] | None = None
) -> tuple[Tensor, Tensor | None]:
    """Mean gradient magnitude of the prediction divided by the truth's, 1 = as sharp.

    The gradient is that of forward differences in x and y of the 8-bit luma (BT.601: 0.299 R +
    0.587 G + 0.114 B); its length is averaged over all pixels that have a right and a lower
    neighbor.

    Args:
        pred, truth: (N, 3, H, W) RGB, uint8 or float in [0, 1], at least 2 x 2.
        boxes: for each image (R, 4) XYXY in absolute pixels.

    Returns:
        (N,) over whole frames; and with boxes (N,), over the pixels in at least one box.
        nan if there is no box or the truth is flat there.
    """
    if pred.shape != truth.shape or pred.dim() != 4 or pred.shape[1] != 3:
        raise ValueError(
            f"sharpness needs two equal batches (N, 3, H, W), got {tuple(pred.shape)} and "
            f"{tuple(truth.shape)}"
        )
    ours, theirs = _gradient_length(pred), _gradient_length(truth.to(pred.device))
    whole = _ratio(ours.sum(dim=(1, 2)), theirs.sum(dim=(1, 2)))
    if boxes is None:
        return whole, None
    height, width = pred.shape[-2:]
    masks = torch.stack([boxes_to_mask(b.to(pred.device), height, width) for b in boxes])
    masks = masks[:, :-1, :-1]
    return whole, _ratio((ours * masks).sum(dim=(1, 2)), (theirs * masks).sum(dim=(1, 2)))


def _gradient_length(frames: Tensor) -> Tensor:
    """(N, 3, H, W) -> (N, H - 1, W - 1), 8-bit steps per pixel."""
    weights = torch.tensor([0.299, 0.587, 0.114], device=frames.device).view(1, 3, 1, 1)
    luma = (to_8bit(frames).float() * weights).sum(dim=1)
    dx = luma[:, :-1, 1:] - luma[:, :-1, :-1]
    dy = luma[:, 1:, :-1] - luma[:, :-1, :-1]
    return (dx**2 + dy**2).sqrt()


def _ratio(pred: Tensor, truth: Tensor) -> Tensor:
    return torch.where(truth > 0, pred / truth, torch.nan)
