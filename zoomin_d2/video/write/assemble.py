"""The finished file: encoded segments joined, with everything else of the source beside them."""

import contextlib
import heapq
import re
from collections import deque
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from zoomin_d2.video.read.containers import file_url, open_container
from zoomin_d2.video.write.copied_packets import Clock
from zoomin_d2.video.write.encoder import EncoderSettings, container_format
from zoomin_d2.video.write.segments import is_disk_full
from zoomin_d2.video.write.side_streams import CopyPlan, Entry, add_side_streams, counts, describe

# these describe the old file, and are no longer true
_FILE_TAGS = ("major_brand", "minor_version", "compatible_brands", "encoder")
_TIMECODE = re.compile(r"(\d+:\d\d:\d\d)([:;.])(\d+)")
_DROPPING = Fraction(30_000, 1001)
_MAX_REORDERED = 17  # frames that an encoder shows after one that it writes later, at most


def assemble(
    segments: list[Path],
    output: Path,
    settings: EncoderSettings,
    plan: CopyPlan,
    until: Fraction | None = None,
    end: Fraction | None = None,
    on_bytes: Callable[[int], None] | None = None,
) -> None:
    """Join `segments` into `output` (its suffix may be anything) with the streams of the plan.

    A fault of a stream beside the video is noted there, and never costs the video.

    Args:
        until: copy nothing that begins after this time (for a run that was stopped).
        end: when the last frame of the video ends, in seconds; None: as its encoder says.

    Raises:
        OSError, av.FFmpegError: the output cannot be written, for example on a full disk.
    """
    container = container_format(output.with_suffix("") if output.suffix == ".part" else output)
    with contextlib.ExitStack() as stack:
        options = _muxer_options(container, settings, plan)
        out = av.open(file_url(output), "w", format=container, options=options)
        stack.enter_context(out)
        first = stack.enter_context(open_container(segments[0]))
        template = first.streams.video[0]
        video = out.add_stream_from_template(template, opaque=True)
        video.time_base = settings.time_base
        with contextlib.suppress(AttributeError, ValueError):
            video.codec_context.framerate = settings.fps
        if settings.sample_aspect_ratio:  # some codecs leave it to the container
            video.codec_context.sample_aspect_ratio = settings.sample_aspect_ratio
        feeds = [_video_packets(segments, video, settings, end, container in ("mp4", "mov"))]
        if plan.source is not None:
            source = stack.enter_context(open_container(plan.source))
            _describe_file(source, out, video, settings, plan, until)
            feeds += add_side_streams(source, plan, out, until)
        if settings.has_alpha and settings.codec == "libvpx-vp9":
            video.metadata["alpha_mode"] = "1"
        for entry in heapq.merge(*feeds, key=lambda entry: entry[:2]):
            size = entry.packet.size
            if _write(out, entry) and on_bytes is not None:
                on_bytes(size)


def file_tags(metadata: dict[str, str]) -> dict[str, str]:
    """The metadata of a file that is still true of the output."""
    return {k: v for k, v in metadata.items() if k.lower() not in _FILE_TAGS}


def _muxer_options(container: str, settings: EncoderSettings, plan: CopyPlan) -> dict[str, str]:
    if container not in ("mp4", "mov"):
        return {}
    # FFmpeg's muxer writes either tags of any name or a cover
    has_cover = any(side.how == "cover" for side in plan.streams)
    return {
        "movflags": "+faststart" + ("" if has_cover else "+use_metadata_tags"),
        **settings.clock_options,
    }


def _write(out: av.container.OutputContainer, entry: Entry) -> bool:
    side, size = entry.side, entry.packet.size
    try:
        out.mux(entry.packet)
    except (av.FFmpegError, ValueError) as error:
        if side is None or is_disk_full(error):
            raise
        side.note("packets that cannot be written", entry.seconds)
        return False
    if side is not None and counts(side.kind, size):
        side.packets += 1
        side.size += size
    return True


