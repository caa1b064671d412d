"""Frames of a source in, frames of the output out, each with its exact time.

Source frames that fall on a moment of the output pass unchanged; between two frames of one shot
the model makes the frames; nothing is invented across a cut, across a gap of lost frames, or after
the last frame. Decoding, the search for cuts, and that for overlays each run in a thread of their
own, a few frames ahead; conversion to RGB in several.
"""

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from typing import Any, Literal, NamedTuple

import av
import numpy as np

from zoomin_d2.interpolate import Interpolate
from zoomin_d2.transfer import overlapped, pairs_in_flight
from zoomin_d2.video.errors import OptionError
from zoomin_d2.video.option_checks import check_choice, check_number
from zoomin_d2.video.read.color import turn_of
from zoomin_d2.video.read.planes import planes_of
from zoomin_d2.video.read.source import Source, SourceFrame
from zoomin_d2.video.time.alpha import halves, mix_images, rgba
from zoomin_d2.video.time.cut_list import Cut
from zoomin_d2.video.time.loop import closed, last_frame
from zoomin_d2.video.time.model_calls import Model, Shown
from zoomin_d2.video.time.overlays import find_overlays
from zoomin_d2.video.time.pixels import Pixels
from zoomin_d2.video.time.protection import Mask, Protection, Unsure
from zoomin_d2.video.time.queues import CONVERTERS, ordered_map, prefetch
from zoomin_d2.video.time.scene_cuts import MarkedFrame, mark_steps
from zoomin_d2.video.time.shutter import ShutterGrid, expose
from zoomin_d2.video.time.step_detection import CUT_MIN, MAX_GAP
from zoomin_d2.video.time.timeline import Grid, Moment, Target, make_grid

MAX_REPEATS = 3  # a longer run of equal frames is a pause in the motion, not a lower frame rate
FrameKind = Literal["source", "made", "held", "blended"]
OnCut = Literal["nearest", "blend"]
MOST_PIXELS = 2**27  # made by one call of the model: 64 frames of 1080p, 16 of 4K
CONTEXT = 32  # source frames before a place that decide what happens there, with a margin


@dataclass(frozen=True)
class StreamOptions:
    """How frames are made.

    Attributes:
        cut_threshold: smallest change (0..255, step_detection.py) of a scene cut; None: find none,
            and no fades and dissolves.
        cuts: the cuts, fades and dissolves of the source; None: find them.
        on_cut: between the last frame of a shot and the first of the next, show the "nearest" of
            them, or "blend" them.
        dedupe: frames that only repeat the one before are left out, and the motion between their
            neighbors is spread over the time that they took.
        max_gap: after a pause of more seconds, which is also far longer than the steps around it,
            the frame before it is held until the next one; None: every pause is interpolated.
        hold_last: the last frame is shown for as long as it lasts in the source; without this
            the output ends with it (images: no frame is repeated).
        loop: after the last frame comes the first one again.
        alpha: images are (H, W, 4) straight RGBA; transparency is interpolated with the colors.
        light: images are linear light as float16 (half_floats.py); RGBA is then premultiplied.
        shutter: degrees of motion blur, above 0 and at most 360 (shutter.py); None: none.
        queue_size: source frames decoded ahead.
        keep_still: text, logos and whatever else stands still over motion, and pixels that are
            equal in both frames, are not interpolated (overlays.py, protection.py).
        mask: an image of the frames' size; where it is white, the nearer source frame is shown.
        unsure: where a made frame cannot be trusted, "keep" it, or show the "nearest" source frame
            or a "blend" of both; the last two need a model with flow.
        stored_as: FFmpeg's pixel format of the output; what the source has in it is not converted,
            and a GPU gives made frames in it. None: RGB.
    """

    cut_threshold: float | None = CUT_MIN
    cuts: tuple[Cut, ...] | None = None
    on_cut: OnCut = "nearest"
    dedupe: bool = False
    max_gap: float | None = MAX_GAP
    hold_last: bool = True
    loop: bool = False
    alpha: bool = False
    light: bool = False
    shutter: float | None = None
    queue_size: int = 4
    keep_still: bool = True
    mask: str | os.PathLike | None = None
    unsure: Unsure = "keep"
    stored_as: str | None = None

    def __post_init__(self) -> None:
        check_choice("on_cut", self.on_cut, OnCut)
        check_choice("unsure", self.unsure, Unsure)
        check_number("cut_threshold", self.cut_threshold, most=255)
        check_number("max_gap", self.max_gap)


