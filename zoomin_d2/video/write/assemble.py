"""The finished file: encoded segments joined, everything else of the source copied beside them.

Copied packet by packet, without decoding: sound, subtitles, attachments, cover pictures, further
video; and chapters, metadata, languages, dispositions. In slow motion their times are stretched,
and sound is stretched by `audio.py`, because a packet of sound cannot be.
"""

import contextlib
import heapq
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Literal

import av

from zoomin_d2.video.errors import OutputError
from zoomin_d2.video.read.containers import open_container
from zoomin_d2.video.read.packets import clock_origin, continuous_packets
from zoomin_d2.video.write.audio import encode_audio
from zoomin_d2.video.write.encoder import EncoderSettings, container_format
from zoomin_d2.video.write.null_container import scratch_container

# describe the packets of the old video stream, or the old file: not true any more
_STALE_TAGS = ("duration", "number_of_frames", "number_of_bytes", "bps", "_statistics")
_FILE_TAGS = ("major_brand", "minor_version", "compatible_brands", "encoder", "creation_time")
_TRIAL_PACKETS = 8
_MAX_REORDERED = 17  # frames that an encoder shows after one that it writes later, at most
AudioMode = Literal["copy", "encode", "drop"]


@dataclass
class CopyPlan:
    """What goes with the video, decided before any frame is made.

    Attributes:
        source: the file that the streams come from; None: nothing goes along.
        slowmo: factor on all times.
        audio: "copy", "encode" (other codec, or slow motion) or "drop".
        streams: indices of the streams that are copied; `encoded`: of sound that is encoded.
        dropped: messages about the streams that stay behind.
    """

    source: Path | None
    slowmo: Fraction = Fraction(1)
    streams: list[int] = field(default_factory=list)
    encoded: list[int] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)


def plan_copy(
    source: Path | None,
    output: Path,
    video_index: int,
    slowmo: Fraction = Fraction(1),
    audio: AudioMode | None = None,
) -> CopyPlan:
    """Decide what can go along.

    Args:
        audio: None copies sound, and encodes it where slow motion asks for that.

    Raises:
        OutputError: the container cannot hold the sound as it is.
    """
    plan = CopyPlan(source, slowmo)
    if source is None:
        return plan
    mode = audio or ("copy" if slowmo == 1 else "encode")
    if mode == "copy" and slowmo != 1:
        raise OutputError("Sound cannot be copied into slow motion: --audio stretch or drop")
    container = container_format(output)
    with open_container(str(source)) as opened:
        for stream in opened.streams:
            if stream.index == video_index or _is_chapter_track(opened, stream):
                continue
            if stream.type == "audio" and mode == "drop":
                plan.dropped.append(f"sound (stream {stream.index}): dropped as asked")
            elif stream.type == "audio" and mode == "encode":
                wrong = _try_audio(container, source, stream.index, slowmo)
                if wrong:
                    raise OutputError(
                        f"The sound (stream {stream.index}, {_name(stream)}) cannot be encoded: "
                        f"{wrong}; --audio drop leaves it out"
                    )
                plan.encoded.append(stream.index)
            elif _fits(container, stream) and not (
                stream.type == "audio" and _try_audio(container, source, stream.index, None)
            ):
                plan.streams.append(stream.index)
            elif stream.type == "audio":
                raise OutputError(
                    f"A {output.suffix} file cannot hold {_name(stream)} sound: --audio encode "
                    "converts it, --audio drop leaves it out, an .mkv output takes it as it is"
                )
            else:
                plan.dropped.append(
                    f"{stream.type} stream {stream.index} ({_name(stream)}): {output.suffix} "
                    "cannot hold it, .mkv may"
                )
    return plan


