"""Sound that cannot be copied: re-encoded, and stretched at the same pitch in slow motion.

The output keeps the times of the source: lost parts become silence.
"""

from collections.abc import Callable, Iterator
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import NamedTuple, cast

import av
import numpy as np

from zoomin_d2.video.errors import OutputError
from zoomin_d2.video.read.containers import open_container
from zoomin_d2.video.read.packets import continuous_packets
from zoomin_d2.video.write.copied_packets import Clock

# layouts that every decoder returns under the same name, in the order tried when mixing down
_LAYOUTS = {
    "aac": ("7.1", "5.1", "5.0", "4.0", "quad", "3.0", "stereo", "mono"),
    "libopus": ("7.1", "6.1", "5.1", "5.0", "quad", "3.0", "stereo", "mono"),
}
_BITS_PER_CHANNEL = 96_000
_MAX_STRETCH = Fraction(2)  # of one `atempo` filter: tempo 0.5 at the slowest
# Seconds. `atempo` takes sound from a little later than it should, up to 20 ms: with music, noise,
# and clicks, half of that on average. And it loses sound at the end.
_AHEAD, _AFTER = Fraction(12, 1000), Fraction(1, 4)
_SHORT = 128  # samples: a filter gives as many as it gets, times the stretch
_TOLERANCE = Fraction(1, 20)  # seconds between a frame and the end of the one before


class AudioFormat(NamedTuple):
    """What sound is encoded to."""

    codec: str
    rate: int
    layout: str


def choose_audio(container: str, stream: av.AudioStream) -> tuple[AudioFormat, list[str]]:
    """A format with the channels and the rate of `stream`, or the nearest one: AAC, or Opus in WebM
    and for channels that only Opus has.

    Returns:
        the format, and how it differs from the source, as messages.

    Raises:
        OutputError: the encoder takes nothing similar.
    """
    context = stream.codec_context
    codecs = {"webm": ["libopus"], "mov": ["aac"]}.get(container, ["aac", "libopus"])
    layout = context.layout.name.split("(")[0]  # 5.1(side) is 5.1 to every player
    wanted = [(codec, layout) for codec in codecs if layout in _LAYOUTS[codec]]
    narrower = [
        (codecs[0], name)
        for name in _LAYOUTS[codecs[0]]
        if av.AudioLayout(name).nb_channels <= context.layout.nb_channels
    ]
    for codec, name in [*wanted, *narrower]:
        rate = _nearest_rate(context.sample_rate, av.Codec(codec, "w").audio_rates or [])
        if not _opens(codec, rate, name):
            continue
        notes = []
        num = av.AudioLayout(name).nb_channels
        if name != layout and layout != f"{num} channels":  # PCM of .avi and .mkv has no layout
            notes.append(f"{context.layout.name} is mixed down to {name}: no codec holds it")
        if rate < context.sample_rate:
            notes.append(f"{context.sample_rate} Hz becomes {rate} Hz, the most {codec} supports")
        return AudioFormat(codec, rate, name), notes
    raise OutputError(f"{codecs[0]} supports neither {context.layout.name} nor anything similar")


def encode_audio(
    stream: av.AudioStream,
    file: Path,
    out: av.container.OutputContainer,
    wanted: AudioFormat,
    clock: Clock,
    until: Fraction | None,
    note: Callable[[str, float], None],
) -> tuple[av.AudioStream, Iterator[av.Packet]]:
    """Add a stream to `out` for `stream`, and give its packets; tempo 1 / clock.slowmo.

    Args:
        file: what `stream` is in; opened a second time.
        until: the sound ends here (output clock).
        note: called with (what, seconds) for sound that cannot be decoded.
    """
    target = cast(av.AudioStream, out.add_stream(wanted.codec, rate=wanted.rate))
    _set_up(target.codec_context, wanted)
    return target, _packets(stream.index, file, target, clock, until, note)


def _nearest_rate(rate: int, rates: list[int]) -> int:
    """The lowest of `rates` that loses nothing, else the highest."""
    return min((r for r in rates if r >= rate), default=max(rates, default=rate))


def _opens(codec: str, rate: int, layout: str) -> bool:
    context = cast(av.AudioCodecContext, av.CodecContext.create(codec, "w"))
    context.format = "fltp" if codec == "aac" else "s16"
    context.sample_rate = rate
    _set_up(context, AudioFormat(codec, rate, layout))
    try:
        context.open()
    except (av.FFmpegError, ValueError):
        return False
    return True


def _set_up(context: av.AudioCodecContext, wanted: AudioFormat) -> None:
    context.layout = wanted.layout
    context.bit_rate = _BITS_PER_CHANNEL * av.AudioLayout(wanted.layout).nb_channels


