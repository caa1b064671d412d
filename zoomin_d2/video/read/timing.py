"""How fast a video runs and how long its frames last: the one place that decides it.

Containers declare rates and durations that contradict their own timestamps: 1000 fps in a screen
recording, a millisecond for every frame. So both are checked against the timestamps of the first
packets.
"""

from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise
from statistics import median
from typing import NamedTuple

import av

from zoomin_d2.video.read.rates import standard_rate

PREVIEW = 64  # packets examined
DEFAULT_RATE = Fraction(25)
_STEADY = 0.8  # share of steps that are alike, or of durations that are confirmed
_ROOM = Fraction(3, 2)  # a rate is impossible where no step comes this near to it
_MAX_LAST = 3  # usual steps: a promised end further away than this means that a part is missing


class Timing(NamedTuple):
    """What the first packets of a stream show.

    Attributes:
        rate: frames per second: the declared one where the timestamps allow it, else measured.
        has_times: packets have timestamps.
        tick: resolution of the times, in seconds.
        true_durations: a packet's duration is the time to the next frame.
        in_decoding_order: times are those of decoding, though the codec reorders (AVI).
    """

    rate: Fraction
    has_times: bool
    tick: Fraction
    true_durations: bool
    in_decoding_order: bool

    @property
    def usual(self) -> Fraction:
        """Seconds from one frame to the next."""
        return 1 / self.rate

    def duration(
        self, time: Fraction, own: Fraction, promised_end: Fraction | None, is_complete: bool
    ) -> Fraction:
        """How long the frame at `time` (seconds) lasts if nothing follows.

        Args:
            own: the duration that comes with the frame, in seconds; 0: none.
            promised_end: where the stream's header says that the video ends, in seconds.
            is_complete: every packet that the header counts was read.
        """
        if self.true_durations and own:
            return self.usual if abs(own - self.usual) < self.tick else own  # a rounded one
        rest = Fraction(0) if promised_end is None else promised_end - time
        is_rounded = abs(rest - self.usual) <= 2 * self.tick  # as both its ends are
        if rest > 0 and not is_rounded and (is_complete or rest <= _MAX_LAST * self.usual):
            return rest
        return self.usual


def measure_timing(
    stream: av.VideoStream, packets: Sequence[av.Packet], container_name: str
) -> Timing:
    """Timing of a stream by its first packets."""
    order = [p.pts for p in packets if p.pts is not None and not p.is_discard]
    durations = {p.pts: p.duration or 0 for p in packets if p.pts is not None}
    ticks = sorted(set(order))
    steps = [b - a for a, b in pairwise(ticks)]
    base = Fraction(stream.time_base or 1)
    rates = [stream.average_rate, stream.guessed_rate, stream.base_rate]
    if not order:  # of a raw stream, the average is FFmpeg's default, 25
        rates = [stream.guessed_rate, *rates]
    declared = [Fraction(r) for r in rates if r]
    rate = possible_rate(declared, [s * base for s in steps], base)
    borne_out = [abs(durations[t] - step) <= min(1, step // 4) for t, step in zip(ticks, steps)]
    true_durations = sum(borne_out) >= _STEADY * len(borne_out)
    # AVI stores no presentation times; FFmpeg derives them for codecs with one reordered frame
    in_decoding_order = (
        container_name == "avi"
        and stream.codec_context.name in ("h264", "hevc")
        and order == sorted(order)
    )
    return Timing(rate, bool(order), base, true_durations, in_decoding_order)


def possible_rate(declared: list[Fraction], steps: list[Fraction], tick: Fraction) -> Fraction:
    """The first declared rate that the steps (seconds) confirm, a whole or an NTSC one before an
    average of rounded times; else the measured one. `tick` is the resolution of the times, in
    seconds."""
    if not steps:
        return standard_rate(declared[0]) if declared else DEFAULT_RATE
    usual = median(steps)
    alike = [step for step in steps if abs(step - usual) <= min(tick, usual / 3)]
    if len(alike) >= _STEADY * len(steps):
        mean = sum(alike, Fraction(0)) / len(alike)
        error = 2 * tick / sum(alike, Fraction(0))
        confirmed = [standard_rate(rate) for rate in declared if abs(rate * mean - 1) <= error]
        exact = [rate for rate in confirmed if rate.denominator in (1, 1001)]
        return next(iter(exact or confirmed), _plain(1 / mean, error))
    for rate in declared:
        step = 1 / rate
        if min(steps) - tick <= step * _ROOM and max(steps) + tick >= step / _ROOM:
            return standard_rate(rate)
    return _plain(1 / usual, tick / usual)


def _plain(rate: Fraction, error: Fraction) -> Fraction:
    """`rate`, or a whole number or a member of the NTSC family within its relative error."""
    whole = Fraction(max(1, round(rate)))
    if abs(whole - rate) <= rate * error:
        return whole
    return standard_rate(rate, max(error, Fraction(1, 100_000)))
