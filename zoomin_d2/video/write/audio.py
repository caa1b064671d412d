"""Sound that cannot be copied: encoded anew, stretched without a change of pitch in slow motion."""

from collections.abc import Callable, Iterator
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import cast

import av

from zoomin_d2.video.read.containers import open_container

_LAYOUTS = {1: "mono", 2: "stereo", 3: "2.1", 4: "quad", 5: "5.0", 6: "5.1", 8: "7.1"}
_MAX_STRETCH = Fraction(2)  # of one `atempo` filter: tempo 0.5 at the slowest


def encode_audio(
    stream: av.AudioStream,
    file: Path,
    out: av.container.OutputContainer,
    slowmo: Fraction,
    until: Fraction | None,
    offset: Fraction,
    describe: Callable,
) -> Iterator[tuple[float, int, av.Packet]]:
    """Add a stream to `out` for `stream` now, and give its packets, as (seconds, order, packet).

    AAC (mp4, mov, mkv) or Opus (webm) at 96 kbit/s per channel; tempo 1 / slowmo.

    Args:
        file: what `stream` is in; opened a second time.
        until: the sound ends here (output clock). offset: what the source's clock is ahead.
        describe: (stream, new stream) -> None, copies language and title.
    """
    codec = "libopus" if out.format.name == "webm" else "aac"
    context = stream.codec_context
    rate = 48_000 if codec == "libopus" else context.sample_rate
    target = cast(av.AudioStream, out.add_stream(codec, rate=rate))
    channels = max(1, context.layout.nb_channels)
    target.codec_context.layout = _LAYOUTS.get(channels, "stereo")
    target.bit_rate = 96_000 * channels
    describe(stream, target)
    return _packets(stream.index, file, target, slowmo, until, offset)


def _packets(index, file, target, slowmo, until, offset) -> Iterator:
    # a reader of its own: filters hold sound back, and the others should not wait for it
    with open_container(str(file)) as source:
        frames = _timed(source.decode(source.streams[index]), offset, slowmo, until)
        start = next(frames, None)
        if start is None:
            return
        context = target.codec_context
        clock = Fraction(1, context.sample_rate)
        written = round(max(Fraction(0), start) * slowmo / clock)
        stretched = _stretch(_alike(frames, context), context, slowmo)
        resampler = av.AudioResampler(
            context.format, context.layout, context.sample_rate, context.frame_size
        )
        for frame in chain(stretched, [None]):
            for piece in resampler.resample(frame):
                piece.pts, piece.time_base = written, clock
                written += piece.samples
                yield from _keyed(target.encode(piece), index)
        yield from _keyed(target.encode(), index)


def _timed(frames, offset, slowmo, until) -> Iterator:
    """First the time of the first frame, then the frames, up to `until`."""
    is_first = True
    for frame in frames:
        time = (frame.pts or 0) * frame.time_base - offset
        if until is not None and time * slowmo >= until:
            return
        if is_first:
            yield time
            is_first = False
        yield frame


def _alike(frames: Iterator[av.AudioFrame], context) -> Iterator[av.AudioFrame]:
    """Frames of one format, layout and rate, whatever the stream changes to on its way."""
    kind: tuple | None = None
    resampler: av.AudioResampler | None = None
    for frame in frames:
        found = (frame.format.name, frame.layout.name, frame.sample_rate)
        if resampler is None or kind != found:
            if resampler is not None:
                yield from resampler.resample(None)
            kind = found
            resampler = av.AudioResampler("fltp", context.layout, context.sample_rate)
        frame.pts = None
        yield from resampler.resample(frame)
    if resampler is not None:
        yield from resampler.resample(None)


def _stretch(frames: Iterator[av.AudioFrame], context, slowmo: Fraction) -> Iterator:
    if slowmo == 1:
        yield from frames
        return
    graph = av.filter.Graph()
    rate = context.sample_rate
    nodes = [
        graph.add_abuffer(
            sample_rate=rate, format="fltp", layout=context.layout, time_base=Fraction(1, rate)
        )
    ]
    rest = slowmo
    while rest > 1:
        part = min(rest, _MAX_STRETCH)
        nodes.append(graph.add("atempo", f"{float(1 / part):.9f}"))
        rest /= part
    nodes.append(graph.add("abuffersink"))
    graph.link_nodes(*nodes)
    graph.configure()
    for frame in chain(frames, [None]):
        graph.push(frame)
        while True:
            try:
                piece = graph.pull()
            except (av.error.BlockingIOError, av.error.EOFError):
                break
            piece.pts = None
            yield piece


def _keyed(packets, index: int) -> Iterator[tuple[float, int, av.Packet]]:
    for packet in packets:
        yield float((packet.dts or 0) * packet.time_base), 100 + index, packet
