"""Animated images: GIF, PNG (.apng) and WebP. They loop forever, and have no sound."""

import contextlib
import os
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple, cast

import av
import numpy as np

from zoomin_d2.video.errors import OutputError
from zoomin_d2.video.read.color import convert
from zoomin_d2.video.read.containers import file_url
from zoomin_d2.video.time.pipeline import OutputFrame
from zoomin_d2.video.write.last_duration import set_length
from zoomin_d2.video.write.segments import os_error

GIF_MAX_FPS = 50  # browsers slow down frames of less than 2/100 s


class _Kind(NamedTuple):
    """`max_fps`: one frame per tick of the format's clock. `deep`: holds 16 bits."""

    container: str
    codec: str
    max_fps: int
    container_options: dict[str, str]
    options: dict[str, str]
    deep: bool = False


ANIMATIONS = {
    ".gif": _Kind("gif", "gif", 100, {"loop": "0"}, {}),
    ".apng": _Kind("apng", "apng", 10_000, {"plays": "0"}, {}, deep=True),
    ".webp": _Kind("webp", "libwebp_anim", 1000, {"loop": "0"}, {"quality": "95"}),
}


class AnimatedImage:
    """One file of many frames; (H, W, 4) frames keep their transparency, which in a GIF is all or
    nothing. Every frame of a GIF has its own palette."""

    resumable = False
    holds_alpha = True

    def __init__(self, path: Path, fps: Fraction):
        self._path, self._part = path, path.with_name(path.name + ".part")
        self._kind = kind = ANIMATIONS[path.suffix.lower()]
        self._tick = Fraction(1, kind.max_fps)
        try:
            url, options = file_url(self._part), kind.container_options
            self._container = av.open(url, "w", format=kind.container, options=options)
            added = self._container.add_stream(kind.codec, rate=fps, options=dict(kind.options))
        except (OSError, av.FFmpegError) as error:
            raise os_error(error, f"Cannot write {path}", kept=False) from error
        self._stream = cast(av.VideoStream, added)
        self._stream.codec_context.time_base = self._tick
        self._convert: Callable[[av.VideoFrame], Iterator[av.VideoFrame]] | None = None
        self._start = self._end = Fraction(0)

    def write(self, frame: OutputFrame) -> None:
        """Raises DiskFullError, OutputError."""
        image = frame.image
        if image.dtype == np.uint16 and not self._kind.deep:
            image = (image >> 8).astype(np.uint8)
        if self._convert is None:
            self._start = frame.time
            self._convert = self._begin(image)
        deep = image.dtype == np.uint16
        picture = av.VideoFrame.from_ndarray(
            np.ascontiguousarray(image), format=_pixels(image.shape[2], deep, "le")
        )
        self._end = frame.time + frame.duration
        pts = round((frame.time - self._start) / self._tick)
        # rounding the ends, not the durations, keeps the sum exact
        duration = round((self._end - self._start) / self._tick) - pts
        if duration < 1:
            raise OutputError(
                f"two frames are {float(frame.duration):.4f} s apart (at {float(frame.time):.3f} "
                f"s), less than a tick of a {self._path.suffix} (1/{self._kind.max_fps} s): give a "
                "lower --fps, whose frames are evenly apart"
            )
        try:
            for converted in self._convert(picture):
                converted.pts, converted.time_base = pts, self._tick
                converted.duration = duration
                for packet in self._stream.encode(converted):
                    ticks = duration * self._tick / packet.time_base
                    packet.duration = round(ticks)  # of the last one
                    self._container.mux(packet)
        except (OSError, av.FFmpegError) as error:
            raise os_error(error, f"Cannot write {self._path}", kept=False) from error

    def finish(self, path: Path | None = None) -> None:
        """Complete the file and give it its name, or another; raises DiskFullError, OutputError."""
        try:
            self._container.mux(self._stream.encode())
            self._container.close()
            if self._kind.codec != "gif":
                set_length(self._part, self._end - self._start)
            os.replace(self._part, path or self._path)
        except (OSError, av.FFmpegError) as error:
            raise os_error(error, f"Cannot write {self._path}", kept=False) from error

    def abort(self) -> None:
        """Leave nothing behind."""
        with contextlib.suppress(OSError, av.FFmpegError):
            self._container.close()
        self._part.unlink(missing_ok=True)

    def _begin(self, image: np.ndarray) -> Callable[[av.VideoFrame], Iterator[av.VideoFrame]]:
        """Set the stream up for images like this one; returns the function that converts them."""
        height, width, channels = image.shape
        self._stream.height, self._stream.width = height, width
        if self._kind.codec == "gif":
            self._stream.pix_fmt = "pal8"
            return _palette(_palette_graph(height, width, channels))
        deep = image.dtype == np.uint16
        pix_fmt = "bgra" if self._kind.codec != "apng" else _pixels(channels, deep, "be")
        self._stream.pix_fmt = pix_fmt
        return lambda picture: iter([convert(picture, pix_fmt)])


def _pixels(channels: int, deep: bool, order: str) -> str:
    """FFmpeg's name of RGB or RGBA, `order` of the bytes of 16-bit samples."""
    if channels == 4:
        return f"rgba64{order}" if deep else "rgba"
    return f"rgb48{order}" if deep else "rgb24"


def _palette(graph: av.filter.Graph) -> Callable[[av.VideoFrame], Iterator[av.VideoFrame]]:
    def convert(picture: av.VideoFrame) -> Iterator[av.VideoFrame]:
        graph.push(picture)
        with contextlib.suppress(av.error.BlockingIOError, av.error.EOFError):
            while True:
                yield cast(av.VideoFrame, graph.pull())

    return convert


def _palette_graph(height: int, width: int, channels: int) -> av.filter.Graph:
    has_alpha = channels == 4
    graph = av.filter.Graph()
    source = graph.add_buffer(
        width=width,
        height=height,
        format=av.VideoFormat("rgba" if has_alpha else "rgb24"),
        time_base=Fraction(1, 100),
    )
    split = graph.add("split")
    palette = graph.add("palettegen", f"stats_mode=single:reserve_transparent={has_alpha:d}")
    use = graph.add("paletteuse", "new=1:dither=sierra2_4a")
    sink = graph.add("buffersink")
    source.link_to(split)
    split.link_to(palette, 0, 0)
    split.link_to(use, 1, 0)
    palette.link_to(use, 0, 1)
    use.link_to(sink)
    graph.configure()
    return graph
