"""Text subtitles for a container that does not hold the source's codec."""

from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av

from zoomin_d2.video.read.containers import open_container
from zoomin_d2.video.write.copied_packets import Clock, copied_packets

_TEXT = {"mov_text", "webvtt", "subrip", "srt", "text", "ass", "ssa"}
_WRITTEN = {"mp4": "mov_text", "mov": "mov_text", "matroska": "ass", "webm": "webvtt"}
_CLOCK = Fraction(1, 1000)


def text_codec(container: str, stream: av.stream.Stream) -> str | None:
    """The codec that `stream` can be converted to for this container; None: it is not text."""
    context = stream.codec_context
    if stream.type != "subtitle" or context is None or context.name not in _TEXT:
        return None
    codec = _WRITTEN[container]
    styled = context.name in ("ass", "ssa")
    return "subrip" if codec == "ass" and not styled else codec


def convert_subtitles(
    stream: av.stream.Stream,
    file: Path,
    out: av.container.OutputContainer,
    codec: str,
    clock: Clock,
    until: Fraction | None,
    note: Callable[[str, float], None],
) -> tuple[av.stream.Stream, Iterator[av.Packet]]:
    """Add a stream of `codec` to `out`, and give its packets.

    Args:
        file: what `stream` is in; opened a second time.
        note: called with (what, seconds) for each line that cannot be read or written.

    Raises:
        ValueError, av.FFmpegError: the codec or the container refuses.
    """
    target = out.add_stream(codec)
    decoder, encoder = cast(Any, stream.codec_context), cast(Any, target.codec_context)
    decoder.open(strict=False)
    encoder.subtitle_header = decoder.subtitle_header  # the styles
    encoder.time_base = target.time_base = _CLOCK
    return target, _packets(stream.index, file, target, clock, until, note)


def _packets(index, file, target, clock, until, note) -> Iterator[av.Packet]:
    with open_container(file) as source:
        decoder = source.streams[index].codec_context
        for *_, begin, packet in copied_packets(source, [index], clock, until):
            try:
                lines = decoder.decode2(packet)
                if lines is None:  # a pause, which .mp4 writes as an empty line
                    continue
                converted = target.codec_context.encode_subtitle(lines)
            except av.FFmpegError:
                note("lines that cannot be converted", float(begin))
                continue
            duration = (packet.duration or 0) * packet.time_base
            if not duration:
                duration = Fraction(lines.end_display_time, 1000) * clock.slowmo
            converted.time_base = _CLOCK
            converted.pts = converted.dts = round(begin / _CLOCK)
            converted.duration = round(duration / _CLOCK)
            yield converted
