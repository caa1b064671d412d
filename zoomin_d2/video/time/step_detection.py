"""Where a video cuts, and which frames only repeat the one before, from small thumbnails.

These are only the rules, for videos and for training data (no PyAV needed). Two measures of a step,
both from 0 to 255: d, the mean absolute luma difference of the two frames, and its *change*, which
also counts chroma, and counts more where both frames are dark (`change_of`). The step from one
frame to the next is judged among the steps around it:

  cut            change > CUT_MIN and > CUT_RATIO x the median of the other steps
  repeated frame d < REPEAT_MAX or d < REPEAT_RATIO x the upper quartile of the steps, unless still
  still          the upper quartile of the steps is below STILL_MAX

No cut is a step between frames that look alike, a flash (`is_flash`), or part of a fade or dissolve
(transitions.py). A gap is a matter of time alone: a step of more than `max_gap` seconds and of more
than GAP_RATIO x the median of the other steps.
"""

from collections.abc import Sequence
from fractions import Fraction
from statistics import median
from typing import NamedTuple

import numpy as np

CUT_MIN = 10.0
CUT_RATIO = 4.0
REPEAT_MAX = 0.12
REPEAT_RATIO = 0.12
STILL_MAX = 0.25
NEIGHBORHOOD = 6  # steps on each side
MAX_GAP = 0.5  # seconds
GAP_RATIO = 4
CHROMA_GAIN = 2.0  # chroma varies less than luma
DARK = 32.0  # contrast of luma, in levels, below which a change counts more, in proportion
MOST_GAIN = 5.0
MAX_ALIKE = 0.8, 0.5  # correlation of luma, of chroma, of frames that may show two shots
FLASH_FRAMES = 3  # a flash lasts at most
FLASH_RETURN = 0.25  # of the squared change is left after a flash
FLASH_LIFT = 0.6  # of the difference is one of mean brightness


class StepKind(NamedTuple):
    """The kind of the step from a frame to the next one."""

    cut: bool
    repeated: bool
    still: bool


def judge_step(
    differences: np.ndarray,
    place: int,
    cut_min: float = CUT_MIN,
    changes: np.ndarray | None = None,
) -> StepKind:
    """The rules of this module for step `place` among its neighbors.

    Args:
        differences: d of the steps within NEIGHBORHOOD of the judged one, including its own.
        place: the index of the judged one.
        changes: the change of the same steps; None: d.
    """
    difference = differences[place]
    changes = differences if changes is None else changes
    others = np.delete(changes, place)
    typical = float(np.median(others)) if len(others) else 0.0
    active = float(np.quantile(differences, 0.75))
    cut = changes[place] > cut_min and changes[place] > CUT_RATIO * typical
    still = active < STILL_MAX
    repeated = not still and (difference < REPEAT_MAX or difference < REPEAT_RATIO * active)
    return StepKind(bool(cut), bool(repeated), bool(still))


def change_of(small_1: np.ndarray, small_2: np.ndarray) -> tuple[float, float, float]:
    """Two thumbnails, (3, h, w) float: d, the change, and the difference of mean brightness."""
    apart = small_2 - small_1
    luma, *chroma = np.abs(apart).mean((1, 2))
    contrast = max(small_1[0].std(), small_2[0].std())
    gain = min(MOST_GAIN, max(1.0, DARK / max(contrast, 1e-6)))
    change = gain * max(luma, CHROMA_GAIN * sum(chroma))
    return float(luma), float(change), float(apart[0].mean())


def are_alike(coarse_1: np.ndarray, coarse_2: np.ndarray) -> bool:
    """Whether two coarse frames (transitions.py) show the same, lit otherwise perhaps: luma and
    chroma both correlate. Plain colors correlate with nothing."""
    planes = [x.reshape(3, -1) for x in (coarse_1, coarse_2)]
    flat_1, flat_2 = (x - x.mean(1, keepdims=True) for x in planes)
    if max((flat_1[0] ** 2).mean(), (flat_2[0] ** 2).mean()) < 1.0:
        return False
    parts = zip((np.s_[:1], np.s_[1:]), MAX_ALIKE)
    return all(_correlation(flat_1[part], flat_2[part]) > most for part, most in parts)


def is_flash(frames: Sequence[np.ndarray], place: int, lift: float) -> bool:
    """Whether the step from coarse frame `place` to the next begins or ends a flash: a few frames
    brighter or darker as a whole, and then the picture from before.

    Args:
        lift: share of d that is a difference of mean brightness.
    """
    if lift < FLASH_LIFT:
        return False
    before, after = frames[place], frames[place + 1]
    later = frames[place + 2 : place + 2 + FLASH_FRAMES]
    earlier = frames[max(0, place - FLASH_FRAMES) : place]
    most = FLASH_RETURN * _distance(before, after)
    returns = [_distance(before, x) for x in later] + [_distance(after, x) for x in earlier]
    return min(returns, default=most) < most


def is_gap(steps: Sequence[Fraction], place: int, max_gap: float) -> bool:
    """Whether step `place` of `steps` (as in `judge_step`, but in seconds) is a pause in which
    nothing was recorded."""
    others = [step for i, step in enumerate(steps) if i != place]
    return steps[place] > max_gap and bool(others) and steps[place] > GAP_RATIO * median(others)


def _correlation(flat_1: np.ndarray, flat_2: np.ndarray) -> float:
    """Of two arrays of mean 0; 1 for two gray pictures' chroma, 0 if only one has any contrast."""
    spread_1, spread_2 = float((flat_1**2).mean()), float((flat_2**2).mean())
    if max(spread_1, spread_2) < 1.0:
        return 1.0
    return float((flat_1 * flat_2).mean()) / max(1e-6, np.sqrt(spread_1 * spread_2))


def _distance(a: np.ndarray, b: np.ndarray) -> float:
    return float(((a - b) ** 2).mean())
