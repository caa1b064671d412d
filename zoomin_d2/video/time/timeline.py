"""Which moments of the source the output shows, in exact rational time.

Times are Fractions of seconds. A *moment* is one output frame: its index n, its time in the output
and the source time that it shows. Two grids:

  UniformGrid      T_n = start + n / (fps * slowmo): constant frame rate out, whatever comes in
  SubdivisionGrid  divides every interval between two source frames into m equal parts: each source
                   frame is kept, and an uneven source stays uneven (and in sync)

The output lasts as long as the source (times slowmo), to within half an output frame.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import Protocol

from zoomin_d2.video.read.rates import Rate, exact, parse_rate

MAX_FPS = 10_000
MIN_TICKS_PER_SECOND = 10_000
MAX_TICKS_PER_SECOND = 1_000_000


@dataclass(frozen=True, slots=True)
class Moment:
    """Output frame `index` is shown at `time` for `duration` (output clock) and shows
    `source_time`."""

    index: int
    time: Fraction
    source_time: Fraction
    duration: Fraction


@dataclass(frozen=True)
class Target:
    """What the user asks for: exactly one of `multi` and `fps`, or `slowmo` (with or without fps).

    Args:
        multi: output frames per source frame, an integer of at least 2.
        fps: output frames per second: 60, 59.94 (taken as 60000/1001), "59.94", "60000/1001".
        slowmo: how many times longer the output lasts, 1 to 1000.

    Raises:
        ValueError: a value is not a number, is out of range, or does not go with the others.
    """

    multi: int | None
    fps: Fraction | None
    slowmo: Fraction

    def __init__(
        self,
        multi: Rate | None = None,
        fps: Rate | None = None,
        slowmo: Rate = 1,
    ):
        values = {
            "multi": None if multi is None else _whole(multi),
            "fps": None if fps is None else parse_rate(fps),
            "slowmo": exact(slowmo),
        }
        for name, value in values.items():
            object.__setattr__(self, name, value)  # frozen
        self._check()

    def _check(self) -> None:
        if self.multi is None and self.fps is None and self.slowmo == 1:
            raise ValueError("Nothing to do: give multi, fps or slowmo")
        if self.multi is not None and (self.fps is not None or self.slowmo != 1):
            raise ValueError("multi cannot be combined with fps or slowmo")
        if self.multi is not None and not 2 <= self.multi <= 1000:
            raise ValueError(f"multi must be from 2 to 1000, got {self.multi}")
        if self.fps is not None and not 0 < self.fps <= MAX_FPS:
            raise ValueError(f"fps must be above 0 and at most {MAX_FPS}, got {self.fps}")
        if not 1 <= self.slowmo <= 1000:
            raise ValueError(f"slowmo must be from 1 to 1000, got {self.slowmo}")


def _whole(multi: Rate) -> int:
    number = exact(multi)
    if number.denominator != 1:
        raise ValueError(f"multi must be a whole number, got {multi}")
    return int(number)


class UniformGrid:
    """Constant frame rate. `tolerance`: source times this near to a moment are that moment.
    `most`: frames of the whole output, at most; None: any number."""

    def __init__(
        self,
        fps: Fraction,
        slowmo: Fraction,
        start: Fraction,
        tolerance: Fraction,
        most: int | None = None,
    ):
        self._most = most
        self.fps, self.slowmo, self.start = fps, slowmo, start
        self._step = 1 / (fps * slowmo)
        self.tolerance = min(tolerance / 2, self._step / 8)
        self.time_base = _time_base(fps)

    def between(self, index: int, times: Sequence[Fraction], least: int = 0) -> list[Moment]:
        """The moments in [times[0], times[-1]) from number `least` on; `index` is unused, because
        the times decide."""
        first = _ceil((times[0] - self.tolerance - self.start) / self._step)
        end = _ceil((times[-1] - self.tolerance - self.start) / self._step)
        end = end if self._most is None else min(end, self._most)
        return [self._moment(n) for n in range(max(least, first), end)]

    def tail(
        self, index: int, time: Fraction, duration: Fraction, hold: bool = True
    ) -> list[Moment]:
        """The moments that the last source frame covers; the total is rounded, not cut, but there
        is at least one. Without `hold` only the one at its own time."""
        end = time + duration - self._step / 2
        covered = self.between(index, [time, time + duration])
        moments = [m for m in covered if m.source_time < end or m.index == 0]
        return moments if hold else [m for m in moments if m.source_time <= time + self.tolerance]

    def cells(self, index: int, times: Sequence[Fraction]) -> list[Moment]:
        """The moments that begin a step of the output which overlaps [times[0], times[-1]); the
        first of all may begin before the output, as number -1."""
        return self.between(index, [times[0] - self._step, times[-1]], least=-1)

    def count(self, num_frames: int, duration: Fraction) -> int:
        """Output frames of a source of `duration` seconds."""
        return max(1, round(duration / self._step))

    def _moment(self, n: int) -> Moment:
        source_time = self.start + n * self._step
        return Moment(n, source_time * self.slowmo, source_time, self._step * self.slowmo)


class SubdivisionGrid:
    """`parts` output frames per source frame, from it towards the next one."""

    tolerance = Fraction(0)

    def __init__(self, parts: int, slowmo: Fraction, rate: Fraction, time_base: Fraction):
        self.parts, self.slowmo = parts, slowmo
        self.fps = rate * parts / slowmo
        fine = _time_base(self.fps)
        if time_base * slowmo / parts < fine and time_base.numerator == 1:
            fine = max(time_base * slowmo / parts, Fraction(1, MAX_TICKS_PER_SECOND))
        self.time_base = fine

    def between(self, index: int, times: Sequence[Fraction]) -> list[Moment]:
        """The moments in [times[0], times[-1]): `times` are those of successive source frames, and
        `index` is the number of source frames before times[0]."""
        moments = []
        for i, (a, b) in enumerate(pairwise(times)):
            part = (b - a) / self.parts
            for k in range(self.parts):
                source_time = a + k * part
                n = (index + i) * self.parts + k
                time, duration = source_time * self.slowmo, part * self.slowmo
                moments.append(Moment(n, time, source_time, duration))
        return moments

    def tail(
        self, index: int, time: Fraction, duration: Fraction, hold: bool = True
    ) -> list[Moment]:
        """The moments that the last source frame covers; without `hold` only its own."""
        moments = self.between(index, [time, time + duration])
        return moments if hold else moments[:1]

    def cells(self, index: int, times: Sequence[Fraction]) -> list[Moment]:
        """The moments that begin a step of the output in [times[0], times[-1])."""
        return self.between(index, times)

    def count(self, num_frames: int, duration: Fraction) -> int:
        """Output frames of `num_frames` source frames."""
        return num_frames * self.parts


Grid = UniformGrid | SubdivisionGrid


class Timing(Protocol):
    """What a grid has to know about a source; SourceInfo describes each attribute."""

    @property
    def rate(self) -> Fraction: ...
    @property
    def start(self) -> Fraction: ...
    @property
    def time_base(self) -> Fraction: ...


def make_grid(target: Target, source: Timing) -> Grid:
    """The grid of a target for a source."""
    rate, time_base = source.rate, source.time_base
    if target.multi is not None:
        return SubdivisionGrid(target.multi, Fraction(1), rate, time_base)
    if target.fps is None and target.slowmo.denominator == 1:
        return SubdivisionGrid(int(target.slowmo), target.slowmo, rate, time_base)
    return UniformGrid(target.fps or rate, target.slowmo, source.start, time_base)


def _time_base(fps: Fraction) -> Fraction:
    """A tick of which every frame of `fps` lasts a whole number, fine enough for any muxer."""
    ticks = fps.numerator
    while ticks < MIN_TICKS_PER_SECOND:
        ticks *= 2
    return Fraction(1, ticks)


def _ceil(value: Fraction) -> int:
    return -(-value.numerator // value.denominator)