def _video_packets(
    segments: list[Path],
    stream,
    settings: EncoderSettings,
    end: Fraction | None,
    is_mp4: bool,
) -> Iterator[Entry]:
    """Packets of all segments, each with the time to the next frame as its duration, because
    encoders that reorder set another duration, or none.

    MP4 stores only the times between decoding: there the last packet, whichever frame it is, lasts
    at least until as long before the end as the first one is decoded before it is shown.
    """
    delay = 0
    ticks = None if end is None else round(end / settings.time_base)
    waiting: deque[Any] = deque()  # of av.Packet; their times are known here
    times: deque[int] = deque(maxlen=2 * _MAX_REORDERED + 1)  # of packets before and behind

    def ready(at_most: int) -> Iterator[Any]:
        while len(waiting) > at_most:
            packet = waiting.popleft()
            later = [time for time in times if time > packet.pts]
            if later:
                packet.duration = min(later) - packet.pts
            elif ticks is not None:
                packet.duration = max(1, ticks - packet.pts)
            yield packet

    def timed() -> Iterator[Any]:
        nonlocal delay
        for packet in _joined_packets(segments, settings):
            if not times:
                delay = packet.pts - packet.dts  # segments begin with a frame that is shown first
            waiting.append(packet)
            times.append(packet.pts)
            yield from ready(_MAX_REORDERED)
        yield from ready(1)
        for packet in ready(0):
            if ticks is not None and is_mp4:
                packet.dts = max(packet.dts, packet.pts - delay)
                packet.duration = max(packet.duration, ticks - delay - packet.dts)
            yield packet

    for packet in timed():
        packet.stream = stream
        yield Entry(float(packet.dts * packet.time_base), 0, packet)


def _joined_packets(segments: list[Path], settings: EncoderSettings) -> Iterator[Any]:
    """The decoding times of each segment start a little before its first frame, by as much as in
    the first segment; they are moved up to follow the previous segment."""
    last_dts = delay = None
    step = 1 / (settings.fps * settings.time_base)
    for segment in segments:
        early = None  # how much longer before its frame the first segment decodes
        with open_container(segment) as opened:
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
                if delay is None:
                    delay = packet.pts - packet.dts
                if early is None:
                    early = max(0, delay - (packet.pts - packet.dts))
                packet.dts -= early
                if last_dts is not None and packet.dts <= last_dts:
                    packet.dts = last_dts + 1
                last_dts = packet.dts
                yield packet


def _describe_file(source, out, video, settings, plan: CopyPlan, until: Fraction | None) -> None:
    """Metadata and chapters of the file, and metadata of the video."""
    out.metadata.update(file_tags(source.metadata))
    if chapters := moved_chapters(source, plan.clock, until):
        out.set_chapters(chapters)
    old = source.streams[plan.video_index]
    describe(old, video, is_copy=False)
    for metadata in (out.metadata, video.metadata):
        for tag in [tag for tag in metadata if tag.lower() == "timecode"]:
            metadata[tag] = moved_timecode(metadata[tag], old.guessed_rate, settings.fps)
    for tag in [tag for tag in video.metadata if tag.lower() == "alpha_mode"]:
        del video.metadata[tag]


def moved_timecode(text: str, old_rate: Fraction | None, rate: Fraction) -> str:
    """A time code of the first frame, "01:00:00:12", counted at another rate: its last part is a
    number of frames. Labels that leave out numbers, "01:00:00;12", exist at 29.97 and its multiples
    only."""
    found = _TIMECODE.fullmatch(text)
    before = round(old_rate or 0)
    if found is None or not before:
        return text
    frames = int(found[3]) * round(rate) // before
    drops = found[2] != ":" and (rate / _DROPPING).denominator == 1
    return f"{found[1]}{found[2] if drops else ':'}{frames:02d}"


def moved_chapters(source, clock: Clock, until: Fraction | None) -> list[dict]:
    """The chapters of `source` on the clock of the output, from 0 to `until`."""

    def moved(chapter: dict) -> dict:
        base = chapter["time_base"]
        times = [(chapter[k] - clock.offset / base) * clock.slowmo for k in ("start", "end")]
        if until is not None:
            times = [min(time, until / base) for time in times]
        start, end = (max(0, round(time)) for time in times)
        return {**chapter, "start": start, "end": end}

    def begins(chapter: dict) -> bool:
        time = (chapter["start"] * chapter["time_base"] - clock.offset) * clock.slowmo
        return until is None or time < until

    return [moved(chapter) for chapter in source.chapters() if begins(chapter)]