@dataclass
class OutputFrame:
    """One frame of the output.

    Attributes:
        index: its place in the output. time, duration: when it is shown and for how long, in exact
            seconds.
        pixels: what it shows. Their `image` is (H, W, 3) RGB, uint8 or uint16 (options.light:
            float16); with options.alpha (H, W, 4).
        kind: "source" (passed unchanged), "made" by the model, "held" (a source frame shown
            again) or "blended" across a cut, or within a fade or dissolve.
        source_index: the source frame that it is, or that comes before it.
        read_on: (time, index) of a source frame; reading from there gives the same next frames.
        held: the source frame that a player would show at this time without interpolation.
        cuts: times (source, seconds) of the scene cuts since the previous output frame.
        repeats: number of repeated source frames left out since then (dedupe).
        unsure: share of its pixels that could not be trusted and were replaced, 0 to 1.
        has_overlay: whether text or the like was kept still.
        shot: differs between two frames that a cut or a gap of the source separates.
    """

    index: int
    time: Fraction
    pixels: Pixels
    kind: FrameKind
    source_index: int
    read_on: tuple[Fraction, int]
    held: Pixels
    duration: Fraction = Fraction(0)
    cuts: tuple[float, ...] = ()
    repeats: int = 0
    unsure: float = 0.0
    has_overlay: bool = False
    shot: int = 0

    @property
    def image(self) -> np.ndarray:
        """That of `pixels`."""
        return self.pixels.image


class _Span(NamedTuple):
    """The output frames from one shown frame up to the next (None: the end), and what happened
    since the last ones."""

    a: Shown
    b: Shown | None
    moments: list[Moment]
    cuts: tuple[float, ...]
    repeats: int


def interpolate_frames(
    source: Source,
    interpolate: Interpolate,
    target: Target | Grid,
    options: StreamOptions | None = None,
    first: int = 0,
    start: tuple[Fraction, int] | None = None,
) -> Generator[OutputFrame, None, None]:
    """The frames of the output, in order; close the generator if you leave it early.

    Args:
        source: opened; read once.
        interpolate: (frame_1, frame_2, list of t in (0, 1)) -> list of frames; frames are
            (1, 3, H, W) float32 RGB in [0, 1]. zoomin_d2.Interpolator is one.
        target: the frame rate, factor or slow motion; or the grid made from it.
        options: how frames are made.
        first: index of the first output frame to give; earlier ones are not made.
        start: (time, index) of the source frame to begin reading at; at least CONTEXT frames
            before what `first` shows.

    Raises:
        ModelError: the model did not return the frames that were asked for.
        OptionError: the mask does not fit the frames, or `unsure` the model.
    """
    options = options or StreamOptions()
    grid = make_grid(target, source.info) if isinstance(target, Target) else target
    if options.shutter is None:
        return _frames_at(grid, source, interpolate, options, first, start)
    exposures = ShutterGrid(grid, options.shutter)
    first *= exposures.samples
    frames = _frames_at(exposures, source, interpolate, options, first, start)
    return expose(frames, exposures.samples, source.info.transfer)