def _packets(index, file, target, clock, until, note) -> Iterator[av.Packet]:
    # a separate reader: filters hold sound back, and the other streams should not wait for it
    with open_container(file) as source:
        context = target.codec_context
        frames = _timed(_decoded(source, source.streams[index], clock, note), clock, until)
        first = next(frames, None)
        if first is None:
            return
        start = max(Fraction(0), first[0])
        tick = Fraction(1, context.sample_rate)
        written = round(start * clock.slowmo / tick)
        steady = _without_gaps(chain([first], frames), context, start)
        stretched = _stretch(steady, context, clock.slowmo)
        resampler = av.AudioResampler(
            context.format, context.layout, context.sample_rate, context.frame_size
        )
        for frame in chain(stretched, [None]):
            for piece in resampler.resample(frame):
                piece.pts, piece.time_base = written, tick
                written += piece.samples
                yield from target.encode(piece)
        yield from target.encode()


def _decoded(source, stream, clock, note) -> Iterator[av.AudioFrame]:
    packets = continuous_packets(source, [stream.index])
    while True:
        time = Fraction(0)
        try:
            packet = next(packets, None)
            if packet is None:
                return
            if packet.pts is not None:
                time = packet.pts * packet.time_base - clock.offset
            yield from cast(list[av.AudioFrame], packet.decode())
        except av.error.EOFError:
            return
        except av.FFmpegError:
            note("packets that cannot be decoded, left silent", float(time * clock.slowmo))


def _timed(frames, clock, until) -> Iterator[tuple[Fraction, av.AudioFrame]]:
    """(time after the start of the container, frame), up to `until`."""
    due = Fraction(0)
    for frame in frames:
        time = due if frame.pts is None else frame.pts * frame.time_base - clock.offset
        if until is not None and time * clock.slowmo >= until:
            return
        yield time, frame
        due = time + Fraction(frame.samples, frame.sample_rate)


def _without_gaps(timed, context, start: Fraction) -> Iterator[av.AudioFrame]:
    """Frames of one format, layout and rate, even if the stream changes along the way, each at its
    time: gaps are filled with silence, and repeated parts are left out."""
    kind: tuple | None = None
    resampler: av.AudioResampler | None = None
    due = start
    for time, frame in timed:
        duration = Fraction(frame.samples, frame.sample_rate)
        if time + duration < due - _TOLERANCE:
            continue
        found = (frame.format.name, frame.layout.name, frame.sample_rate)
        is_late = time > due + _TOLERANCE
        if resampler is None or kind != found or is_late:
            if resampler is not None:
                yield from resampler.resample(None)
            kind = found
            resampler = av.AudioResampler("fltp", context.layout, context.sample_rate)
        if is_late:
            yield from _silence(round((time - due) * context.sample_rate), context)
            due = time
        due += duration
        frame.pts = None
        yield from resampler.resample(frame)
    if resampler is not None:
        yield from resampler.resample(None)


def _silence(samples: int, context) -> Iterator[av.AudioFrame]:
    rate, layout = context.sample_rate, context.layout
    planar = av.AudioResampler("fltp", layout, rate)  # PyAV fills seven planes at most
    while samples > 0:
        part = min(samples, rate)
        zeros = np.zeros((1, layout.nb_channels * part), np.float32)
        frame = av.AudioFrame.from_ndarray(zeros, "flt", layout.name)
        frame.sample_rate = rate
        samples -= part
        yield from planar.resample(frame)


def _stretch(frames: Iterator[av.AudioFrame], context, slowmo: Fraction) -> Iterator:
    """Frames that last `slowmo` times as long in total, to within one, at the same pitch."""
    if slowmo == 1:
        yield from frames
        return
    graph = _tempo_graph(context, slowmo)
    rate = context.sample_rate
    taken = given = 0
    is_last = False

    def padded() -> Iterator[av.AudioFrame | None]:
        nonlocal taken, is_last
        yield from _silence(round(_AHEAD * rate), context)
        for frame in frames:
            taken += frame.samples
            yield frame
        is_last = True
        for _ in range(round(_AFTER * rate / _SHORT)):
            yield from _silence(_SHORT, context)
        yield None

    for frame in padded():
        graph.push(frame)
        while True:
            try:
                piece = cast(av.AudioFrame, graph.pull())
            except (av.error.BlockingIOError, av.error.EOFError):
                break
            if is_last and given >= taken * slowmo:
                return
            given += piece.samples
            piece.pts = None
            yield piece


def _tempo_graph(context, slowmo: Fraction) -> av.filter.Graph:
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
    return graph
