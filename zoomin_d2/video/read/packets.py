"""Packets of a file in its order, with times that only grow: faults of a container's clock are
repaired here, before anything else looks at a time.

  restart   when a clock falls back by more than RESTART (two recordings joined), what follows
            begins where its stream had ended
  jump      the same for a leap ahead of more than JUMP, in formats whose clock is allowed to leap
            (MPEG-TS and program streams); a smaller leap is a pause and stays one
  wrap      33 bits of 90 kHz are undone by FFmpeg; times before the wrap are then negative, and
            `clock_origin` makes the first of them zero

All streams of a file get the same correction, so sound stays with its picture.
"""

from collections import deque
from collections.abc import Collection, Iterable, Iterator
from fractions import Fraction

import av

RESTART = Fraction(1, 10)  # seconds
JUMP = Fraction(10)
_TS_DISCONT = 0x200  # FFmpeg's flag of formats whose clock may jump
_BEFORE_TURN = 3  # packets within which FFmpeg notices that the next recording begins
_MAX_HELD = 64 * 2**20  # bytes of packets that wait for a later keyframe


def clock_origin(container: av.container.InputContainer) -> Fraction:
    """The file's clock at our time 0, in seconds: the start of the file.

    A negative start only counts for pictures; sound has its priming there."""
    start = Fraction(container.start_time or 0, av.time_base)
    starts = [
        (s.type == "video", Fraction(s.start_time * s.time_base))
        for s in container.streams
        if s.start_time is not None and s.time_base is not None
    ]
    # the container's is in microseconds
    start = next((time for _, time in starts if abs(time - start) * av.time_base < 1), start)
    begins_below = any(is_video and time < 0 for is_video, time in starts)
    return start if start >= 0 or begins_below else Fraction(0)


def continuous_packets(
    container: av.container.InputContainer, only: Collection[int] | None = None
) -> Iterator[av.Packet]:
    """Packets in file order; restarts and jumps of the clock are undone in their `pts` and `dts`.

    Args:
        only: indices of the streams whose packets are given; the others are read as well, because
            they show when the clock turns. None: all.

    Raises:
        av.FFmpegError: reading failed.
    """
    may_jump = bool(container.format.flags & _TS_DISCONT)
    shifts = [Fraction(0)]  # of each stretch of the file between two turns of its clock
    stretches: dict[int, int] = {}  # stream -> the stretch that it is in
    ends: dict[int, tuple[Fraction, Fraction]] = {}  # stream -> (last dts, its end), as in the file
    packets = _Ahead(container.demux())

    def turns(dts: Fraction, last: Fraction, end: Fraction) -> bool:
        return dts < last - RESTART or (may_jump and dts > end + JUMP)

    for packet in packets:
        is_given = only is None or packet.stream.index in only
        if packet.dts is None or not packet.time_base:
            if is_given:
                yield packet
            continue
        index, base = packet.stream.index, packet.time_base
        if packet.stream.type in ("video", "audio"):
            dts = packet.dts * base
            is_stray = False
            if index in ends and turns(dts, *ends[index]):
                following = packets.upcoming(index, 1)
                is_stray = not following or not turns(following[0], *ends[index])
                if not is_stray:
                    stretches[index] = stretches.get(index, 0) + 1
                    if stretches[index] == len(shifts):  # the first stream that turns decides
                        shifts.append(ends[index][1] + shifts[-1] - dts)
            if not is_stray:  # a single damaged timestamp is not a turn
                ends[index] = dts, dts + (packet.duration or 0) * base
            if packet.is_corrupt and any(
                turns(x, *ends[index]) for x in packets.upcoming(index, _BEFORE_TURN)
            ):
                packet.is_corrupt = False  # MPEG-TS: the count of its packets turned as well
            shift = shifts[stretches.get(index, 0)]
        else:  # too sparse to tell
            shift = shifts[-1]
        if shift:
            ticks = round(shift / base)
            packet.dts += ticks
            if packet.pts is not None:
                packet.pts += ticks
        if is_given:
            yield packet


class _Ahead:
    """Packets in order, with a look ahead."""

    def __init__(self, packets: Iterator[av.Packet]):
        self._packets = packets
        self._waiting: deque[av.Packet] = deque()
        self._fault: av.FFmpegError | None = None

    def __iter__(self) -> Iterator[av.Packet]:
        while self._waiting or self._pull():
            yield self._waiting.popleft()
        if self._fault is not None:
            raise self._fault

    def upcoming(self, stream_index: int, count: int) -> list[Fraction]:
        """Decoding times (seconds) of the next `count` packets of a stream, fewer at the end."""
        found: list[Fraction] = []
        place = 0
        while len(found) < count and (place < len(self._waiting) or self._pull()):
            packet = self._waiting[place]
            if packet.stream.index == stream_index and packet.dts is not None:
                found.append(packet.dts * Fraction(packet.time_base or 1))
            place += 1
        return found

    def _pull(self) -> bool:
        try:
            packet = next(self._packets, None) if self._fault is None else None
        except av.FFmpegError as error:
            self._fault, packet = error, None
        if packet is not None:
            self._waiting.append(packet)
        return packet is not None


def from_keyframe(
    packets: Iterable[av.Packet], stream_index: int, start: Fraction
) -> Iterator[av.Packet]:
    """The packets from the last keyframe that is shown at or before `start` (file's clock).

    Every frame that is shown from `start` on is decoded after that keyframe. Packets are read and
    dropped instead of seeking, because seeking lands late in files without an index.
    """
    held: deque[av.Packet] = deque()
    size = 0
    packets = iter(packets)
    for packet in packets:
        is_past = False
        if packet.stream.index == stream_index and packet.pts is not None:
            base = Fraction(packet.time_base or 1)
            if packet.is_keyframe and packet.pts * base <= start:
                held.clear()
                size = 0
            is_past = (packet.pts if packet.dts is None else packet.dts) * base > start
        held.append(packet)
        size += packet.size
        if is_past or size > _MAX_HELD:
            break
    yield from held
    for packet in packets:  # not "yield from": PyAV's own generator may be at its end
        yield packet
