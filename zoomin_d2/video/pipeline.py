"""Frames of a source in, frames of the output out, each with its exact time.

Source frames that fall on a moment of the output pass unchanged; between two frames of one shot
the model makes the frames; across a cut, a gap of lost frames and after the last frame nothing is
invented. Decoding (and all conversion to RGB) runs in a thread of its own, a few frames ahead.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from .errors import ModelError
from .frames import mix, to_array, to_tensor
from .queues import prefetch
from .scene_cuts import CUT_MIN, MarkedFrame, mark_steps
from .source import Source
from .timeline import Grid, Moment, Target, make_grid

Interpolate = Callable[[Tensor, Tensor, list[float]], list[Tensor]]
MAX_REPEATS = 3  # a longer run of equal frames is a pause in the motion, not a lower frame rate
CONTEXT = 32  # source frames before a place that decide what happens there, and some more


@dataclass(frozen=True)
class StreamOptions:
    """How frames are made.

    Attributes:
        cut_threshold: least mean luma difference (0..255) of a scene cut; None: find none.
        on_cut: between the last frame of a shot and the first of the next, show the "nearest" of
            them, or "blend" them.
        dedupe: frames that only repeat the one before are left out, and the motion between their
            neighbours is spread over the time that they took.
        hold_last: the last frame is shown for as long as it lasts in the source; without this
            the output ends with it (images: nothing comes twice).
        device: where the model wants its frames.
        queue_size: source frames decoded ahead.
    """

    cut_threshold: float | None = CUT_MIN
    on_cut: Literal["nearest", "blend"] = "nearest"
    dedupe: bool = False
    hold_last: bool = True
    device: str = "cpu"
    queue_size: int = 4


@dataclass
class OutputFrame:
    """One frame of the output.

    Attributes:
        index: its place in the output. time: when it is shown, in seconds; exact.
        image: (H, W, 3) RGB, uint8 or uint16.
        kind: "source" (passed unchanged), "made" by the model, "held" (a source frame shown
            again) or "blended" across a cut.
        source_index: the source frame that it is, or that comes before it.
        read_on: (time, index) of a source frame from which reading gives the next frames alike.
        cuts: times (source, seconds) of the scene cuts since the previous output frame.
        repeats: repeated source frames that were left out since then (dedupe).
    """

    index: int
    time: Fraction
    image: np.ndarray
    kind: Literal["source", "made", "held", "blended"]
    source_index: int
    read_on: tuple[Fraction, int]
    cuts: tuple[float, ...] = ()
    repeats: int = 0


@dataclass
class _Shown:
    """A source frame whose content is shown, as RGB, and the times of the original frames from it
    up to the next that is shown."""

    marked: MarkedFrame
    image: np.ndarray
    times: list[Fraction]
    read_on: tuple[Fraction, int]
    last_duration: Fraction
    tensor: Tensor | None = None

    @property
    def time(self) -> Fraction:
        return self.times[0]

    @property
    def index(self) -> int:
        return self.marked.frame.index


def interpolate_frames(
    source: Source,
    interpolate: Interpolate,
    target: Target,
    options: StreamOptions | None = None,
    first: int = 0,
    start: tuple[Fraction, int] | None = None,
) -> Iterator[OutputFrame]:
    """The frames of the output, in order.

    Args:
        source: opened; read once.
        interpolate: (frame_1, frame_2, list of t in (0, 1)) -> list of frames; frames are
            (1, 3, H, W) float RGB in [0, 1] on options.device.
        target: the frame rate, factor or slow motion.
        options: how frames are made.
        first: index of the first output frame to give; earlier ones are not made.
        start: (time, index) of the source frame to begin reading at; at least CONTEXT frames
            before what `first` shows.

    Raises:
        ModelError: the model returned something that is not its frames.
    """
    options = options or StreamOptions()
    info = source.info
    grid = make_grid(target, info.rate, info.start, info.time_base)
    read = source.frames(*start) if start else source.frames()
    marked = mark_steps(read, options.cut_threshold)
    shown = prefetch(_shown_frames(marked, source, options), options.queue_size)
    previous: _Shown | None = None
    cuts: list[float] = []
    repeats = 0
    try:
        for current in shown:
            if previous is not None:
                if current.marked.cut_before:
                    cuts.append(round(float(current.time), 3))
                repeats += len(previous.times) - 1
                moments = grid.between(previous.index, [*previous.times, current.time])
                wanted = [m for m in moments if m.index >= first]
                for frame in _between(previous, current, wanted, grid, interpolate, options):
                    frame.cuts, frame.repeats = tuple(cuts), repeats
                    cuts, repeats = [], 0
                    yield frame
                if moments:  # the events of frames before `first` were told by an earlier run
                    cuts, repeats = [], 0
            previous = current
        if previous is not None:
            moments = grid.between(previous.index, previous.times)
            index = previous.index + len(previous.times) - 1
            moments += grid.tail(index, previous.times[-1], previous.last_duration)
            for moment in moments:
                is_after = moment.source_time - previous.times[-1] > grid.tolerance
                if moment.index >= first and (options.hold_last or not is_after):
                    yield _output(moment, previous, previous.image, grid)
    finally:
        shown.close()


def _shown_frames(
    marked: Iterable[MarkedFrame], source: Source, options: StreamOptions
) -> Iterator[_Shown]:
    """Convert to RGB; where asked, merge short runs of repeats into the frame they repeat."""
    history: deque[tuple[Fraction, int]] = deque(maxlen=CONTEXT)

    def shown(item: MarkedFrame) -> _Shown:
        frame = item.frame
        image = source.to_rgb(frame.picture)
        frame.picture = None
        return _Shown(item, image, [frame.time], history[0], frame.duration)

    previous: _Shown | None = None
    repeats: list[MarkedFrame] = []
    in_pause = False
    for item in marked:
        history.append((item.frame.time, item.frame.index))
        is_repeat = item.repeats and options.dedupe and not item.frame.gap_before
        # the middle of a long run of equal frames has no motion around it: it is "still"
        in_pause = options.dedupe and (item.still or (in_pause and item.repeats))
        if is_repeat and not in_pause and previous is not None:
            repeats.append(item)
            if len(repeats) <= MAX_REPEATS:
                continue
            in_pause = True
        elif previous is not None and not in_pause:
            previous.times.extend(repeat.frame.time for repeat in repeats)
            if repeats:
                previous.last_duration = repeats[-1].frame.duration
            repeats.clear()
        if previous is not None:
            yield previous
        for repeat in repeats:  # a pause after all: they stay what they are
            if repeat is not item:
                yield shown(repeat)
        repeats.clear()
        previous = shown(item)
    if previous is not None:
        previous.times.extend(repeat.frame.time for repeat in repeats)
        if repeats:
            previous.last_duration = repeats[-1].frame.duration
        yield previous


def _between(
    a: _Shown,
    b: _Shown,
    moments: list[Moment],
    grid: Grid,
    interpolate: Interpolate,
    options: StreamOptions,
) -> Iterator[OutputFrame]:
    span = b.time - a.time
    is_cut, is_gap = b.marked.cut_before, b.marked.frame.gap_before
    ts = [float((m.source_time - a.time) / span) for m in moments]
    exact = [m.source_time - a.time <= grid.tolerance for m in moments]
    made: list[np.ndarray] = []
    wanted = [t for t, is_exact in zip(ts, exact) if not is_exact]
    if wanted and not (is_cut or is_gap):
        made = _make(a, b, wanted, interpolate, options)
    made_frames = iter(made)
    for moment, t, is_exact in zip(moments, ts, exact):
        if is_exact or is_gap:
            yield _output(moment, a, a.image, grid)
        elif not is_cut:
            yield _output(moment, a, next(made_frames), grid, "made")
        elif options.on_cut == "blend":
            yield _output(moment, a, mix(a.image, b.image, t), grid, "blended")
        else:
            near = a if t <= 0.5 else b
            yield _output(moment, a, near.image, grid, "held")


def _make(
    a: _Shown, b: _Shown, ts: list[float], interpolate: Interpolate, options: StreamOptions
) -> list[np.ndarray]:
    for frame in (a, b):
        if frame.tensor is None:
            frame.tensor = to_tensor(frame.image, options.device)
    with torch.inference_mode():
        frames = interpolate(a.tensor, b.tensor, ts)
    a.tensor = None  # b is the next pair's first
    if len(frames) != len(ts) or any(f.shape != b.tensor.shape for f in frames):
        shapes = [tuple(f.shape) for f in frames]
        raise ModelError(f"The model gave {shapes} for {len(ts)} frames {tuple(b.tensor.shape)}")
    if not all(bool(torch.isfinite(f).all()) for f in frames):
        raise ModelError(f"The model gave values that are not finite at {float(a.time):.3f} s")
    return [to_array(f, a.image.dtype == np.uint16) for f in frames]


def _output(
    moment: Moment, shown: _Shown, image: np.ndarray, grid: Grid, kind: str | None = None
) -> OutputFrame:
    if kind is None:
        is_source = moment.source_time - shown.time <= grid.tolerance
        kind = "source" if is_source else "held"
    return OutputFrame(moment.index, moment.time, image, kind, shown.index, shown.read_on)
