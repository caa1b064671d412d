"""Motion blur: each output frame is the mean of moments while a shutter is open, in linear light.

A shutter of `angle` degrees is open for angle / 360 of the time from one output frame to the next,
half of it before the output frame's time and half after. Moments of SAMPLES per full turn are
shown, in the middle of equal parts of that time. What lies across a cut, in a gap of the source, or
beyond its ends is not part of an exposure: the mean is that of the rest.
"""

import math
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from fractions import Fraction
from itertools import groupby
from numbers import Real
from typing import TYPE_CHECKING

import numpy as np

from zoomin_d2.video.read.light import to_code, to_light
from zoomin_d2.video.time.pixels import Pixels
from zoomin_d2.video.time.timeline import Grid, Moment

if TYPE_CHECKING:
    from zoomin_d2.video.time.pipeline import OutputFrame

SAMPLES = 32  # per 360 degrees; tests/video/time/test_shutter.py and docs/video.md say why
_FEWEST = 4


def check_shutter(angle: float) -> None:
    """Raises ValueError unless `angle` is above 0 and at most 360 degrees."""
    if not (isinstance(angle, Real) and 0 < angle <= 360):
        raise ValueError(f"a shutter must be above 0 and at most 360 degrees, got {angle!r}")


class ShutterGrid:
    """The moments of a grid's exposures: those with index n * samples to (n + 1) * samples - 1 form
    frame n of `grid`.

    Args:
        grid: of the output. angle: in degrees, above 0 and at most 360.
    """

    def __init__(self, grid: Grid, angle: float):
        check_shutter(angle)
        self._grid = grid
        self._half = Fraction(str(angle)) / 720
        self.samples = 2 * max(_FEWEST // 2, math.ceil(SAMPLES * self._half))
        self.tolerance = grid.tolerance

    def between(self, index: int, times: Sequence[Fraction]) -> list[Moment]:
        """The moments in [times[0], times[-1]); arguments as the grid's."""
        start, end = times[0] - self.tolerance, times[-1] - self.tolerance
        cells = self._grid.cells(index, times)
        moments = [m for m in self._moments(cells) if m.index >= 0]
        return [m for m in moments if start <= m.source_time < end]

    def tail(
        self, index: int, time: Fraction, duration: Fraction, hold: bool = True
    ) -> list[Moment]:
        """The moments from the last source frame on, of the output frames that there are."""
        cells = self._grid.cells(index, [time, time + duration])
        shown = self._grid.tail(index, time, duration, hold)
        earlier = [cell for cell in cells if cell.source_time < time - self.tolerance]
        last = max([cell.index for cell in (*earlier, *shown)], default=-1)
        start = time - self.tolerance
        return [
            moment
            for moment in self._moments(cells)
            if moment.source_time >= start and moment.index // self.samples <= last
        ]

    def _moments(self, cells: Iterable[Moment]) -> Iterator[Moment]:
        """Of the first half and the last half of a shutter, in every time from one output frame to
        the next: the opening of the first, and the closing towards the next."""
        parts = self.samples // 2
        for cell in cells:
            step = cell.duration / self._grid.slowmo
            offsets = [self._half * step * Fraction(2 * i + 1, 2 * parts) for i in range(parts)]
            begin, end = cell.source_time, cell.source_time + step
            middle = cell.index * self.samples + parts
            for i, offset in enumerate(offsets):
                yield replace(cell, index=middle + i, source_time=begin + offset)
            for i, offset in enumerate(reversed(offsets)):
                yield replace(cell, index=middle + parts + i, source_time=end - offset)


def expose(
    frames: "Generator[OutputFrame, None, None]", samples: int, transfer: int
) -> "Generator[OutputFrame, None, None]":
    """The frames at the moments of a ShutterGrid -> those of the output.

    Args:
        samples: of the grid. transfer: H.273 code point of the images' transfer characteristics.
    """
    with closing(frames):
        cuts: tuple[float, ...] = ()
        repeats = 0
        for index, group in groupby(frames, lambda frame: frame.index // samples):
            exposure = list(group)
            cuts += tuple(cut for frame in exposure for cut in frame.cuts)
            repeats += sum(frame.repeats for frame in exposure)
            after = next((f for f in exposure if f.index % samples >= samples // 2), None)
            if after is None:  # of a frame after the last one
                continue
            shown = _shown(exposure, after, transfer)
            read_on = exposure[0].read_on
            yield replace(shown, index=index, read_on=read_on, cuts=cuts, repeats=repeats)
            cuts, repeats = (), 0


def _shown(exposure: "list[OutputFrame]", after: "OutputFrame", transfer: int) -> "OutputFrame":
    """One frame of the moments of an exposure.

    Args:
        after: the first moment after the output frame's own time.
    """
    before = exposure[exposure.index(after) - 1] if after is not exposure[0] else after
    middle = next((f for f in (after, before) if _moves(f)), None)
    if middle is None:  # in a cut or a gap
        return replace(before, time=after.time, duration=after.duration)
    pixels = [f.pixels for f in exposure if _moves(f) and f.shot == middle.shot]
    if all(x is pixels[0] for x in pixels):
        return replace(after, pixels=pixels[0], kind=middle.kind)
    mean = mean_light([x.image for x in pixels], transfer)
    return replace(after, pixels=Pixels(mean), kind="made")


def _moves(frame: "OutputFrame") -> bool:
    return frame.kind in ("source", "made")


def mean_light(images: Sequence[np.ndarray], transfer: int) -> np.ndarray:
    """The mean of (H, W, 3) RGB or (H, W, 4) straight RGBA in linear light, in their type; float16
    is such light already."""
    kind = images[0].dtype
    if kind == np.float16:
        return _mean(image.astype(np.float32) for image in images).astype(kind)
    colors = _mean(_premultiplied(image, transfer) for image in images)
    if images[0].shape[2] == 3:
        return to_code(colors, transfer, kind == np.uint16)
    full = np.iinfo(kind).max
    alpha = _mean(image[..., 3:].astype(np.float32) for image in images)
    straight = np.divide(colors * full, alpha, out=np.zeros_like(colors), where=alpha > 0)
    codes = to_code(straight, transfer, kind == np.uint16)
    return np.dstack([codes, np.rint(alpha).astype(kind)])


def _mean(images: Iterable[np.ndarray]) -> np.ndarray:
    total, number = np.float32(0), 0
    for image in images:
        total, number = total + image, number + 1
    return total / np.float32(number)


def _premultiplied(image: np.ndarray, transfer: int) -> np.ndarray:
    light = to_light(image[..., :3], transfer)
    if image.shape[2] == 4:
        light *= image[..., 3:] / np.float32(np.iinfo(image.dtype).max)
    return light
