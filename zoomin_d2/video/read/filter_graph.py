"""A chain of FFmpeg's video filters: its text, and the graph that frames are pushed through."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from math import lcm
from typing import Any, NamedTuple, cast

import av
import av.filter
import av.logging

from zoomin_d2.video.errors import OptionError
from zoomin_d2.video.read.color import turn_of
from zoomin_d2.video.read.source import SourceInfo

# One frame per field, so 50i becomes 50p; which field is first is up to the flags of the frames.
DEINTERLACE = "bwdif=mode=send_field:parity=auto:deint=all"

_FINEST = 2**28  # ticks per second; filters may make them finer
_DYNAMIC_INPUTS, _DYNAMIC_OUTPUTS = 1, 2  # AVFILTER_FLAG_*: how many depends on the options


class Filter(NamedTuple):
    """One filter of a chain: its name and its options as FFmpeg takes them."""

    name: str
    options: str

    def __str__(self) -> str:
        return f"{self.name}={self.options}" if self.options else self.name


def parse_filters(text: str) -> list[Filter]:
    """The filters of a chain such as "crop=640:480,unsharp", quoted and escaped as for FFmpeg.

    Raises:
        OptionError: it is empty, has labels or several chains, or a filter is unknown, refuses its
            options, or has not one input and one output.
    """
    filters = []
    for word in _words(text):
        name, _, options = word.partition("=")
        filters.append(Filter(name.strip(), options.strip()))
        _check(filters[-1])
    return filters


def _words(text: str) -> list[str]:
    """Split at commas, and take away one level of quotes and backslashes, as FFmpeg does."""
    words, characters = [""], iter(text)
    for character in characters:
        if character == "\\":
            words[-1] += next(characters, "")
        elif character == "'":
            for quoted in characters:
                if quoted == "'":
                    break
                words[-1] += quoted
        elif character == ",":
            words.append("")
        elif character in "[];":
            raise OptionError(
                f"--filter {text}: give one chain of filters, such as crop=640:480,unsharp, "
                f"without {character!r}"
            )
        else:
            words[-1] += character
    if not all(word.strip() for word in words):
        raise OptionError(f"--filter {text}: a filter between the commas is missing")
    return words


def _check(wanted: Filter) -> None:
    try:
        known: Any = av.filter.Filter(wanted.name)  # its stubs lack inputs and outputs
    except ValueError:
        raise OptionError(f"--filter {wanted}: this FFmpeg has no filter '{wanted.name}'") from None
    is_single = len(known.inputs) == 1 or known.flags & _DYNAMIC_INPUTS
    if not is_single or not (len(known.outputs) == 1 or known.flags & _DYNAMIC_OUTPUTS):
        raise OptionError(f"--filter {wanted}: needs one video in and one out, which it has not")
    with _explained(wanted):
        av.filter.Graph().add(wanted.name, wanted.options or None)


@contextmanager
def _reported(what: object, where: str = "") -> Iterator[None]:
    """Turns an error of FFmpeg into an OptionError."""
    try:
        yield
    except av.FFmpegError as error:
        raise OptionError(f"--filter {what}: {error.strerror or error}{where}") from error


@contextmanager
def _explained(what: object, where: str = "") -> Iterator[None]:
    """The same, with the reason that FFmpeg logs. Only for setting up: while filters run, threads
    of theirs would wait for Python to log."""
    level = av.logging.get_level()
    av.logging.set_level(av.logging.ERROR)
    try:
        with av.logging.Capture() as logs:
            yield
    except av.FFmpegError as error:
        reason = logs[0][2].strip() if logs else error.strerror or str(error)
        raise OptionError(f"--filter {what}: {reason.rstrip('.')}{where}") from error
    finally:
        av.logging.set_level(level)


class FilterGraph:
    """The filters, set up for frames like the first one."""

    def __init__(self, filters: Iterable[Filter], first: av.VideoFrame, info: SourceInfo):
        self._filters = list(filters)
        where = f" (frames of {first.width}x{first.height} {first.format.name})"
        exact = lcm(*(t.denominator for t in (info.time_base, 1 / info.rate, info.start)))
        # of times: all are whole numbers of it, unless FFmpeg could not hold the fraction
        self.tick = Fraction(1, exact if exact <= _FINEST else info.time_base.denominator)
        aspect = info.sample_aspect_ratio or Fraction(0)
        if turn_of(first).transposed and aspect:
            aspect = 1 / aspect
        properties = {
            "video_size": f"{first.width}x{first.height}",
            "pix_fmt": first.format.name,
            "time_base": str(self.tick),
            "frame_rate": str(info.rate),
            "pixel_aspect": f"{aspect.numerator}/{aspect.denominator}",
            "colorspace": str(int(first.colorspace)),
            "range": str(int(first.color_range)),
        }
        self._text = ",".join(map(str, self._filters))
        with _explained(self._text, where):
            graph = av.filter.Graph()
            self._source = graph.add("buffer", ":".join(f"{k}={v}" for k, v in properties.items()))
            nodes = [graph.add(f.name, f.options or None) for f in self._filters]
            self._sink = graph.add("buffersink")
            graph.link_nodes(self._source, *nodes, self._sink)
            graph.configure()
        self._graph = graph

    def push(self, frame: av.VideoFrame | None) -> Iterator[av.VideoFrame]:
        """Filter a frame (None: the end); the frames that come out by then."""
        with _reported(self._text):
            self._source.push(frame)
        while (filtered := self._pull()) is not None:
            yield filtered

    def _pull(self) -> av.VideoFrame | None:
        with _reported(self._text):
            try:
                return cast(av.VideoFrame, self._sink.pull())
            except (av.error.BlockingIOError, av.error.EOFError):
                return None
