"""Where a video cuts, and which frames only repeat the one before, from small thumbnails.

The measure is the mean absolute luma difference d (0..255) between neighbours. For the step from
one frame to the next, seen among the steps around it:

  cut            d > CUT_MIN and d > CUT_RATIO x the median of the other steps
  repeated frame d < REPEAT_MAX or d < REPEAT_RATIO x the upper quartile of the steps, unless still
  still          the upper quartile of the steps is below STILL_MAX

Dissolves and fades are not detected.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from .source import SourceFrame, thumbnail

CUT_MIN = 10.0
CUT_RATIO = 4.0
REPEAT_MAX = 0.12
REPEAT_RATIO = 0.12
STILL_MAX = 0.25
NEIGHBOURHOOD = 6  # steps on each side


class StepKind(NamedTuple):
    """What the step from a frame to the next one is."""

    cut: bool
    repeated: bool
    still: bool


def judge_step(
    differences: np.ndarray, place: int, cut_min: float = CUT_MIN, cut_ratio: float = CUT_RATIO
) -> StepKind:
    """The rules of this module for step `place` among its neighbours.

    Args:
        differences: d of the steps within NEIGHBOURHOOD of the one judged, itself among them.
        place: which of them is judged.
    """
    difference = differences[place]
    others = np.delete(differences, place)
    typical = float(np.median(others)) if len(others) else 0.0
    active = float(np.quantile(differences, 0.75))
    cut = difference > cut_min and difference > cut_ratio * typical
    still = active < STILL_MAX
    repeated = not still and (difference < REPEAT_MAX or difference < REPEAT_RATIO * active)
    return StepKind(bool(cut), bool(repeated), bool(still))


@dataclass
class MarkedFrame:
    """A source frame, and what the step that leads to it is."""

    frame: SourceFrame
    cut_before: bool
    repeats: bool
    still: bool


def mark_steps(
    frames: Iterable[SourceFrame], cut_min: float | None = CUT_MIN
) -> Iterator[MarkedFrame]:
    """Judge every step, looking NEIGHBOURHOOD frames ahead (decoded, not converted to RGB).

    Args:
        frames: in order.
        cut_min: the threshold of the module's rule; None finds no cuts.
    """
    waiting: deque[SourceFrame] = deque()
    differences: deque[float] = deque(maxlen=2 * NEIGHBOURHOOD + 1)
    previous, is_first, behind = None, True, 0

    def judged(place: int) -> MarkedFrame:
        kind = judge_step(np.asarray(differences), place, cut_min or CUT_MIN)
        frame = waiting.popleft()
        return MarkedFrame(frame, kind.cut and cut_min is not None, kind.repeated, kind.still)

    for frame in frames:
        small = thumbnail(frame.picture)
        if is_first:
            yield MarkedFrame(frame, False, False, False)
            is_first = False
        else:
            if len(differences) == differences.maxlen:
                behind -= 1
            differences.append(float(np.abs(small - previous).mean()))
            waiting.append(frame)
            if len(waiting) > NEIGHBOURHOOD:
                yield judged(behind)
                behind += 1
        previous = small
    while waiting:
        # the window shrinks at the end, as it grew at the start
        if behind > NEIGHBOURHOOD:
            differences.popleft()
            behind -= 1
        yield judged(behind)
        behind += 1
