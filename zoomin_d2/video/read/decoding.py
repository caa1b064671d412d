"""Packets in, frames out in display order; damage is counted."""

import heapq
from collections.abc import Iterator
from fractions import Fraction
from typing import NamedTuple, cast

import av

from zoomin_d2.frames import MAX_FRAME_PIXELS
from zoomin_d2.video.read.packets import from_keyframe
from zoomin_d2.video.read.rates import SourceClock
from zoomin_d2.video.read.source import Damage
from zoomin_d2.video.read.timing import Timing

_MAX_REORDERED = 17  # frames that H.264 and H.265 hold back at most, and the current one
# FFmpeg's own decoders of these drop the alpha that WebM stores beside their packets
_ALPHA_DECODERS = {"vp8": "libvpx", "vp9": "libvpx-vp9"}


class Decoded(NamedTuple):
    """A decoded frame: its time and own duration (0: none) in seconds after the start, and how
    many packets before it gave no frame."""

    time: Fraction
    duration: Fraction
    picture: av.VideoFrame
    is_corrupt: bool
    missing: int


class FrameDecoder:
    """Decodes one stream of a container.

    Args:
        stream: of the video. timing: measured on its first packets.
        offset: the file's clock at time 0, in seconds.
        damage: what cannot be decoded is noted here.

    Attributes:
        end: of all streams of the file, as far as they were read; seconds.
        was_refused: the decoder refused a packet; the reader of this flag resets it.
        clock: makes times exact; None until the first frame shows where it begins.
    """

    def __init__(self, stream: av.VideoStream, timing: Timing, offset: Fraction, damage: Damage):
        self.damage = damage
        self.end = Fraction(0)
        self.was_refused = False
        self.clock: SourceClock | None = None
        self._stream, self._timing, self._offset = stream, timing, offset
        self._codec = _decoder(stream)
        self._codec.options = {"max_pixels": str(MAX_FRAME_PIXELS)}  # the stream may claim more
        # Frame threads sometimes lose a decoder's error; slice threads always lose some.
        self._codec.thread_count = 1
        self._pending: list[int] = []  # timestamps of packets whose frame has not come yet
        self._shown = Fraction(0)  # time of the last frame
        self._cut_short: dict[int, Fraction] = {}  # stream -> the time of a packet that lacks data

    def decode(
        self, packets: Iterator[av.Packet], start: Fraction | None = None
    ) -> Iterator[Decoded]:
        """The frames; with `start` (seconds) from the last keyframe before it on."""
        packets = self._reading(packets)
        if start is not None:
            packets = from_keyframe(packets, self._stream.index, start + self._offset)
        count = 0
        last: av.VideoFrame | None = None
        for packet in packets:
            if packet.stream.index != self._stream.index:
                continue
            if not packet.size and packet.pts is not None:
                # Theora: same as before. Elsewhere nothing: the previous frame is shown longer
                if self._stream.codec_context.name == "theora" and last is not None:
                    yield self._timed(_copy(last), packet.pts, packet.duration, count, 0)
                    count += 1
                continue
            time = packet.dts if self._timing.in_decoding_order else packet.pts
            if packet.size and time is not None and not packet.is_discard:
                heapq.heappush(self._pending, time)
            try:
                frames = self._codec.decode(packet if packet.size else None)
            except av.error.EOFError:
                break
            except av.FFmpegError as error:
                self._refuse(packet, time, error)
                continue
            for frame in frames:
                pts, missing = self._place(frame)
                yield self._timed(frame, pts, frame.duration, count, missing)
                last, count = frame, count + 1

    def _reading(self, packets: Iterator[av.Packet]) -> Iterator[av.Packet]:
        """The packets; faults of the file around them are noted."""
        try:
            for packet in packets:
                index = packet.stream.index
                if packet.size and index in self._cut_short:  # it was not the last one
                    place = self._cut_short.pop(index)
                    if index == self._stream.index:
                        self.damage.note(place, "a packet lacks data", "damaged_packets")
                end = self.end
                if packet.dts is not None and packet.time_base:
                    end = (packet.dts + (packet.duration or 0)) * packet.time_base - self._offset
                    self.end = max(self.end, end)
                if packet.is_corrupt and packet.size:
                    self._cut_short[index] = end
                yield packet
        except av.FFmpegError as error:
            self.damage.read_error = str(getattr(error, "strerror", None) or error)
        if self._cut_short and not self.damage.read_error:
            self.damage.read_error = "the file ends within a packet"
            self.damage.note(min(self._cut_short.values()), "a packet is cut short")

    def _refuse(self, packet: av.Packet, time: int | None, error: av.FFmpegError) -> None:
        base = Fraction(self._stream.time_base or 1)
        # a packet whose time is unknown or wrong is shown after the frames that came before it
        place = self._shown if time is None else max(self._shown, time * base - self._offset)
        self.damage.note(place, f"packet refused: {error}", "decode_errors")
        self.was_refused = True
        if self._timing.in_decoding_order and time in self._pending:
            self._pending.remove(time)
            heapq.heapify(self._pending)

    def _place(self, frame: av.VideoFrame) -> tuple[int | None, int]:
        """A frame's timestamp, and how many packets that should be shown before gave none."""
        missing = 0
        if self._timing.in_decoding_order:
            while len(self._pending) > _MAX_REORDERED:
                heapq.heappop(self._pending)
                missing += 1
            return (heapq.heappop(self._pending) if self._pending else None), missing
        while self._pending and frame.pts is not None and self._pending[0] <= frame.pts:
            missing += heapq.heappop(self._pending) < frame.pts
        return frame.pts, missing

    def _timed(self, frame, pts, duration, count: int, missing: int) -> Decoded:
        base = self._stream.time_base
        # only the order of a raw stream is known
        time = count * self._timing.usual if pts is None else pts * base - self._offset
        if self.clock is not None:
            exact = self.clock.snap(time)
            if exact > self._shown or time <= self._shown:  # two frames a tick apart stay two
                time = exact
        self._shown = time
        own = Fraction((duration or 0) * (base or 0))
        return Decoded(time, own, frame, frame.is_corrupt, missing)


def _copy(frame: av.VideoFrame) -> av.VideoFrame:
    """A copy of the picture, so that several threads can convert frames, each its own."""
    copy = av.VideoFrame.from_ndarray(frame.to_ndarray(), format=frame.format.name)
    copy.time_base = frame.time_base
    return copy


def _decoder(stream: av.VideoStream) -> av.VideoCodecContext:
    codec = stream.codec_context
    if not says_alpha(stream) or codec.name not in _ALPHA_DECODERS:
        return codec
    try:
        created = av.CodecContext.create(_ALPHA_DECODERS[codec.name], "r")
    except ValueError:  # this build of FFmpeg lacks the decoder: the alpha is lost
        return codec
    created.extradata = codec.extradata
    return cast(av.VideoCodecContext, created)


def says_alpha(stream: av.VideoStream) -> bool:
    return any(k.lower() == "alpha_mode" and v == "1" for k, v in stream.metadata.items())