def assemble(
    segments: list[Path],
    output: Path,
    settings: EncoderSettings,
    plan: CopyPlan,
    until: Fraction | None = None,
    end: Fraction | None = None,
    on_bytes: Callable[[int], None] | None = None,
) -> None:
    """Join `segments` into `output` (its suffix may be anything) with what the plan says.

    Args:
        until: copy nothing that begins after this time (of a run that was stopped).
        end: when the last frame of the video ends, in seconds; None: as its encoder says.

    Raises:
        OSError, av.FFmpegError: the disk is full, or the like.
    """
    container = container_format(output.with_suffix("") if output.suffix == ".part" else output)
    with contextlib.ExitStack() as stack:
        options = {}
        if container in ("mp4", "mov"):
            options = {
                "movflags": "+faststart+use_metadata_tags",
                "video_track_timescale": str(settings.time_base.denominator),
            }
        out = stack.enter_context(av.open(str(output), "w", format=container, options=options))
        first = stack.enter_context(av.open(str(segments[0])))
        template = first.streams.video[0]
        video = out.add_stream_from_template(template, opaque=True)
        video.time_base = settings.time_base
        with contextlib.suppress(AttributeError, ValueError):
            video.codec_context.framerate = settings.fps
        feeds = [_video_packets(segments, video, settings, end, container in ("mp4", "mov"))]
        if plan.source is not None:
            source = stack.enter_context(open_container(str(plan.source)))
            feeds += _copies(source, plan.source, out, video, plan, until)
        for _, _, packet in heapq.merge(*feeds, key=lambda entry: entry[:2]):
            out.mux(packet)
            if on_bytes is not None:
                on_bytes(packet.size)


def _video_packets(
    segments: list[Path],
    stream,
    settings: EncoderSettings,
    end: Fraction | None,
    is_mp4: bool,
) -> Iterator[tuple[float, int, av.Packet]]:
    """Packets of all segments, each with the time to the next frame as its duration: encoders
    that reorder give another, or none.

    MP4 has only the times between decoding and an end for all: there the last packet, whichever
    frame that is, lasts until the end, and is decoded no earlier than the others before theirs.
    """
    delay = 0
    ticks = None if end is None else round(end / settings.time_base)
    waiting: deque[av.Packet] = deque()
    times: deque[int] = deque(maxlen=2 * _MAX_REORDERED + 1)  # of packets before and behind

    def ready(at_most: int) -> Iterator[tuple[float, int, av.Packet]]:
        while len(waiting) > at_most:
            packet = waiting.popleft()
            later = [time for time in times if time > packet.pts]
            if later:
                packet.duration = min(later) - packet.pts
            elif ticks is not None:
                packet.duration = max(1, ticks - packet.pts)
            packet.stream = stream
            yield float(packet.dts * packet.time_base), 0, packet

    for packet in _joined_packets(segments, settings):
        if not times:
            delay = packet.pts - packet.dts  # segments begin with a frame that is shown first
        waiting.append(packet)
        times.append(packet.pts)
        yield from ready(_MAX_REORDERED)
    yield from ready(1)
    for key, order, packet in ready(0):
        if ticks is not None and is_mp4:
            packet.dts = max(packet.dts, packet.pts - delay)
            packet.duration = max(1, ticks - delay - packet.dts)
        yield key, order, packet


def _joined_packets(segments: list[Path], settings: EncoderSettings) -> Iterator[av.Packet]:
    """A segment begins anew with decoding times a little before its first frame: they are moved
    up to follow the segment before."""
    last_dts = None
    step = 1 / (settings.fps * settings.time_base)
    for segment in segments:
        with av.open(str(segment)) as opened:
            for packet in opened.demux(video=0):
                if not packet.size:
                    continue
                if packet.time_base != settings.time_base:
                    factor = packet.time_base / settings.time_base
                    packet.pts = round(packet.pts * factor)
                    packet.dts = round(packet.dts * factor)
                    packet.duration = round((packet.duration or 0) * factor)
                    packet.time_base = settings.time_base
                if not packet.duration:
                    packet.duration = round(step)
                if last_dts is not None and packet.dts <= last_dts:
                    packet.dts = last_dts + 1
                last_dts = packet.dts
                yield packet


