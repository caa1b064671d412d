"""The frames of a source, each marked if a cut, fade, dissolve or gap leads to it, or if it is only
a repeat."""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from zoomin_d2.video.read.source import SourceFrame, thumbnail
from zoomin_d2.video.time.cut_list import Cut, GivenCuts
from zoomin_d2.video.time.step_detection import (
    CUT_MIN,
    NEIGHBORHOOD,
    are_alike,
    change_of,
    is_flash,
    is_gap,
    judge_step,
)
from zoomin_d2.video.time.transitions import LONGEST, Kind, coarse, transitions_to_last

LOOKAHEAD = 16  # frames after a step in which a transition that begins there has to show


class Step(NamedTuple):
    """The step from a frame to the next one.

    Attributes:
        cut, repeated, still: by the rules of step_detection.py.
        transition: of which it is a part; None: of none.
        score: the change of a cut, or the one of a whole transition, in levels; else 0.
    """

    cut: bool = False
    repeated: bool = False
    still: bool = False
    transition: Kind | None = None
    score: float = 0.0


class _Measure(NamedTuple):
    difference: float
    change: float
    lift: float
    alike: bool


@dataclass
class MarkedFrame:
    """A source frame, and the step that leads to it; `transition`: frames between the two are
    mixed, because nothing moves from one to the other."""

    frame: SourceFrame
    cut_before: bool
    repeats: bool
    still: bool
    transition: Kind | None = None
    score: float = 0.0

    @property
    def apart(self) -> bool:
        """Whether nothing moves from the frame before to this one."""
        return self.frame.gap_before or self.cut_before or self.transition is not None

    @property
    def holds_last(self) -> bool:
        """Whether the frame before is shown up to this one: a gap, or a loop that cannot close."""
        return self.frame.gap_before or (self.frame.closes_loop and self.cut_before)


class StepJudge:
    """Judges the steps of a sequence of thumbnails, each when enough of what follows is known.

    Args:
        cut_min: the smallest change of a cut (step_detection.py); None finds no cuts, fades and
            dissolves, and then looks less far ahead.
    """

    def __init__(self, cut_min: float | None = CUT_MIN):
        self._cut_min = cut_min
        self._ahead = NEIGHBORHOOD if cut_min is None else LOOKAHEAD
        self._previous: np.ndarray | None = None
        self._coarse: deque[np.ndarray] = deque(maxlen=LONGEST + 1)
        self._measures: deque[_Measure] = deque(maxlen=NEIGHBORHOOD + 1 + LOOKAHEAD)
        self._transitions: dict[int, tuple[Kind, float]] = {}  # by step
        self._num_steps = self._num_judged = 0

    def add(self, small: np.ndarray) -> Iterator[Step]:
        """The next thumbnail (3, h, w); gives the steps that are settled by it."""
        vector = coarse(small)
        if self._previous is not None:
            difference, change, brighter = change_of(self._previous, small)
            lift = abs(brighter) / difference if difference else 0.0
            alike = are_alike(self._coarse[-1], vector)
            self._measures.append(_Measure(difference, change, lift, alike))
            self._num_steps += 1
        self._previous = small
        self._coarse.append(vector)
        if self._cut_min is not None:
            self._find_transitions()
        if self._num_steps - self._num_judged > self._ahead:
            yield self._judge()

    def finish(self) -> Iterator[Step]:
        """The steps that are left."""
        while self._num_judged < self._num_steps:
            yield self._judge()

    def _find_transitions(self) -> None:
        first = self._num_steps + 1 - len(self._coarse)  # the frame of self._coarse[0]
        for window in transitions_to_last(np.stack(self._coarse)):
            for step in range(max(self._num_judged, first + window.start), first + window.end):
                known = self._transitions.get(step)
                if known is None or known[1] < window.change:
                    self._transitions[step] = window.kind, window.change

    def _judge(self) -> Step:
        step, first = self._num_judged, self._num_steps - len(self._measures)
        low, end = max(first, step - NEIGHBORHOOD), step + NEIGHBORHOOD + 1
        around = [m for i, m in enumerate(self._measures, first) if low <= i < end]
        place = step - low
        cut, repeated, still = judge_step(
            np.array([m.difference for m in around]),
            place,
            self._cut_min or CUT_MIN,
            np.array([m.change for m in around]),
        )
        own = around[place]
        cut = cut and self._cut_min is not None and not own.alike
        cut = cut and not self._is_in_flash(step, own.lift)
        cut = cut and not self._is_beside_transition(step, own.difference)
        kind, score = self._transitions.get(step, (None, own.change if cut else 0.0))
        self._transitions.pop(step - 1, None)
        self._num_judged += 1
        return Step(cut, repeated, still, kind, score)

    def _is_in_flash(self, step: int, lift: float) -> bool:
        first = self._num_steps + 1 - len(self._coarse)
        return step >= first and is_flash(list(self._coarse), step - first, lift)

    def _is_beside_transition(self, step: int, difference: float) -> bool:
        """Whether it is part of one, or the faint step with which one begins or ends."""
        first = self._num_steps - len(self._measures)
        beside = [i for i in (step - 1, step + 1) if i in self._transitions]
        faint = any(difference < 2 * self._measures[i - first].difference for i in beside)
        return step in self._transitions or faint


def mark_steps(
    frames: Iterable[SourceFrame],
    cut_min: float | None = CUT_MIN,
    max_gap: float | None = None,
    cuts: tuple[Cut, ...] | None = None,
) -> Iterator[MarkedFrame]:
    """Judge every step, looking a few frames ahead (decoded, not converted to RGB).

    Args:
        frames: in order.
        cut_min: the smallest change of a cut (step_detection.py); None finds no cuts, fades and
            dissolves.
        max_gap: seconds; after a longer pause the frame is marked `gap_before`. None: never.
        cuts: take these instead of looking for any; None: look.
    """
    judge = StepJudge(cut_min if cuts is None else None)
    given = None if cuts is None else GivenCuts(cuts)
    waiting: deque[SourceFrame] = deque()  # the last judged one, and those that follow it
    pauses: deque[Fraction] = deque(maxlen=NEIGHBORHOOD)  # steps before

    def marked(step: Step) -> MarkedFrame:
        previous, frame = waiting.popleft(), waiting[0]
        times = [previous.time, *(f.time for f in list(waiting)[: NEIGHBORHOOD + 1])]
        around = [*pauses, *(b - a for a, b in pairwise(times))]
        if max_gap is not None and is_gap(around, len(pauses), max_gap):
            frame.gap_before = True
        pauses.append(frame.time - previous.time)
        cut, kind = step.cut, step.transition
        if given is not None:
            following = waiting[1].time if len(waiting) > 1 else None
            cut, kind = given.step_to(frame, previous.time, following)
        return MarkedFrame(frame, cut, step.repeated, step.still, kind, step.score)

    for frame in frames:
        small = thumbnail(frame.picture)
        if not waiting:
            yield MarkedFrame(frame, False, False, False)
        waiting.append(frame)
        yield from map(marked, judge.add(small))
    yield from map(marked, judge.finish())
