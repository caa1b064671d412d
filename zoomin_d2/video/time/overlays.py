"""Text, logos and HUDs in a video: pixels that stand still, beside edges that stand still, while
what is around them moves.

A window is STEPS steps of one shot. In it, a pixel belongs to an overlay if its luma changes by at
most TOLERANCE in every step, an edge of at least EDGE levels lies on it or beside it in every
frame, and more than MOVING of the pixels around it do not stand still. The edge tells an overlay
from sky between branches that pass, motion around it from a wall that something passes: neither may
be kept. A step has the overlays of all windows that hold it.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Protocol, TypeVar

import cv2
import numpy as np

STEPS = 6
TOLERANCE = 8  # levels of 255; a codec leaves still text as far apart
EDGE = 40  # levels of 255, between the brightest and the darkest of 3 x 3 pixels
MOVING = 0.5  # less would keep the wall behind a ball that is faster than it is wide
_AROUND = 6  # the smaller side of a frame / the radius of what is around a pixel
_MIN_RADIUS = 8
_EDGE_OF_OVERLAY = 128  # weight of the pixels around an overlay, which mix it with what is behind
_KERNEL = np.ones((3, 3), np.uint8)


class Shown(Protocol):
    """A frame of a video, in order."""

    overlay: np.ndarray | None  # set here: the overlays of the step that leads to it

    @property
    def luma(self) -> np.ndarray: ...  # (H, W) uint8

    @property
    def begins_shot(self) -> bool: ...


F = TypeVar("F", bound=Shown)


def find_overlays(frames: Iterable[F]) -> Iterator[F]:
    """The same frames, STEPS - 1 of them later, each with the overlays of the step to it.

    They are (H, W) uint8 weights, 255 in an overlay, 128 along its border and 0 elsewhere; None if
    there are none. A shot of fewer than STEPS steps has none.
    """
    waiting: deque[F] = deque()
    stills, edges = _Runs(STEPS), _Runs(STEPS + 1)  # of steps, and of frames
    last_luma = None
    for frame in frames:
        luma = frame.luma
        if last_luma is None or frame.begins_shot or luma.shape != last_luma.shape:
            yield from waiting
            waiting.clear()
            stills.clear()
            edges.clear()
            yield frame
        else:
            waiting.append(frame)
            stills.add(_at_most(cv2.absdiff(luma, last_luma), TOLERANCE))
        edges.add(_at_least(cv2.morphologyEx(luma, cv2.MORPH_GRADIENT, _KERNEL), EDGE))
        last_luma = luma
        if len(waiting) == STEPS:
            found = _in_window(stills.long(), edges.long())
            if found is not None:
                for member in waiting:
                    before = member.overlay
                    member.overlay = found if before is None else np.maximum(before, found)
            yield waiting.popleft()
    yield from waiting


class _Runs:
    """For each pixel, how many masks in a row have it, up to the last one.

    One sum and one AND for each mask; the AND of the last masks takes one for each of them."""

    def __init__(self, length: int):
        self._length = length
        self._counts: np.ndarray | None = None

    def clear(self) -> None:
        self._counts = None

    def add(self, mask: np.ndarray) -> None:
        """A mask is 255 where it has the pixel, else 0."""
        if self._counts is None:
            self._counts, self._one = np.zeros_like(mask), np.ones_like(mask)
        cv2.add(self._counts, self._one, dst=self._counts)  # 255 stays 255
        cv2.bitwise_and(self._counts, mask, dst=self._counts)

    def long(self) -> np.ndarray:
        """255 where the last `length` masks have the pixel."""
        assert self._counts is not None
        return _at_least(self._counts, self._length)


def _in_window(still: np.ndarray, edge: np.ndarray) -> np.ndarray | None:
    overlay = cv2.bitwise_and(still, cv2.dilate(edge, _KERNEL))
    if not overlay.any():
        return None
    radius = max(_MIN_RADIUS, min(still.shape) // _AROUND)
    side = (2 * radius + 1, 2 * radius + 1)
    standing = cv2.blur(still, side, borderType=cv2.BORDER_REFLECT)
    overlay = cv2.bitwise_and(overlay, _at_most(standing, int(255 * (1 - MOVING))))
    if not overlay.any():
        return None
    border = np.minimum(cv2.dilate(overlay, _KERNEL), np.uint8(_EDGE_OF_OVERLAY))
    return np.maximum(overlay, border)


def _at_most(values: np.ndarray, level: int) -> np.ndarray:
    return cv2.threshold(values, level, 255, cv2.THRESH_BINARY_INV)[1]


def _at_least(values: np.ndarray, level: int) -> np.ndarray:
    return cv2.threshold(values, level - 1, 255, cv2.THRESH_BINARY)[1]