def _copies(
    source, file: Path, out, video, plan: CopyPlan, until: Fraction | None
) -> list[Iterator]:
    offset = clock_origin(source)
    out.metadata.update({k: v for k, v in source.metadata.items() if k.lower() not in _FILE_TAGS})
    chapters = source.chapters()
    if chapters:
        out.set_chapters([_moved_chapter(chapter, offset, plan.slowmo) for chapter in chapters])
    mains = [s for s in source.streams.video if s.index not in plan.streams]
    if mains:
        _describe(mains[0], video)
    targets = {}
    for index in plan.streams:
        stream = source.streams[index]
        if stream.type == "attachment":
            name = stream.metadata.get("filename", f"attachment {index}")
            mimetype = stream.mimetype or "application/octet-stream"
            _describe(stream, out.add_attachment(name, mimetype, bytes(stream.data)))
            continue
        targets[index] = out.add_stream_from_template(stream, opaque=True)
        _describe(stream, targets[index])
    feeds = [
        encode_audio(source.streams[index], file, out, plan.slowmo, until, offset, _describe)
        for index in plan.encoded
    ]
    if targets:
        feeds.append(_copied_packets(source, targets, offset, plan.slowmo, until))
    return feeds


def _copied_packets(source, targets, offset, slowmo, until) -> Iterator:
    last_dts: dict[int, int] = {}
    for packet in continuous_packets(source):
        if packet.dts is None or packet.stream_index not in targets:
            continue
        packet.dts = max(packet.dts, last_dts.get(packet.stream_index, packet.dts - 1) + 1)
        packet.pts = None if packet.pts is None else max(packet.pts, packet.dts)
        last_dts[packet.stream_index] = packet.dts
        base = packet.time_base
        if slowmo != 1:
            # a finer clock, so that stretched times are exact
            packet.pts = None if packet.pts is None else round(packet.pts * slowmo)
            packet.dts = round(packet.dts * slowmo)
            packet.duration = round((packet.duration or 0) * slowmo)
        shift = round(offset * slowmo / base)
        if shift:
            packet.dts -= shift
            packet.pts = None if packet.pts is None else packet.pts - shift
        if until is not None and packet.dts * base >= until:
            continue
        key = float(packet.dts * base), 1 + packet.stream_index
        packet.stream = targets[packet.stream_index]
        yield *key, packet


def _describe(old, new) -> None:
    """Language, title, disposition."""
    metadata = {k: v for k, v in old.metadata.items() if not k.lower().startswith(_STALE_TAGS)}
    new.metadata.update(metadata)
    with contextlib.suppress(AttributeError, ValueError):
        new.disposition = old.disposition


def _moved_chapter(chapter: dict, offset: Fraction, slowmo: Fraction) -> dict:
    base = chapter["time_base"]
    shift = offset / base
    moved = {k: round((chapter[k] - shift) * slowmo) for k in ("start", "end")}
    return {**chapter, **moved}


def _is_chapter_track(container, stream) -> bool:
    """mp4 keeps chapters in a track of text, too; the muxer writes it anew from the chapters."""
    return stream.type == "data" and bool(container.chapters())


def _name(stream) -> str:
    context = stream.codec_context
    return context.name if context is not None else getattr(stream, "name", None) or "unknown"


def _fits(container: str, stream) -> bool:
    if stream.type == "attachment":
        return container == "matroska"
    if stream.type == "data" or stream.codec_context is None:
        return False
    # FFmpeg's own table lists codecs that are not in practice, and the other way round
    with scratch_container(container) as scratch:
        try:
            scratch.add_stream_from_template(stream, opaque=True)
            scratch.start_encoding()
        except (av.FFmpegError, ValueError, OSError):
            return False
    return True


def _try_audio(container: str, source: Path, index: int, slowmo: Fraction | None) -> str | None:
    """Write the first packets of a stream of sound to nowhere; returns what went wrong.

    Args:
        slowmo: None copies them.
    """
    with open_container(str(source)) as opened:
        stream = opened.streams[index]
        with scratch_container(container) as scratch:
            try:
                if slowmo is None:
                    target = scratch.add_stream_from_template(stream, opaque=True)
                    packets = (p for p in opened.demux(stream) if p.dts is not None)
                else:
                    arguments = (stream, source, scratch, slowmo, None, Fraction(0), _describe)
                    target, packets = None, (p for *_, p in encode_audio(*arguments))
                for packet in islice(packets, _TRIAL_PACKETS):
                    if target is not None:
                        packet.stream = target
                    scratch.mux(packet)
                scratch.close()
            except (av.FFmpegError, ValueError, OSError) as error:
                return str(error)
    return None
