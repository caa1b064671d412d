"""Planes of 4:2:0 video in, RGB out, and back: the color conversion of a video, on any device.

A plane holds the samples of one component as the codec has them: half the bytes of RGB go to the
device, and no CPU core converts them. The rules are those of swscale with bicubic chroma (0, 0.6)
and exact rounding, which the rest of the package uses: chroma lies between its four pixels, borders
are repeated. Results differ from it by at most one level.

Shape shorthand: N frames; H, W: even height and width of luma.
"""

from functools import lru_cache
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

_C = 0.6  # swscale's bicubic: B = 0, C = 0.6

# Kr, Kb of ITU-T H.273, by name of the matrix
MATRICES = {
    "bt709": (0.2126, 0.0722),
    "bt601": (0.299, 0.114),
    "fcc": (0.30, 0.11),
    "smpte240m": (0.212, 0.087),
    "bt2020": (0.2627, 0.0593),
}


class YUVFormat(NamedTuple):
    """What the samples mean: a name in MATRICES, the range, the bits of a sample (8 to 16), and the
    RGB of white, at most 1."""

    matrix: str
    full_range: bool
    bits: int = 8
    white: float = 1.0


class Planes(NamedTuple):
    """Integer samples: y (N, 1, H, W), and u, v (N, 1, H / 2, W / 2)."""

    y: Tensor
    u: Tensor
    v: Tensor


def planes_to_rgb(planes: Planes, kind: YUVFormat) -> Tensor:
    """(N, 3, H, W) float32 in [0, 1]; colors outside RGB are clipped.

    Raises:
        ValueError: odd sizes, or chroma that is not half of luma.
    """
    height, width = planes.y.shape[-2:]
    if height % 2 or width % 2 or planes.u.shape[-2:] != (height // 2, width // 2):
        raise ValueError(
            f"4:2:0 needs even sizes and chroma of half of them, got luma {width}x{height} and "
            f"chroma {planes.u.shape[-1]}x{planes.u.shape[-2]}"
        )
    offset, luma_range, chroma_range = _levels(kind)
    luma = (planes.y.float() - offset) / luma_range
    chroma = torch.cat((planes.u, planes.v), dim=1).float() - 2 ** (kind.bits - 1)
    blue, red = (_doubled(chroma) / chroma_range).split(1, dim=1)
    kr, kb = MATRICES[kind.matrix]
    red_part, blue_part = 2 * (1 - kr) * red, 2 * (1 - kb) * blue
    green_part = (kr * red_part + kb * blue_part) / (1 - kr - kb)
    rgb = torch.cat((luma + red_part, luma - green_part, luma + blue_part), dim=1)
    return (rgb * kind.white).clamp(0, 1)


def rgb_to_planes(rgb: Tensor, kind: YUVFormat) -> Planes:
    """(N, 3, H, W) float, clipped to [0, 1] -> planes of int32.

    Raises:
        ValueError: odd sizes.
    """
    height, width = rgb.shape[-2:]
    if height % 2 or width % 2:
        raise ValueError(f"4:2:0 needs even sizes, got {width}x{height}")
    offset, luma_range, chroma_range = _levels(kind)
    kr, kb = MATRICES[kind.matrix]
    red, green, blue = (rgb.float().clamp(0, 1) / kind.white).split(1, dim=1)
    luma = kr * red + (1 - kr - kb) * green + kb * blue
    chroma = torch.cat(((blue - luma) / (2 - 2 * kb), (red - luma) / (2 - 2 * kr)), dim=1)
    samples = _halved(chroma) * chroma_range + 2 ** (kind.bits - 1)
    largest = 2**kind.bits - 1
    whole = [
        x.round().clamp(0, largest).to(torch.int32)
        for x in (luma * luma_range + offset, *samples.split(1, dim=1))
    ]
    return Planes(*whole)


def _levels(kind: YUVFormat) -> tuple[float, float, float]:
    """The sample of black, the steps from black to white, and those of chroma's whole range."""
    unit = 2 ** (kind.bits - 8)
    if kind.full_range:
        return 0.0, 256.0 * unit - 1, 256.0 * unit - 1
    return 16.0 * unit, 219.0 * unit, 224.0 * unit


def _cubic(x: float) -> float:
    """Keys' kernel with a = -C."""
    x = abs(x)
    if x < 1:
        return (2 - _C) * x**3 - (3 - _C) * x**2 + 1
    return -_C * (x**3 - 5 * x**2 + 8 * x - 4) if x < 2 else 0.0


@lru_cache
def _taps(halving: bool, device: torch.device) -> Tensor:
    """Eight taps at a distance of half a pixel (halving), or four for a quarter pixel; kept,
    because copying numbers to a device waits for what it computes."""
    distances = [(i - 3.5) / 2 for i in range(8)] if halving else [-1.75, -0.75, 0.25, 1.25]
    taps = [_cubic(x) for x in distances]
    return torch.tensor([x / sum(taps) for x in taps], device=device)


def _filtered(x: Tensor, taps: Tensor, stride: int) -> Tensor:
    """Both directions of x (N, C, H, W), each channel by itself; x is padded already."""
    channels = x.shape[1]
    row = taps.view(1, 1, 1, -1).repeat(channels, 1, 1, 1)
    x = F.conv2d(x, row, stride=(1, stride), groups=channels)
    return F.conv2d(x, row.transpose(2, 3), stride=(stride, 1), groups=channels)


def _halved(x: Tensor) -> Tensor:
    # cuDNN would take what is channels-last, and round to TF32
    padded = F.pad(x, (3, 3, 3, 3), mode="replicate").contiguous()
    return _filtered(padded, _taps(True, x.device), stride=2)


def _doubled(x: Tensor) -> Tensor:
    """Pixels at -1/4 and +1/4 of each chroma sample, in both directions."""
    early = _taps(False, x.device)
    for dim in (3, 2):
        pad = (2, 2, 0, 0) if dim == 3 else (0, 0, 2, 2)
        padded = F.pad(x, pad, mode="replicate")
        size = x.shape[dim]
        shape = [x.shape[1], 1, 1, 1]
        shape[dim] = 4
        both = [
            F.conv2d(
                padded.narrow(dim, first, size + 3),
                taps.repeat(x.shape[1]).view(shape),
                groups=x.shape[1],
            )
            for first, taps in ((0, early), (1, early.flip(0)))
        ]
        x = torch.stack(both, dim=dim + 1).flatten(dim, dim + 1)
    return x
