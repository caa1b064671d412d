"""What goes beside the video: sound, subtitles, further video, data, attachments, cover pictures.

Streams are copied packet by packet, without decoding, where the container holds them; else sound is
encoded, text subtitles are converted and a cover becomes an attachment. `copy_plan.py` decides.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal, NamedTuple

import av

from zoomin_d2.video.read.containers import open_container
from zoomin_d2.video.write.audio import AudioFormat, encode_audio
from zoomin_d2.video.write.copied_packets import Clock, add_copy, copied_packets
from zoomin_d2.video.write.subtitles import convert_subtitles

# these describe the packets of the old video stream, and are no longer true
_STALE_TAGS = ("duration", "number_of_frames", "number_of_bytes", "bps", "_statistics")
_PICTURES = {"mjpeg": "jpeg", "png": "png", "bmp": "bmp", "gif": "gif", "webp": "webp"}


@dataclass
class SideStream:
    """One stream beside the video, and what is done with it.

    Attributes:
        index, kind: in the source. name: for messages, "audio stream 1 (aac)".
        how: "copy"; "encode" sound as `audio`; "convert" text subtitles to `codec`; "attach" a
            file; "cover": a picture that stands for the file.
        refused: places of the packets that the muxer refuses.
        faults: what cannot be read or written: message -> [how often, first at (seconds)].
        packets, size: what was written, for the check of the finished file.
    """

    index: int
    kind: str
    name: str
    how: Literal["copy", "encode", "convert", "attach", "cover"] = "copy"
    audio: AudioFormat | None = None
    codec: str = ""
    refused: set[int] = field(default_factory=set)
    faults: dict[str, list] = field(default_factory=dict)
    packets: int = 0
    size: int = 0

    def note(self, what: str, seconds: float) -> None:
        """Count a fault."""
        self.faults.setdefault(what, [0, seconds])[0] += 1


@dataclass
class CopyPlan:
    """What goes with the video.

    Attributes:
        source: the file that the streams come from; None: nothing goes along.
        video_index: the stream that is interpolated.
        clock: how times of the source become times of the output.
        streams: what goes along, in the order of the source.
        dropped: what the output will lack, as messages. warnings: what will differ.
    """

    source: Path | None
    video_index: int = 0
    clock: Clock = field(default_factory=Clock)
    streams: list[SideStream] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @property
    def faults(self) -> list[str]:
        """The damage of all streams, as messages."""
        return [
            f"{stream.name}: {what} ({count}, the first at {first:.2f} s)"
            for stream in self.streams
            for what, (count, first) in stream.faults.items()
        ]


class Entry(NamedTuple):
    """A packet on its way into the output; it belongs to the video if `side` is None."""

    seconds: float
    order: int
    packet: av.Packet
    side: SideStream | None = None


def add_side_streams(
    source: av.container.InputContainer,
    plan: CopyPlan,
    out: av.container.OutputContainer,
    until: Fraction | None,
) -> list[Iterator[Entry]]:
    """Add the planned streams to `out`; yields their packets."""
    assert plan.source is not None
    feeds, copies = [], {}
    for side in plan.streams:
        stream = source.streams[side.index]
        side.packets = side.size = 0
        if side.how == "attach":
            attach(plan.source, stream, out)
        elif side.how == "copy":
            copies[side.index] = side, add_copy(out, stream)
            describe(stream, copies[side.index][1])
        else:
            target, packets = make_anew(side, stream, plan, out, until)
            describe(stream, target, is_copy=side.how == "cover")
            feeds.append(_entries(packets, side, target))
    if copies:
        feeds.append(_copies(source, copies, plan.clock, until))
    return feeds


def make_anew(
    side: SideStream,
    stream: Any,
    plan: CopyPlan,
    out: av.container.OutputContainer,
    until: Fraction | None,
) -> tuple[av.stream.Stream, Iterator[av.Packet]]:
    """Add a stream that is encoded, converted or a cover; returns its packets.

    Raises:
        ValueError, av.FFmpegError: the codec or the container refuses.
    """
    assert plan.source is not None
    rest = plan.clock, until, side.note
    if side.audio is not None:
        return encode_audio(stream, plan.source, out, side.audio, *rest)
    if side.how == "convert":
        return convert_subtitles(stream, plan.source, out, side.codec, *rest)
    return add_copy(out, stream), iter([cover_packet(plan.source, stream.index)])


def attach(file: Path, stream: Any, out: av.container.OutputContainer) -> None:
    """Add an attachment, or a cover picture as one. Raises ValueError, av.FFmpegError."""
    tags = stream.metadata
    if stream.type == "attachment":
        name = tags.get("filename", f"attachment {stream.index}")
        mimetype = stream.mimetype or "application/octet-stream"
        data = bytes(stream.data)
    else:
        kind = _PICTURES[stream.codec_context.name]
        name = tags.get("filename", f"cover.{'jpg' if kind == 'jpeg' else kind}")
        mimetype = tags.get("mimetype", f"image/{kind}")
        data = bytes(cover_packet(file, stream.index))
    describe(stream, out.add_attachment(name, mimetype, data))


def cover_packet(file: Path, index: int) -> av.Packet:
    """The picture of a stream that is a cover. Raises ValueError, av.FFmpegError."""
    with open_container(file) as source:
        for packet in source.demux(source.streams[index]):
            if packet.size:
                return packet
    raise ValueError("the picture is missing")


def can_be_attached(stream: av.stream.Stream) -> bool:
    """Whether a stream can be a file within an .mkv."""
    if stream.type == "attachment":
        return True
    return stream.codec_context is not None and stream.codec_context.name in _PICTURES


def describe(old: av.stream.Stream, new: av.stream.Stream, is_copy: bool = True) -> None:
    """Language, title, disposition; what encoded the packets, if they are the same ones."""
    stale = _STALE_TAGS if is_copy else (*_STALE_TAGS, "encoder")
    metadata = {k: v for k, v in old.metadata.items() if not k.lower().startswith(stale)}
    if "name" in metadata:  # what FFmpeg calls an .mp4's title of a track, and does not write
        metadata.setdefault("title", metadata.pop("name"))
    new.metadata.update(metadata)
    with contextlib.suppress(AttributeError, ValueError):
        new.disposition = old.disposition


def counts(kind: str, size: int) -> bool:
    """Whether a packet of `size` bytes holds anything: an .mp4 writes pauses between subtitles as
    empty lines."""
    return size > (2 if kind == "subtitle" else 0)


def _copies(source, copies, clock: Clock, until: Fraction | None) -> Iterator[Entry]:
    for index, place, seconds, packet in copied_packets(source, list(copies), clock, until):
        side, target = copies[index]
        if place not in side.refused:
            packet.stream = target
            yield Entry(float(seconds), 1 + index, packet, side)


def _entries(packets: Iterator[av.Packet], side: SideStream, target) -> Iterator[Entry]:
    """A fault of a stream beside the video ends this stream, not the job."""
    seconds = 0.0
    while True:
        try:
            packet = next(packets, None)
        except (av.FFmpegError, ValueError) as error:
            side.note(f"ends early: {error}", seconds)
            return
        if packet is None:
            return
        if packet.dts is not None:
            seconds = float(packet.dts * packet.time_base)
        packet.stream = target
        yield Entry(seconds, 100 + side.index, packet, side)
