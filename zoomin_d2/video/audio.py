"""Sound that cannot be copied: encoded anew, stretched without a change of pitch in slow motion."""

from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import av

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
    """
    codec = "libopus" if out.format.name == "webm" else "aac"
    rate = 48_000 if codec == "libopus" else stream.codec_context.sample_rate
    target = out.add_stream(codec, rate=rate)
    target.codec_context.layout = stream.codec_context.layout.name
    target.bit_rate = 96_000 * max(1, stream.codec_context.channels)
    describe(stream, target)
    return _packets(stream.index, file, target, slowmo, until, offset)


def _packets(index, file, target, slowmo, until, offset) -> Iterator:
    # a reader of its own: filters hold sound back, and the others should not wait for it
    with av.open(str(file), metadata_errors="replace") as source:
        stream = source.streams[index]
        graph = _stretcher(stream, slowmo)
        context = target.codec_context
        resampler = None
        start = None
        written = 0

        def encode(frames) -> Iterator:
            nonlocal resampler, written
            for frame in frames:
                if resampler is None:
                    resampler = av.AudioResampler(
                        context.format, context.layout, context.sample_rate, context.frame_size
                    )
                frame.pts = None
                for piece in resampler.resample(frame):
                    yield from write(piece)

        def write(piece) -> Iterator:
            nonlocal written
            base = Fraction(1, context.sample_rate)
            piece.pts = written + round(start * slowmo / base)
            piece.time_base = base
            written += piece.samples
            yield from target.encode(piece)

        def keyed(packets) -> Iterator:
            for packet in packets:
                seconds = float((packet.dts or 0) * packet.time_base)
                yield seconds, 100 + index, packet

        for frame in source.decode(stream):
            time = (frame.pts or 0) * frame.time_base - offset
            if start is None:
                start = max(Fraction(0), time)
            if until is not None and time * slowmo >= until:
                break
            graph.push(frame)
            yield from keyed(encode(_pull(graph)))
        if start is None:
            return
        graph.push(None)
        yield from keyed(encode(_pull(graph)))
        if resampler is not None:
            for piece in resampler.resample(None):
                yield from keyed(write(piece))
        yield from keyed(target.encode())


def _stretcher(stream: av.AudioStream, slowmo: Fraction) -> av.filter.Graph:
    graph = av.filter.Graph()
    nodes = [graph.add_abuffer(template=stream)]
    rest = slowmo
    while rest > 1:
        part = min(rest, _MAX_STRETCH)
        nodes.append(graph.add("atempo", f"{float(1 / part):.9f}"))
        rest /= part
    nodes.append(graph.add("abuffersink"))
    graph.link_nodes(*nodes)
    graph.configure()
    return graph


def _pull(graph: av.filter.Graph) -> Iterator[av.AudioFrame]:
    while True:
        try:
            yield graph.pull()
        except (av.error.BlockingIOError, av.error.EOFError):
            return