def _frames_at(
    grid: Grid | ShutterGrid,
    source: Source,
    interpolate: Interpolate,
    options: StreamOptions,
    first: int,
    start: tuple[Fraction, int] | None,
) -> Generator[OutputFrame, None, None]:
    """The frames at the moments of a grid, from index `first` on."""
    if options.light and (options.mask is not None or options.unsure != "keep"):
        raise OptionError("--mask and --unsure do not take EXR outputs: leave them out")
    keep_still = options.keep_still and not options.light  # passed light has no 8-bit levels
    read = prefetch(_read(source, start, options), 1)
    marked = mark_steps(read, options.cut_threshold, options.max_gap, options.cuts)
    size = (source.info.height, source.info.width)
    mask = None if options.mask is None else Mask(options.mask, size)
    protection = Protection(keep_still, options.unsure, mask)
    stored_as = options.stored_as if options.shutter is None else None  # averages RGB
    as_rgb = options.alpha or options.light
    model = Model(interpolate, protection, source.info.color, stored_as, as_rgb)
    decoded = prefetch(_shown_frames(marked, source, options, model), options.queue_size)
    shown = prefetch(find_overlays(decoded), 1) if keep_still else decoded
    most = max(1, MOST_PIXELS // (source.info.height * source.info.width))
    spans = _pieces(_spans(shown, grid, first, options), most)
    fill = partial(_fill, grid=grid, model=model, options=options)
    filled = ordered_map(fill, spans, model.workers)
    try:
        for frames in overlapped(filled, pairs_in_flight(model.device, model.workers)):
            yield from frames
    finally:
        filled.close()
        shown.close()
        decoded.close()
        read.close()


def _read(
    source: Source, start: tuple[Fraction, int] | None, options: StreamOptions
) -> Iterator[SourceFrame]:
    if start is not None and start[1] < 0:  # the frame before the first one of a loop
        start = None
    if not options.loop:
        return source.frames(*start) if start else source.frames()
    if start is None:
        before = None if options.shutter is None else last_frame(source)
        return closed(source.frames(), before=before)
    # a source that was just opened has decoded its first frame, and then goes to `start`
    first = next(source.frames(), None)
    return closed(source.frames(*start), first)


def _spans(
    shown: Iterable[Shown], grid: Grid | ShutterGrid, first: int, options: StreamOptions
) -> Iterator[_Span]:
    """The stretches between shown frames, each with the moments that fall into it."""
    previous: Shown | None = None
    cuts: list[float] = []
    repeats = 0
    for current in shown:
        if previous is not None:
            current.shot = previous.shot + current.begins_shot
            if current.marked.cut_before:
                cuts.append(round(float(current.time), 3))
            repeats += len(previous.times) - 1
            moments = grid.between(previous.index, [*previous.times, current.time])
            wanted = [m for m in moments if m.index >= first]
            if moments and moments[0].index < first:  # reported by an earlier run
                cuts, repeats = [], 0
            if wanted:
                yield _Span(previous, current, wanted, tuple(cuts), repeats)
            if moments:
                cuts, repeats = [], 0
        previous = current
    if previous is not None:
        repeats += len(previous.times) - 1
        moments = grid.between(previous.index, previous.times)
        index = previous.index + len(previous.times) - 1
        if not options.loop:  # else it is the first frame, which begins the next round
            tail = previous.times[-1], previous.last_duration
            moments += grid.tail(index, *tail, options.hold_last)
        wanted = [m for m in moments if m.index >= first]
        if moments and moments[0].index < first:
            cuts, repeats = [], 0
        if wanted:
            yield _Span(previous, None, wanted, tuple(cuts), repeats)


def _pieces(spans: Iterable[_Span], most: int) -> Iterator[_Span]:
    """The spans in parts of at most `most` moments, all of which are in memory together."""
    for span in spans:
        yield span._replace(moments=span.moments[:most])
        for k in range(most, len(span.moments), most):
            yield span._replace(moments=span.moments[k : k + most], cuts=(), repeats=0)


def _shown_frames(
    marked: Iterable[MarkedFrame], source: Source, options: StreamOptions, model: Model
) -> Iterator[Shown]:
    """The frames, converted to RGB ahead of their use if the model takes them so; if asked, short
    runs of repeats are merged into the frame they repeat."""
    convert: Callable[[Any], np.ndarray] = source.to_rgb
    if options.light:
        convert = partial(halves, source, options.alpha)
    elif options.alpha:
        convert = partial(rgba, source)
    full_range = source.info.color.full_range
    with ThreadPoolExecutor(CONVERTERS, "convert") as pool:

        def pixels(picture: Any) -> Pixels:
            is_upright = isinstance(picture, av.VideoFrame) and not any(turn_of(picture))
            planes = planes_of(picture, full_range, options.stored_as) if is_upright else None
            if model.takes(planes):
                return Pixels(partial(convert, picture), planes)
            return Pixels(pool.submit(convert, picture).result, planes)

        yield from _merged(marked, pixels, options)


def _merged(
    marked: Iterable[MarkedFrame], pixels: Callable[[Any], Pixels], options: StreamOptions
) -> Iterator[Shown]:
    history: deque[tuple[Fraction, int]] = deque(maxlen=CONTEXT)

    def shown(item: MarkedFrame) -> Shown:
        frame = item.frame
        found = pixels(frame.picture)
        frame.picture = None
        return Shown(item, found, [frame.time], history[0], frame.duration)

    previous: Shown | None = None
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
        for repeat in repeats:  # a pause after all: they stay source frames
            if repeat is not item:
                yield shown(repeat)
        repeats.clear()
        previous = shown(item)
    if previous is not None:
        previous.times.extend(repeat.frame.time for repeat in repeats)
        if repeats:
            previous.last_duration = repeats[-1].frame.duration
        yield previous


def _fill(
    span: _Span, grid: Grid | ShutterGrid, model: Model, options: StreamOptions
) -> Callable[[], list[OutputFrame]]:
    """Start the frames of one span; the model is called once, with all its times."""
    a, b = span.a, span.b
    exact = [m.source_time - a.time <= grid.tolerance for m in span.moments]
    in_shot = b is not None and not b.marked.apart
    ts = (
        []
        if b is None
        else [float((m.source_time - a.time) / (b.time - a.time)) for m in span.moments]
    )
    wanted = [t for t, is_exact in zip(ts, exact) if not is_exact]
    wait = model.begin(a, b, wanted) if b is not None and in_shot and wanted else list

    def finish() -> list[OutputFrame]:
        made = iter(wait())
        frames = []
        for k, (moment, is_exact) in enumerate(zip(span.moments, exact)):
            if is_exact:
                frames.append(_output(moment, a, a.pixels, "source"))
            elif b is None or b.marked.holds_last:
                frames.append(_output(moment, a, a.pixels, "held"))
            elif in_shot:
                pixels, unsure, has_overlay = next(made)
                frames.append(_output(moment, a, pixels, "made"))
                frames[-1].unsure, frames[-1].has_overlay = unsure, has_overlay
            elif options.on_cut == "blend" or b.marked.transition is not None:
                mixed = mix_images(a.image, b.image, ts[k])
                frames.append(_output(moment, a, Pixels(mixed), "blended"))
            else:
                frames.append(_output(moment, a, (a if ts[k] <= 0.5 else b).pixels, "held"))
        frames[0].cuts, frames[0].repeats = span.cuts, span.repeats
        return frames

    return finish


def _output(moment: Moment, shown: Shown, pixels: Pixels, kind: FrameKind) -> OutputFrame:
    return OutputFrame(
        moment.index,
        moment.time,
        pixels,
        kind,
        shown.index,
        shown.read_on,
        shown.pixels,
        moment.duration,
        shot=shown.shot,
    )
