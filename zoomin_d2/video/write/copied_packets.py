"""Packets copied from file to file: their streams, and their times completed."""

from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import NamedTuple

import av
from av.bitstream import BitStreamFilterContext

from zoomin_d2.video.read.packets import clock_origin, continuous_packets

_MAX_HELD = 17  # packets; a codec reorders at most 16
_PRIMING = Fraction(1, 10)  # seconds of sound before the start that a decoder may need


class Clock(NamedTuple):
    """Times of the source become times of the output: (time - offset) * slowmo, in seconds."""

    slowmo: Fraction = Fraction(1)
    offset: Fraction = Fraction(0)

    @classmethod
    def of(cls, source: av.container.InputContainer, slowmo: Fraction) -> "Clock":
        """The output starts where the container starts (see read/packets.py)."""
        return cls(slowmo, clock_origin(source))

    def convert(self, packet: av.Packet) -> None:
        """Change the times of a packet, in its own time base."""
        shift = self.offset / packet.time_base
        if packet.pts is not None:
            packet.pts = round((packet.pts - shift) * self.slowmo)
        if packet.dts is not None:
            packet.dts = round((packet.dts - shift) * self.slowmo)
        if self.slowmo != 1:
            packet.duration = round((packet.duration or 0) * self.slowmo)


def add_copy(out: av.container.OutputContainer, stream: av.stream.Stream) -> av.stream.Stream:
    """A stream of `out` for packets of `stream`. Raises ValueError, av.FFmpegError."""
    try:
        return out.add_stream_from_template(stream, opaque=True)
    except ValueError:
        # FFmpeg's table of what a container holds lacks codecs that its muxer writes (WMA in .mkv).
        # A placeholder codec passes the check; the filter "null" then sets the real parameters.
        stand_ins = {"audio": out.default_audio_codec, "video": out.default_video_codec}
        stand_in = stand_ins.get(stream.type, "none")
        if stand_in == "none":
            raise
        added = out.add_mux_stream(stand_in)
        BitStreamFilterContext("null", stream, added)
        added.time_base = stream.time_base
        return added


class PacketTimes:
    """Gives every packet of one stream a decoding time, each above the one before.

    Matroska has only presentation times, and FFmpeg leaves the first packets of a video with
    B-frames without decoding times: those are counted back from the first known one.
    """

    def __init__(self, stream: av.stream.Stream):
        context = stream.codec_context
        self._reorders = stream.type == "video" and bool(getattr(context, "has_b_frames", True))
        self._held: list[av.Packet] = []
        self._last: int | None = None  # dts
        self._due: int | None = None  # where the next packet begins if it has no time

    def feed(self, packet: av.Packet) -> Iterable[av.Packet]:
        """Packets in the order of their arrival, as soon as their times are known."""
        if packet.dts is None and not self._reorders:
            packet.dts = packet.pts if packet.pts is not None else self._due
        if packet.dts is None and self._last is not None:
            packet.dts = self._due
        if packet.dts is None:
            self._held.append(packet)
            return self.flush() if len(self._held) == _MAX_HELD else ()
        self._count_back(packet.dts, packet.duration or 1)
        ready = [*self._held, packet]
        self._held = []
        return [self._in_order(p) for p in ready]

    def flush(self) -> Iterable[av.Packet]:
        """The packets that are still held when the stream ends."""
        if self._held:
            times = [p.pts for p in self._held if p.pts is not None]
            self._count_back(min(times, default=0), self._held[-1].duration or 1)
        ready, self._held = self._held, []
        return [self._in_order(p) for p in ready]

    def _count_back(self, dts: int, step: int) -> None:
        for packet in reversed(self._held):
            dts -= packet.duration or step
            packet.dts = dts

    def _in_order(self, packet: av.Packet) -> av.Packet:
        if packet.pts is None and not self._reorders:
            packet.pts = packet.dts
        dts = packet.dts or 0
        if self._last is not None:
            dts = max(dts, self._last + 1)
        packet.dts = self._last = dts
        if packet.pts is not None:
            packet.pts = max(packet.pts, dts)
        self._due = dts + (packet.duration or 1)
        return packet


class Copied(NamedTuple):
    """The `place`-th packet of a stream of the source; its times are those of the output, where it
    is decoded at `seconds`."""

    stream: int
    place: int
    seconds: Fraction
    packet: av.Packet


def copied_packets(
    source: av.container.InputContainer, indices: list[int], clock: Clock, until: Fraction | None
) -> Iterator[Copied]:
    """The packets of some streams of `source`, without sound that an .mp4 holds from before its
    start because it was cut without re-encoding.

    Args:
        until: packets that begin after this time (of the output) are left out, and subtitles end
            there.
    """
    streams = [source.streams[index] for index in indices]
    times = {stream.index: PacketTimes(stream) for stream in streams}
    places = dict.fromkeys(times, 0)

    def ready(index: int, packets: Iterable[av.Packet]) -> Iterator[Copied]:
        for packet in packets:
            clock.convert(packet)
            seconds = (packet.dts or 0) * packet.time_base
            kind = source.streams[index].type
            is_early = kind == "audio" and seconds < -_PRIMING
            if kind == "subtitle" and until is not None and packet.duration:
                rest = round((until - seconds) / packet.time_base)
                packet.duration = min(packet.duration, max(1, rest))
            if not is_early and (until is None or seconds < until):
                yield Copied(index, places[index], seconds, packet)
            places[index] += 1

    try:
        for packet in continuous_packets(source, times):
            if packet.size and packet.stream_index in times:
                index = packet.stream_index
                yield from ready(index, times[index].feed(packet))
    except av.FFmpegError:
        pass  # the file ends early; the reader of the video reports it
    for index, rest in times.items():
        yield from ready(index, rest.flush())
