"""Large frames in overlapping tiles: bounded memory, invisible seams."""

from collections.abc import Callable
from functools import lru_cache
from numbers import Integral
from typing import Literal

import torch
from torch import Tensor

from zoomin_d2.inference.memory import (
    free_memory,
    is_out_of_memory,
    measure_bytes_per_pixel,
    release_memory,
)
from zoomin_d2.interpolate import Interpolate
from zoomin_d2.video.errors import ModelError

LEAST_SIDE = 64  # that one may ask for
MIN_TILE = 128  # that is chosen
ALIGNMENT = 64
MAX_OVERLAP = 128
HEADROOM = 0.8  # of the memory that is free


class TiledInterpolate:
    """An `interpolate` that cuts frames into tiles if they are too large for memory.

    Tiles overlap by a quarter of their side (at most MAX_OVERLAP pixels) and are mixed there with
    weights that fall off linearly, so each pixel mostly comes from the tile that sees most around
    it. For motion of more than half the overlap, use a lower flow scale instead.

    When memory runs out, the side is halved and the pair is made again.

    Args:
        interpolate: makes the frames.
        tile: side in pixels, at least 64; None: whole frames; "auto": as large as free memory
            allows, measured on a small frame at the first call, and again when a call needs more
            than all before it.
        on_change: called with a message when a side is chosen or halved.

    Raises:
        ValueError: tile is none of these.
    """

    def __init__(
        self,
        interpolate: Interpolate,
        tile: int | Literal["auto"] | None = "auto",
        on_change: Callable[[str], None] | None = None,
    ):
        is_side = isinstance(tile, Integral) and tile >= LEAST_SIDE
        if not (is_side or tile in ("auto", None)):
            raise ValueError(
                f"tile must be 'auto', None, or a whole number of at least {LEAST_SIDE}, "
                f"got {tile!r}"
            )
        self.tile: int | None = None if tile == "auto" else tile
        self._is_auto = tile == "auto"
        self._largest = 0  # pixels of the largest call that `tile` was chosen for
        self._interpolate = interpolate
        self._tell = on_change or (lambda message: None)

    def __call__(self, frame_1: Tensor, frame_2: Tensor, ts: list[float], /) -> list[Tensor]:
        """
        Raises:
            ModelError: memory does not even suffice for tiles of MIN_TILE pixels, or the model
                makes frames of another size.
        """
        height, width = frame_1.shape[-2:]
        pixels = len(ts) * len(frame_1) * height * width
        if self._is_auto and pixels > self._largest:
            self.tile, self._largest = self._choose(frame_1, len(ts)), pixels
        while True:
            try:
                if self.tile is None or self.tile >= max(height, width):
                    return self._made(frame_1, frame_2, ts)
                return self._in_tiles(frame_1, frame_2, ts, self.tile)
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                reason = str(error)
            # outside the handler, which keeps the frames of the failed call alive
            self._halve(height, width, reason)
            release_memory(frame_1.device)

    def _made(self, frame_1: Tensor, frame_2: Tensor, ts: list[float]) -> list[Tensor]:
        made = self._interpolate(frame_1, frame_2, ts)
        given = frame_1.shape
        for shape in (x.shape for x in made):
            if (shape[0], *shape[2:]) != (given[0], *given[2:]):  # doubt is one more channel
                raise ModelError(
                    f"the model made {tuple(shape)} of frames {tuple(given)}: it must keep their "
                    "number and size"
                )
        return made

    def _halve(self, height: int, width: int, reason: str) -> None:
        side = min(self.tile or max(height, width), max(height, width))
        smaller = max(side // 2 // ALIGNMENT * ALIGNMENT, MIN_TILE)
        if smaller >= side:
            raise ModelError(
                f"Out of memory even with tiles of {side} pixels ({reason}): free memory, or use "
                "another device"
            )
        self.tile, self._is_auto = smaller, False  # what was measured does not hold
        self._tell(f"out of memory: continuing with tiles of {smaller} pixels")

    def _choose(self, frame: Tensor, num_times: int) -> int | None:
        height, width = frame.shape[-2:]
        if height * width <= 512 * 512:
            return None
        per_pixel = measure_bytes_per_pixel(self._interpolate, frame, num_times)
        release_memory(frame.device)  # what the allocator keeps would count as used
        free = free_memory(frame.device)
        if per_pixel is None or free is None:
            return None
        pixels = HEADROOM * free / per_pixel / len(frame)
        if pixels >= height * width:
            return None
        tile = max(int(pixels**0.5) // ALIGNMENT * ALIGNMENT, MIN_TILE)
        self._tell(
            f"{width}x{height} needs about {per_pixel * frame[:, 0].numel() / 2**30:.1f} GiB, "
            f"{free / 2**30:.1f} GiB are free: using tiles of {tile} pixels"
        )
        return tile

    def _in_tiles(
        self, frame_1: Tensor, frame_2: Tensor, ts: list[float], side: int
    ) -> list[Tensor]:
        height, width = frame_1.shape[-2:]
        tile = (min(side, height), min(side, width))
        overlap = min(MAX_OVERLAP, side // 4)
        sums: list[Tensor] = []
        weights = frame_1.new_zeros(1, 1, height, width, dtype=torch.float32)
        for top in tile_starts(height, tile[0], overlap):
            for left in tile_starts(width, tile[1], overlap):
                place = (..., slice(top, top + tile[0]), slice(left, left + tile[1]))
                weight = _ramp(*tile, overlap).to(frame_1.device)
                made = self._made(frame_1[place].contiguous(), frame_2[place].contiguous(), ts)
                # The results may have other channels than the frames, and be on another device.
                sums = sums or [x.new_zeros(*x.shape[:2], height, width).float() for x in made]
                for total, piece in zip(sums, made):
                    total[place] += weight * piece
                weights[place] += weight
        frames = [total / weights for total in sums]
        if frame_1.dtype == torch.uint8:
            return [(frame + 0.5).to(torch.uint8) for frame in frames]
        return frames


def tile_starts(length: int, tile: int, overlap: int) -> list[int]:
    """Where tiles begin along one side: evenly spread, the last one ends at the border.

    Neighbors overlap by at least `overlap` pixels."""
    if tile >= length:
        return [0]
    count = -(-(length - overlap) // (tile - overlap))
    return [round(i * (length - tile) / (count - 1)) for i in range(count)]


@lru_cache(maxsize=8)
def _ramp(height: int, width: int, overlap: int) -> Tensor:
    """(1, 1, height, width): 1 inside, falling to nearly 0 over `overlap` pixels at each border."""

    def side(length: int) -> Tensor:
        place = torch.arange(length, dtype=torch.float32) + 1
        return torch.minimum(place, place.flip(0)).clamp(max=overlap) / overlap

    return (side(height)[:, None] * side(width)[None, :])[None, None]
