"""FFmpeg's video filters between a source and whatever reads it, in one pass.

The times of the frames are those that the filters give them, so filters may change the number and
the rate of frames, the size, and the colors. Filters may look back as far as they like, so a
resumed run filters the source from its start. A rotated video is turned upright first.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import islice, pairwise
from pathlib import Path

import av
import numpy as np

from zoomin_d2.video.errors import BadInputError, OptionError
from zoomin_d2.video.read.color import (
    UNSPECIFIED,
    alpha_of,
    color_path,
    holds_alpha,
    is_rgb,
    turn_of,
)
from zoomin_d2.video.read.filter_graph import Filter, FilterGraph, parse_filters
from zoomin_d2.video.read.hdr import read_hdr_metadata
from zoomin_d2.video.read.source import INTERLACED, ClosedOnExit, Source, SourceFrame, SourceInfo
from zoomin_d2.video.read.timing import possible_rate

_DEINTERLACERS = {"bwdif", "yadif", "w3fdif", "estdif", "nnedi"}
_PREVIEW = 9  # filtered frames that show the rate
_UPRIGHT = ("transpose=cclock_flip", "hflip", "vflip")  # what the parts of a Turn are
_UNTURNED = "sidedata=mode=delete:type=DISPLAYMATRIX"
_ASPECT_UNIT = 7200  # pixels that stand for a pixel aspect of 1
_MAX_ASPECT_TERM = 200


class FilteredSource(ClosedOnExit):
    """A source whose frames went through filters.

    Args:
        source: opened; it is read through this one only, and closed with it.
        text: the chain of filters.

    Raises:
        OptionError: a filter is unknown, or refuses its options or these frames.
    """

    def __init__(self, source: Source, text: str):
        self._source, self._text = source, text
        self._filters = parse_filters(text)
        self.files: Sequence[Path] = source.files
        self.damage = source.damage
        self.first_alpha: Fraction | None = None
        self._graph: FilterGraph | None = None
        self._inputs: list[av.VideoFrame] | None = []  # until the first frame comes out
        self._last: SourceFrame | None = None  # of the source
        self._gaps: list[Fraction] = []
        self._filtered = self._filter(source.frames())
        self._is_fresh = True
        preview = list(islice(self._filtered, _PREVIEW))
        if not preview:
            raise OptionError(f"--filter {text}: no frame comes out of {source.info.name}")
        self.info = self._describe(preview)
        self._inputs = None
        self._size = preview[0][1].height, preview[0][1].width
        self._preview = preview
        self.end, self.count = self.info.start, 0

    def close(self) -> None:
        self._filtered.close()
        self._source.close()

    def to_rgb(self, picture: av.VideoFrame) -> np.ndarray:
        return self.info.color.to_rgb(picture)

    def to_alpha(self, picture: av.VideoFrame) -> np.ndarray | None:
        alpha = alpha_of(picture, self.info.color.deep)
        return None if alpha is None or alpha.min() == np.iinfo(alpha.dtype).max else alpha

    def again(self) -> "FilteredSource | None":
        source = self._source.again()
        return None if source is None else FilteredSource(source, self._text)

    def frames(self, start: Fraction | None = None, index: int = 0) -> Iterator[SourceFrame]:
        """As Source.frames; `index` is not needed, because all frames are filtered."""
        if start is not None:
            if self.info.fingerprint is None:
                raise BadInputError("Standard input cannot be resumed")
            found = [event for event in self.damage.events if event.time >= start]
            self.damage.begin_at(start)
            self.damage.events.extend(found)
            if not self._is_fresh:
                self._filtered.close()
                self._preview, self._gaps, self._last = [], [], None
                self._filtered = self._filter(self._source.frames(self._source.info.start))
        self._is_fresh = False
        waiting: SourceFrame | None = None
        for number, (time, picture) in enumerate(self._again()):
            if waiting is not None and time <= waiting.time:
                raise OptionError(
                    f"--filter {self._text}: its frames do not follow each other at "
                    f"{float(time):.3f} s"
                )
            if (picture.height, picture.width) != self._size:
                raise OptionError(
                    f"--filter {self._text}: the frame size changes at {float(time):.3f} s"
                )
            if waiting is not None:
                yield from self._told(waiting, start)
            passed = [gap for gap in self._gaps if gap <= time]
            del self._gaps[: len(passed)]
            waiting = SourceFrame(number, time, 1 / self.info.rate, picture, bool(passed))
        if waiting is not None:
            waiting.duration = self._last_duration(waiting.time)
            yield from self._told(waiting, start)

    def _told(self, frame: SourceFrame, start: Fraction | None) -> Iterator[SourceFrame]:
        if start is not None and frame.time < start:
            return
        is_new = self.first_alpha is None and self.info.has_alpha
        if is_new and self.to_alpha(frame.picture) is not None:
            self.first_alpha = frame.time
        self.end, self.count = frame.time + frame.duration, frame.index + 1
        yield frame

    def _again(self) -> Iterator[tuple[Fraction, av.VideoFrame]]:
        while self._preview:
            yield self._preview.pop(0)
        yield from self._filtered

    def _last_duration(self, time: Fraction) -> Fraction:
        """Up to where the source ends, unless the filters moved the end."""
        rest = self._source.end - time
        usual = 1 / self.info.rate
        longest = usual if self._last is None else max(usual, self._last.duration)
        return rest if 0 < rest <= longest else usual

    def _filter(self, frames: Iterator[SourceFrame]):
        """(time, picture) of all filtered frames."""
        graph = None
        for frame in frames:
            if frame.gap_before:
                self._gaps.append(frame.time)
            self._last = frame
            picture = self._prepared(frame)
            if graph is None:
                graph = self._graph = self._open(self._filters, picture)
            picture.pts, picture.time_base = round(frame.time / graph.tick), graph.tick
            picture.duration = round(frame.duration / graph.tick)
            if self._inputs is not None:
                self._inputs.append(picture)
            yield from map(_timed, graph.push(picture))
        if graph is not None:
            yield from map(_timed, graph.push(None))

    def _prepared(self, frame: SourceFrame) -> av.VideoFrame:
        """A picture of the source as FFmpeg takes it, with the matrix that it is read by."""
        picture = frame.picture
        self._is_array = isinstance(picture, np.ndarray)
        if self._is_array:
            if picture.dtype not in (np.uint8, np.uint16):
                raise OptionError(f"--filter {self._text}: takes no EXR images")
            if picture.shape[2] == 3:
                full = np.iinfo(picture.dtype).max
                picture = np.dstack([picture, np.full(picture.shape[:2], full, picture.dtype)])
            kind = "rgba" if picture.dtype == np.uint8 else "rgba64le"
            return av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), kind)
        if picture.colorspace == UNSPECIFIED and not is_rgb(picture.format.name):
            picture.colorspace = 1 if self._source.info.height >= 720 else 6
        return picture

    def _open(self, filters: list[Filter], first: av.VideoFrame) -> FilterGraph:
        turned = [name for name, is_needed in zip(_UPRIGHT, turn_of(first)) if is_needed]
        upright = parse_filters(",".join([*turned, _UNTURNED])) if turned else []
        name = first.format.name
        # RGB that a filter takes as YUV comes back by the same matrix
        back = [Filter("format", "rgba" if name == "pal8" else name)] if is_rgb(name) else []
        return FilterGraph([*upright, *filters, *back], first, self._source.info)

    def _describe(self, preview: list[tuple[Fraction, av.VideoFrame]]) -> SourceInfo:
        before = self._source.info
        start, frame = preview[0]
        times = [time for time, _ in preview]
        tick = before.time_base
        if any((time - start) % tick for time in times):
            tick = Fraction(frame.time_base or tick)
        steps = [b - a for a, b in pairwise(times) if b > a]
        declared = [before.rate, 2 * before.rate]
        if set(steps) == {tick}:  # as after the filter fps, whose clock ticks once a frame
            declared = [1 / tick]
        rate = possible_rate(declared, steps, tick) if steps else before.rate
        is_deinterlaced = self._filters[0].name in _DEINTERLACERS
        warnings = before.warnings
        if is_deinterlaced and INTERLACED in warnings:
            warnings = tuple(w for w in warnings if w != INTERLACED)
        elif is_deinterlaced:
            warnings += ("not marked as interlaced: the upper field is taken to come first",)
        fingerprint = before.fingerprint
        return replace(
            before,
            height=frame.height,
            width=frame.width,
            rate=rate,
            start=start,
            time_base=tick,
            num_frames=round(before.duration * rate) if before.duration else 0,
            color=before.color if self._is_array else color_path(frame, before.name),
            pix_fmt=before.pix_fmt if self._is_array else frame.format.name,
            sample_aspect_ratio=self._aspect(),
            hdr=read_hdr_metadata(frame),
            warnings=warnings,
            fingerprint=None if fingerprint is None else [fingerprint, self._text],
            has_alpha=before.has_alpha if self._is_array else holds_alpha(frame.format),
        )

    def _aspect(self) -> Fraction | None:
        """The pixel aspect after the filters. Frames do not carry it in PyAV, so the filter scale,
        which knows it, writes it into the width of a frame."""
        before = self._source.info.sample_aspect_ratio
        first, *others = self._inputs or []
        small = Filter("crop", "w=min(iw\\,16):h=min(ih\\,16)")
        measure = Filter("scale", f"w=max(1\\,round(sar*{_ASPECT_UNIT})):h=ih")
        graph = self._open([*self._filters, small, measure], first)
        for frame in (first, *others, None):
            for measured in graph.push(frame):
                aspect = Fraction(measured.width, _ASPECT_UNIT).limit_denominator(_MAX_ASPECT_TERM)
                return None if before is None and aspect == 1 else aspect
        return before


def _timed(frame: av.VideoFrame) -> tuple[Fraction, av.VideoFrame]:
    return Fraction((frame.pts or 0) * Fraction(frame.time_base or 1)), frame
