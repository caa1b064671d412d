"""The frames of a source, each marked if a cut or gap leads to it, or if it is only a repeat."""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from zoomin_d2.video.read.source import SourceFrame, thumbnail
from zoomin_d2.video.time.step_detection import CUT_MIN, NEIGHBORHOOD, is_gap, judge_step


@dataclass
class MarkedFrame:
    """A source frame, and the kind of the step that leads to it."""

    frame: SourceFrame
    cut_before: bool
    repeats: bool
    still: bool


def mark_steps(
    frames: Iterable[SourceFrame],
    cut_min: float | None = CUT_MIN,
    max_gap: float | None = None,
) -> Iterator[MarkedFrame]:
    """Judge every step, looking NEIGHBORHOOD frames ahead (decoded, not converted to RGB).

    Args:
        frames: in order.
        cut_min: the smallest difference of a cut (step_detection.py); None finds no cuts.
        max_gap: seconds; after a longer pause the frame is marked `gap_before`. None: never.
    """
    waiting: deque[SourceFrame] = deque()
    differences: deque[float] = deque(maxlen=2 * NEIGHBORHOOD + 1)
    steps: deque[Fraction] = deque(maxlen=differences.maxlen)
    last_time = Fraction(0)
    previous, is_first, behind = None, True, 0

    def judged(place: int) -> MarkedFrame:
        kind = judge_step(np.asarray(differences), place, cut_min or CUT_MIN)
        frame = waiting.popleft()
        if max_gap is not None and is_gap(steps, place, max_gap):
            frame.gap_before = True
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
            steps.append(frame.time - last_time)
            waiting.append(frame)
            if len(waiting) > NEIGHBORHOOD:
                yield judged(behind)
                behind += 1
        previous, last_time = small, frame.time
    while waiting:
        # the window shrinks at the end, as it grew at the start
        if behind > NEIGHBORHOOD:
            differences.popleft()
            steps.popleft()
            behind -= 1
        yield judged(behind)
        behind += 1
