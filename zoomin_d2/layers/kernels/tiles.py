"""How the convolution kernels divide their work, chosen by size or by timing."""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import torch
import triton

from zoomin_d2.layers.kernels.nvrtc import DriverError

TILE_WIDTH = 16  # pixels; tiles are two-dimensional, so that the taps find their rows in the cache
AnyTile = TypeVar("AnyTile")
# For an H200: with fewer products of pixels and outputs, large tiles leave it half empty.
_FILLS_THE_GPU = 132 * 2 * 64 * 64


@dataclass(frozen=True)
class Tile:
    """How a launch divides the work: pixels (rows x 16), output channels, channels per step."""

    rows: int
    outputs: int
    channels: int
    warps: int
    stages: int


def candidates(pixels: int, outputs_all: int, channels_all: int) -> list[Tile]:
    """Tiles for a convolution of this many pixels, output and input channels; the default first.

    The defaults are what `fastest` chose for `fast` at 448x256, 2048x1024 and 3840x2160 on an H100.
    """
    outputs = min(triton.next_power_of_2(outputs_all), 128)
    channels = min(triton.next_power_of_2(channels_all), 64)
    if pixels * outputs_all < _FILLS_THE_GPU:
        # Too few pixels to fill the GPU: small tiles, many channels a step, deep pipelines.
        small = min(outputs, 32)
        deep = min(triton.next_power_of_2(channels_all), 128)
        tiles = [
            Tile(4, small, deep, 4, 3),
            Tile(2, small, deep, 2, 4),
            Tile(1, small, deep, 2, 4),
            Tile(4, min(outputs, 64), channels, 4, 4),
            Tile(1, 16, deep, 1, 4),
            Tile(2, 16, deep, 2, 4),
            Tile(2, small, channels, 1, 4),
            Tile(8, small, channels, 4, 3),
        ]
        default = tiles[0]
        if outputs > 16 and pixels >= 4096:
            default = tiles[3] if outputs > 32 else tiles[7]
        elif outputs <= 16 and pixels < 2048:
            default = tiles[2]
    else:
        warps = 8 if outputs > 64 else 4
        tiles = [
            Tile(8, outputs, channels, warps, 3),
            Tile(8, outputs, channels, warps, 1),
            Tile(4, outputs, channels, 4, 3),
            Tile(16, min(outputs, 64), channels, 8, 3),
        ]
        default = tiles[0]
        if outputs <= 16 or pixels * outputs_all < 2 * _FILLS_THE_GPU:
            default = tiles[2]
        elif outputs == 32 and channels == 64:
            default = tiles[3]
    return list(dict.fromkeys([default, *tiles]))


@dataclass(frozen=True)
class HaloTile:
    """How a launch of conv_halo.py divides the work.

    Attributes:
        outputs: channels that a block makes, a multiple of 8 and a divisor of all.
        channels: of a step, 16, 32, or 64, a divisor of all.
        rows: that four warps make, each of 64 pixels.
        groups: of four warps in a block, one below the other.
        stages: steps in shared memory, all but one fetched ahead.
        blocks: at least so many on a multiprocessor at a time.
        resident: keep the weights in shared memory.
    """

    outputs: int
    channels: int
    rows: int
    groups: int
    stages: int
    blocks: int
    resident: bool = True

    def shared(self, channels: int, stride: int, dilation: int) -> int:
        """Bytes of shared memory of a block, for so many channels in all."""
        height = (self.rows * self.groups - 1) * stride + 2 * dilation + 1
        pixels = height * (64 * stride + 8) * self.channels
        taps = 9 * self.outputs * (channels if self.resident else self.stages * self.channels)
        return 2 * (self.stages * pixels + taps)


_SHARED = 227 * 1024  # bytes of a multiprocessor of the Hopper generation
_REGISTERS = 65536
# (rows, groups, stages, blocks) of a HaloTile, to be timed.
_HALO_SHAPES = [
    *[(1, 1, 3, 3), (1, 2, 2, 2), (2, 1, 2, 2), (2, 1, 2, 3), (2, 1, 2, 4), (2, 2, 2, 2)],
    *[(2, 2, 3, 1), (2, 4, 2, 1), (4, 1, 2, 2), (4, 1, 2, 3), (4, 1, 3, 2), (4, 2, 3, 1)],
]


