"""Fades and dissolves, from coarse copies of the frames.

Through a transition from frame A to frame B each frame is nearly (1 - p) A + p B, and p grows
evenly. Motion does not do that: a frame halfway through a pan is no mix of its neighbors, and its
contrast is theirs, while a mix of two unlike pictures has less. A window of frames is a transition
if

  D = |B - A|^2 is large             (MIN_CHANGE; less where everything is dark)
  p is even                          (within UNEVEN of a straight line)
  what is left of each frame is small  (MAX_REST x D, on average)
  contrast dips in the middle        (by MIN_DIP x D; a perfect mix has D / 4)
  A and B are unlike (MAX_ALIKE), or one of them is a plain color: a fade

A part of a transition is one as well, so windows shorter than the transition find it.
"""

from typing import Literal, NamedTuple

import cv2
import numpy as np

COARSE_WIDTH = 32  # pixels: motion within a shot hardly shows
SHORTEST, LONGEST = 4, 24  # steps of a window
MIN_CHANGE = 10.0  # root mean square, levels
DARK = 24.0  # contrast below which less change is enough, in proportion
LEAST_CHANGE = 2.0
UNEVEN = 0.15
MAX_REST = 0.10
MIN_DIP = 0.12
MAX_ALIKE = 0.6  # correlation
PLAIN = 4.0  # contrast of a plain color, levels
MIN_STEP = 0.5  # the first and the last step, relative to the mean step
Kind = Literal["dissolve", "fade out", "fade in"]


class Window(NamedTuple):
    """A transition in frames s to e of a sequence, e - s steps. `change`: root mean square
    difference of the two, in levels."""

    start: int
    end: int
    kind: Kind
    change: float


def coarse(small: np.ndarray) -> np.ndarray:
    """A thumbnail (3, h, w) as a vector in which motion within a shot hardly shows."""
    height = max(1, round(small.shape[1] * COARSE_WIDTH / small.shape[2]))
    size = (COARSE_WIDTH, height)
    return np.stack([cv2.resize(p, size, interpolation=cv2.INTER_AREA) for p in small]).ravel()


def transitions_to_last(frames: np.ndarray) -> list[Window]:
    """The windows that end with the last of n coarse frames (n, features) and are transitions."""
    last = len(frames) - 1
    if last < SHORTEST:
        return []
    size = frames.shape[1]
    gram = _products(frames) / size
    own = np.diag(gram)
    starts = np.arange(max(0, last - LONGEST), last - SHORTEST + 1)
    middles = (starts + last) // 2
    changes = own[starts] + own[last] - 2 * gram[last, starts]
    at_middle = gram[last, middles] - gram[middles, starts] - gram[last, starts] + own[starts]
    even = (middles - starts) / (last - starts)
    planes = frames.reshape(len(frames), 3, -1)
    colors = planes.mean(2, keepdims=True)
    contrast = np.sqrt(np.maximum(own - (colors**2).mean((1, 2)), 0))
    gain = np.maximum(contrast[starts], contrast[last]) / DARK
    least = np.maximum(LEAST_CHANGE, MIN_CHANGE * np.minimum(1.0, gain))
    likely = np.abs(at_middle - even * changes) <= UNEVEN * changes
    starts = starts[likely & (changes >= least**2)]
    if not len(starts):  # nearly always
        return []
    flat = (planes - colors).reshape(len(frames), size)
    spread = _products(flat) / size  # the same without the mean color: contrasts, correlations
    found = []
    for start in starts.tolist():
        window = _judge(gram[start:, start:], spread[start:, start:])
        if window is not None:
            found.append(Window(start, last, *window))
    return found


def _products(vectors: np.ndarray) -> np.ndarray:
    """(n, n) of all pairs of n vectors. Not by BLAS, whose threads wait for each other for
    milliseconds where the cores are busy."""
    return np.einsum("if,jf->ij", vectors, vectors)


def _judge(gram: np.ndarray, spread: np.ndarray) -> tuple[Kind, float] | None:
    """Kind and change of a transition from the first to the last frame, None if there is none.

    Args:
        gram, spread: (n, n) mean products of the frames, with and without their mean colors.
    """
    steps = len(gram) - 1
    change = gram[0, 0] + gram[-1, -1] - 2 * gram[0, -1]
    contrast = np.sqrt(np.maximum(np.diag(spread), 0))
    share = (gram[:, -1] - gram[:, 0] - gram[0, -1] + gram[0, 0]) / change
    even = np.arange(steps + 1) / steps
    if np.abs(share - even).max() > UNEVEN:
        return None
    if min(share[1], 1 - share[-2]) * steps < MIN_STEP:
        return None
    distance = np.diag(gram) + gram[0, 0] - 2 * gram[0]
    rest = (distance - share**2 * change)[1:-1].mean()
    if rest > MAX_REST * change:
        return None
    if min(contrast[0], contrast[-1]) < PLAIN * min(1.0, contrast.max() / (4 * PLAIN)):
        return "fade in" if contrast[0] < contrast[-1] else "fade out", float(np.sqrt(change))
    middle = steps // 2
    mixed = (1 - even[middle]) * contrast[0] ** 2 + even[middle] * contrast[-1] ** 2
    flat_change = spread[0, 0] + spread[-1, -1] - 2 * spread[0, -1]
    dip = mixed - contrast[middle] ** 2
    is_alike = spread[0, -1] > MAX_ALIKE * contrast[0] * contrast[-1]  # plain colors are not
    if dip < MIN_DIP * flat_change or is_alike:
        return None
    return "dissolve", float(np.sqrt(change))
