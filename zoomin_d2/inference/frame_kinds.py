"""A user's frame in, a tensor for the network out; and a result of the same kind back.

These are accepted:

    numpy (H, W, 3) RGB, (H, W) or (H, W, 1) gray
        uint8; uint16 with the full range 0..65535; float16, 32, 64 in [0, 1]. Any strides and byte
        order, also read-only. Gray frames go through the network as three equal colors and come
        back as their mean. Float arrays come back as float32.
    torch (N, 3, H, W) RGB, on any device
        float16, bfloat16, float32, float64 in [0, 1], or uint8; they come back in their dtype on
        the device they came from.

Everything else is refused, with advice: alpha (RGBA), other integers, HWC tensors, values outside
[0, 1] (not checked on a GPU, where the check would wait for it).
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

_ARRAY_DTYPES = ("uint8", "uint16", "float16", "float32", "float64")
_TENSOR_DTYPES = (torch.uint8, torch.float16, torch.bfloat16, torch.float32, torch.float64)
_SLACK = 1.01  # floats slightly above 1, as from resizing, do not mean another range


class FrameKind(NamedTuple):
    """What a frame was before it became a tensor."""

    is_array: bool
    shape: tuple[int, ...]
    dtype: np.dtype | torch.dtype
    device: torch.device | None = None

    @property
    def is_8bit(self) -> bool:
        """Whether values are whole numbers 0..255."""
        return self.dtype in (np.dtype("uint8"), torch.uint8)


def to_tensor(frame: np.ndarray | Tensor, name: str = "the frame") -> tuple[Tensor, FrameKind]:
    """A frame as (N, 3, H, W), uint8 or float in [0, 1], on its device; copies no 8-bit array.

    Args:
        name: for error messages.

    Raises:
        TypeError: it is neither an array nor a tensor, or its dtype does not imply a range.
        ValueError: its shape or values are not among those listed at the top of this module.
    """
    if isinstance(frame, np.ndarray):
        return _from_array(frame, name)
    if isinstance(frame, Tensor):
        return _from_tensor(frame, name)
    raise TypeError(
        f"{name} is a {type(frame).__name__}: give a numpy array (H, W, 3) or a tensor "
        "(N, 3, H, W) (for a PIL image: numpy.asarray(image.convert('RGB')))"
    )


def from_tensor(pred_frame: Tensor, kind: FrameKind) -> np.ndarray | Tensor:
    """A result (N, 3, H, W), uint8 if `kind.is_8bit` and else float in [0, 1], as that kind."""
    if isinstance(kind.dtype, torch.dtype):
        return pred_frame.to(kind.device, kind.dtype)
    pred = pred_frame[0].permute(1, 2, 0)
    if len(kind.shape) == 2 or kind.shape[2] == 1:
        pred = pred.float().mean(dim=2)
        pred = (pred + 0.5).to(torch.uint8) if kind.is_8bit else pred
    pixels = pred.cpu().contiguous().numpy().reshape(kind.shape)
    if kind.dtype == np.dtype("uint16"):
        return (pixels.clip(0, 1) * np.float64(65535) + 0.5).astype(np.uint16)
    return pixels


def check_pair(first: FrameKind, second: FrameKind) -> None:
    """Raises ValueError unless two frames are of one kind, shape, dtype and device."""
    if first != second:
        raise ValueError(
            f"frame_1 and frame_2 differ: {_describe(first)} and {_describe(second)}; both must "
            "have the same kind and size"
        )


def _from_array(frame: np.ndarray, name: str) -> tuple[Tensor, FrameKind]:
    # A plain array of this machine's byte order: TIFF and PNG files hold the other one.
    frame = np.asarray(frame, frame.dtype.newbyteorder("="))
    if frame.dtype.name not in _ARRAY_DTYPES:
        raise TypeError(
            f"{name} has the dtype {frame.dtype}, whose range is unknown: give uint8, uint16 "
            "(0..65535) or floats in [0, 1]"
        )
    if frame.ndim == 3 and frame.shape[2] == 4:
        raise ValueError(
            f"{name} has 4 channels {frame.shape}: alpha is not interpolated. Give frame[..., :3], "
            "or composite it onto a background first"
        )
    gray = frame.ndim == 2 or (frame.ndim == 3 and frame.shape[2] == 1)
    if not gray and not (frame.ndim == 3 and frame.shape[2] == 3):
        hint = " (transpose CHW arrays)" if frame.ndim == 3 and frame.shape[0] == 3 else ""
        hint = hint or (" (give one frame, not a batch)" if frame.ndim == 4 else "")
        raise ValueError(f"{name} has the shape {frame.shape}, not (H, W, 3) or (H, W){hint}")
    if 0 in frame.shape:
        raise ValueError(f"{name} has the shape {frame.shape}: it has no pixels")
    kind = FrameKind(True, frame.shape, frame.dtype)
    pixels = frame.reshape(*frame.shape[:2], -1)
    if frame.dtype == np.uint16:
        pixels = pixels.astype(np.float32) / np.float32(65535)
    elif frame.dtype != np.uint8:
        pixels = pixels.astype(np.float32)
        _check_range(float(pixels.min()), float(pixels.max()), name)
    # torch supports neither negative strides nor read-only memory.
    pixels = np.require(pixels, requirements=["C", "W"])
    tensor = torch.from_numpy(pixels).permute(2, 0, 1)[None]
    return (tensor.expand(-1, 3, -1, -1) if gray else tensor), kind


def _from_tensor(frame: Tensor, name: str) -> tuple[Tensor, FrameKind]:
    if frame.dtype not in _TENSOR_DTYPES:
        raise TypeError(
            f"{name} has the dtype {frame.dtype}: give a float tensor in [0, 1] or uint8"
        )
    if frame.dim() != 4 or frame.shape[1] != 3:
        hint = "; add a batch dimension with frame[None]" if frame.dim() == 3 else ""
        if frame.dim() in (3, 4) and frame.shape[-1] == 3 != frame.shape[-3]:
            order = "2, 0, 1)[None]" if frame.dim() == 3 else "0, 3, 1, 2)"
            hint = f"; put the channels first with frame.permute({order}"
        raise ValueError(f"{name} has the shape {tuple(frame.shape)}, not (N, 3, H, W){hint}")
    if frame.numel() == 0:
        raise ValueError(f"{name} has the shape {tuple(frame.shape)}: it has no pixels")
    frame = frame.detach()
    if frame.is_floating_point() and frame.device.type == "cpu":
        low, high = frame.aminmax()
        _check_range(float(low), float(high), name)
    return frame, FrameKind(False, tuple(frame.shape), frame.dtype, frame.device)


def _check_range(low: float, high: float, name: str) -> None:
    if not (low >= 1 - _SLACK and high <= _SLACK):  # also for nan
        raise ValueError(
            f"{name} holds floats from {low:g} to {high:g}; floats must lie in [0, 1] (divide "
            "0..255 by 255)"
        )


def _describe(kind: FrameKind) -> str:
    where = "array" if kind.is_array else f"tensor on {kind.device}"
    return f"{kind.dtype} {where} of shape {kind.shape}"