def halo_candidates(
    rows: int,
    width: int,
    outputs: int,
    channels: int,
    stride: int,
    dilation: int,
    added: bool = False,
) -> list[HaloTile]:
    """Tiles of conv_halo.py for a result of so many rows (of all images) and columns.

    The default is the first; empty where those of `candidates` are as fast. added: to a residual.
    """
    outputs = triton.cdiv(outputs, 8) * 8
    strips = rows * triton.cdiv(width, 64)
    default = _default_halo(strips, width, outputs, channels, stride, dilation, added)
    if default is None:
        return []
    defaults = [
        replace(default, channels=step, resident=resident)
        for step in (default.channels, 32, 16)
        for resident in (True, default.resident)
        if channels % step == 0
    ]
    others = [
        HaloTile(made, step, *shape, resident)
        for made in (outputs, *([outputs // 2] if outputs >= 64 else []))
        for step in (16, 32, 64)
        for shape in _HALO_SHAPES
        for resident in (True, False)
        if channels % step == 0 and (resident or channels * made > 3000)
    ]
    defaults, others = (
        [x for x in tiles if _fits(x, channels, stride, dilation)] for tiles in (defaults, others)
    )
    return list(dict.fromkeys([*defaults, *others])) if defaults else []


def _default_halo(
    strips: int,
    width: int,
    outputs: int,
    channels: int,
    stride: int,
    dilation: int,
    added: bool,
) -> HaloTile | None:
    """For so many strips of 64 pixels; to be resident if that fits. None: the other kernel.

    A simple form of what `fastest` chose for `fast` and `fine` at four sizes, on an H200.
    """
    step = 32 if channels % 32 == 0 else 16
    many = strips > 1024
    if width < 48 or (stride == 2 and (outputs > 64 or strips < 256)):
        return None
    if stride == 2:
        return HaloTile(outputs, step if outputs <= 48 else 16, 1, 2, 2, 2, resident=False)
    if outputs == 8:
        shape = (2, 1, 2, 4 if many else 3) if strips > 128 else (1, 1, 3, 3)
        return HaloTile(outputs, step, *((4, 1, 2, 3) if strips > 16384 else shape))
    if outputs <= 32 and channels <= 32:
        if dilation > 1 or (many and added):  # which take registers
            return HaloTile(outputs, step, 2, 1, 2, 3)
        return HaloTile(outputs, step, *((2, 1, 2, 4) if many else (2, 2, 2, 2)))
    if outputs <= 32 and not many:
        return HaloTile(outputs, 64 if channels == 64 else step, 2, 2, 3, 1)
    if outputs <= 32 and step == 32:
        return HaloTile(outputs, step, 4, 2, 3, 1)
    if outputs <= 48:
        return HaloTile(outputs, 16, *((4, 1, 3, 2) if many else (2, 1, 2, 2)))
    if outputs <= 64 and strips >= 1024:
        return HaloTile(outputs, step, 2, 2, 3, 1, resident=False)
    if outputs <= 64 and strips >= 256:
        return HaloTile(outputs, step, 2, 1, 2, 2, resident=False)
    if outputs <= 64:
        return HaloTile(outputs // 2, 64 if channels == 64 else step, 1, 2, 2, 2, resident=False)
    if strips < 32 or (strips < 64 and channels > 128):
        return None
    if strips >= 400 and outputs <= 96:
        return HaloTile(outputs, 16, 2, 2, 3, 1, resident=False)
    if strips < 64:
        return HaloTile(outputs // 2, 16, 1, 1, 3, 3, resident=False)
    shape = (2, 2, 3, 1) if many else (2, 1, 2, 2)
    return HaloTile(outputs // 2, step, *shape, resident=False)


def _fits(tile: HaloTile, channels: int, stride: int, dilation: int) -> bool:
    """Whether so many blocks fit a multiprocessor, by their memory and, roughly, registers."""
    halo = (tile.rows - 1) * stride + 2 * dilation + 1
    registers = tile.rows * tile.outputs * 3 // 4 + 8 * halo + 40
    return (
        tile.outputs % 8 == 0
        and (tile.shared(channels, stride, dilation) + 1024) * tile.blocks <= _SHARED
        and registers <= min(_REGISTERS // (128 * tile.groups * tile.blocks), 255)
    )


def fastest(tiles: Sequence[AnyTile], run: Callable[[AnyTile], object]) -> AnyTile:
    """The tile with the least median GPU time of five runs; those that do not fit are skipped."""
    times = {}
    for tile in tiles:
        try:
            run(tile)
        except (triton.runtime.errors.OutOfResources, DriverError):
            continue
        # The device waits until the host, which is slower than a small kernel, has queued them all.
        torch.cuda._sleep(1_000_000)
        spans = []
        for _ in range(5):
            start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            start.record()
            run(tile)
            end.record()
            spans.append((start, end))
        torch.cuda.synchronize()
        times[tile] = statistics.median(a.elapsed_time(b) for a, b in spans)
    return min(times, key=times.get)
