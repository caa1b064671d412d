"""4:2:0 video to a device and back as its planes: half the bytes of RGB, and no core converts."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from av.video.reformatter import Colorspace
from torch import Tensor

from zoomin_d2.layers import yuv
from zoomin_d2.video.read.color import ColorPath
from zoomin_d2.video.read.planes import Planes, to_picture
from zoomin_d2.video.time.pixels import Pixels


class _Layout(NamedTuple):
    """Bits of a sample, its step in the file's integers, and whether u and v share a plane."""

    bits: int
    step: int = 1
    semi_planar: bool = False


# by FFmpeg's name of the pixel format
_LAYOUTS = {
    "yuv420p": _Layout(8),
    "yuv420p10le": _Layout(10),
    "nv12": _Layout(8, semi_planar=True),
    "p010le": _Layout(10, 64, semi_planar=True),
}
_MATRICES = {
    Colorspace.ITU709: "bt709",
    Colorspace.ITU601: "bt601",
    Colorspace.FCC: "fcc",
    Colorspace.SMPTE240M: "smpte240m",
    Colorspace.BT2020: "bt2020",
}
# White of 16 bits, limited and full range, as swscale has it: other frames of a video pass through
# swscale, and must look the same.
_DEEP_WHITE = (65280 / 65535, 65472 / 65535)


def is_convertible(pix_fmt: str | None, height: int, width: int) -> bool:
    """Whether this module converts frames of FFmpeg's pixel format and of this size."""
    return pix_fmt in _LAYOUTS and height % 2 == width % 2 == 0


def to_rgb(planes: Planes, color: ColorPath, upload: Callable[[Tensor], Tensor]) -> Tensor:
    """(1, 3, H, W) float32 RGB in [0, 1], on the device to which `upload` copies."""
    layout = _LAYOUTS[planes.pix_fmt]
    y, *chroma = (_widened(upload(_narrow(array))) for array in planes.arrays)
    u, v = (chroma[0][:, 0::2], chroma[0][:, 1::2]) if layout.semi_planar else chroma
    samples = [x[None, None] // layout.step for x in (y, u, v)]
    return yuv.planes_to_rgb(yuv.Planes(*samples), _kind(color, layout))


def from_rgb(frames: list[Tensor], color: ColorPath, pix_fmt: str) -> list[Tensor]:
    """(1, 3, H, W) RGB in [0, 1] -> their planes (rows, columns), those of a frame together, as
    `to_pixels` takes them."""
    layout = _LAYOUTS[pix_fmt]
    found: list[Tensor] = []
    for frame in frames:
        y, u, v = (x[0, 0] for x in yuv.rgb_to_planes(frame, _kind(color, layout)))
        planes = [y, torch.stack((u, v), 2).flatten(1)] if layout.semi_planar else [y, u, v]
        dtype = torch.uint8 if layout.bits == 8 else torch.int16
        found += [(x * layout.step).to(dtype) for x in planes]
    return found


def to_pixels(samples: list[Tensor], color: ColorPath, pix_fmt: str) -> list[Pixels]:
    """What `from_rgb` made, on the CPU, as frames."""
    arrays = [x.cpu().numpy() for x in samples]
    arrays = [x.view(np.uint16) if x.dtype == np.int16 else x for x in arrays]
    number = 2 if _LAYOUTS[pix_fmt].semi_planar else 3
    every = [arrays[k : k + number] for k in range(0, len(arrays), number)]
    planes = [Planes(pix_fmt, x, color.full_range) for x in every]
    return [Pixels(partial(_in_rgb, x, color), x) for x in planes]


def _narrow(array: np.ndarray) -> Tensor:
    """uint8, or uint16 as int16: PyTorch does little with uint16 on a GPU."""
    return torch.from_numpy(array.view(np.int16) if array.dtype == np.uint16 else array)


def _widened(samples: Tensor) -> Tensor:
    """What `_narrow` made, on any device, as int32."""
    wide = samples.to(torch.int32)
    return wide & 0xFFFF if samples.dtype == torch.int16 else wide


def _in_rgb(planes: Planes, color: ColorPath) -> np.ndarray:
    return color.to_rgb(to_picture(planes))


def _kind(color: ColorPath, layout: _Layout) -> yuv.YUVFormat:
    white = _DEEP_WHITE[color.full_range] if color.deep else 1.0
    return yuv.YUVFormat(_MATRICES[color.matrix], color.full_range, layout.bits, white)
