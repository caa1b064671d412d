"""How the convolution kernel divides its work, chosen by size or by timing."""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import triton

TILE_WIDTH = 16  # pixels; tiles are two-dimensional, so that the taps find their rows in the cache
# For an H200: with fewer products of pixels and outputs, large tiles leave it half empty.
_FILLS_THE_GPU = 132 * 2 * 64 * 64


@dataclass(frozen=True)
class Tile:
    """How a launch divides the work: pixels (rows x 16), output channels, channels per step.

    With columns, rows x columns pixels by the kernel of conv_strips.py.
    """

    rows: int
    outputs: int
    channels: int
    warps: int
    stages: int
    columns: int = 0


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


def strips(pixels: int, width: int, outputs_all: int, channels_all: int) -> list[Tile]:
    """Tiles of conv_strips.py for the same convolution of rows of this width; the default first.

    Empty where the tiles of `candidates` were as fast. The defaults are the fastest of 24, timed
    for the convolutions of `fast` and `fine` at two sizes on an H200 (docs/performance.md).
    """
    outputs = min(triton.next_power_of_2(outputs_all), 64)
    work = pixels * outputs_all / _FILLS_THE_GPU
    if width < 48 or (outputs < 64 and work < 1 and channels_all <= 64):
        return []
    tiles = [
        Tile(4, outputs, 32, 4, 3, 64),
        Tile(2, outputs, 32, 4, 3, 64),
        Tile(4, outputs, 32, 4, 2, 64),
    ]
    if outputs <= 32:
        wide = Tile(4, outputs, 32, 8, 2, 128)
        if work > 2.5:
            return [wide, *tiles] if outputs == 32 else [tiles[2], *tiles[:2]]
        return [*tiles, wide]
    if work > 2.5:
        return tiles
    if outputs_all > 64:
        flat = Tile(1, 128, 64, 4, 3, 64)
        return [flat, *tiles] if pixels > 4096 else []
    if work >= 1:
        return [tiles[1], tiles[0]]
    deep = Tile(1, 64, 64, 4, 3, 64) if channels_all <= 64 else Tile(1, 64, 32, 4, 4, 64)
    return [deep, tiles[1]] if pixels > 4096 else []


def fastest(tiles: Sequence[Tile], run: Callable[[Tile], object]) -> Tile:
    """The tile with the least median GPU time of five runs; those that do not fit are skipped."""
    times = {}
    for tile in tiles:
        try:
            run(tile)
        except triton.runtime.errors.OutOfResources:
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
