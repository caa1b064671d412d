"""Where a video cuts, and which frames only repeat the one before, from small thumbnails.

These are only the rules, for videos and for training data (no PyAV needed). The measure is the mean
absolute luma difference d (0..255) between neighbors. The step from one frame to the next is judged
among the steps around it:

  cut            d > CUT_MIN and d > CUT_RATIO x the median of the other steps
  repeated frame d < REPEAT_MAX or d < REPEAT_RATIO x the upper quartile of the steps, unless still
  still          the upper quartile of the steps is below STILL_MAX

Dissolves and fades are not detected. A gap is a matter of time alone: a step of more than `max_gap`
seconds and of more than GAP_RATIO x the median of the other steps.
"""

from collections.abc import Sequence
from fractions import Fraction
from statistics import median
from typing import NamedTuple

import numpy as np

THUMBNAIL_WIDTH = 160  # pixels of the thumbnails that are compared
CUT_MIN = 10.0
CUT_RATIO = 4.0
REPEAT_MAX = 0.12
REPEAT_RATIO = 0.12
STILL_MAX = 0.25
NEIGHBORHOOD = 6  # steps on each side
MAX_GAP = 0.5  # seconds
GAP_RATIO = 4


class StepKind(NamedTuple):
    """The kind of the step from a frame to the next one."""

    cut: bool
    repeated: bool
    still: bool


def judge_step(
    differences: np.ndarray, place: int, cut_min: float = CUT_MIN, cut_ratio: float = CUT_RATIO
) -> StepKind:
    """The rules of this module for step `place` among its neighbors.

    Args:
        differences: d of the steps within NEIGHBORHOOD of the judged one, including its own.
        place: the index of the judged one.
    """
    difference = differences[place]
    others = np.delete(differences, place)
    typical = float(np.median(others)) if len(others) else 0.0
    active = float(np.quantile(differences, 0.75))
    cut = difference > cut_min and difference > cut_ratio * typical
    still = active < STILL_MAX
    repeated = not still and (difference < REPEAT_MAX or difference < REPEAT_RATIO * active)
    return StepKind(bool(cut), bool(repeated), bool(still))


def is_gap(steps: Sequence[Fraction], place: int, max_gap: float) -> bool:
    """Whether step `place` of `steps` (as in `judge_step`, but in seconds) is a pause in which
    nothing was recorded."""
    others = [step for i, step in enumerate(steps) if i != place]
    return steps[place] > max_gap and bool(others) and steps[place] > GAP_RATIO * median(others)
