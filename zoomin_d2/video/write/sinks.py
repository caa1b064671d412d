"""Outputs that are written straight through: a folder of images, a GIF, a y4m pipe."""

import contextlib
import os
import sys
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO, cast

import av
import cv2
import numpy as np

from zoomin_d2.video.errors import OutputError
from zoomin_d2.video.read.color import ColorPath
from zoomin_d2.video.read.containers import file_url
from zoomin_d2.video.read.images import IMAGE_SUFFIXES
from zoomin_d2.video.time.alpha import is_opaque
from zoomin_d2.video.time.pipeline import OutputFrame
from zoomin_d2.video.write.segments import os_error

GIF_MAX_FPS = 50  # browsers slow down frames of less than 2/100 s


class ImageFolder:
    """Frames as `000000.png`, ... in a folder; each file is whole or absent, so a stopped run goes
    on after the last. A depth of 16 bits is kept by PNG and TIFF."""

    resumable = True
    holds_alpha = True

    def __init__(self, folder: Path, suffix: str = ".png"):
        self._folder, self._suffix = folder, suffix
        try:
            folder.mkdir(exist_ok=True)
        except OSError as error:
            raise os_error(error, f"Cannot make the folder {folder}") from error

    def path(self, index: int) -> Path:
        """The file of output frame `index`."""
        return self._folder / f"{index:06d}{self._suffix}"

    def next_frame(self) -> int:
        """The first frame that is missing, where a stopped run goes on."""
        index = 0
        while self.path(index).exists():
            index += 1
        return index

    def write(self, frame: OutputFrame) -> None:
        """Raises DiskFullError, OutputError."""
        write_image(self.path(frame.index), frame.image)

    def finish(self) -> None:
        """Nothing: every file is whole already."""

    def abort(self) -> None:
        """Nothing: what is written stays, for `resume`."""


class GifFile:
    """An animated GIF that loops for ever; every frame has a palette of its own. Of (H, W, 4)
    frames, pixels that are less than half opaque are transparent."""

    resumable = False
    holds_alpha = True

    def __init__(self, path: Path, fps: Fraction):
        self._path, self._part = path, path.with_name(path.name + ".part")
        try:
            self._container = av.open(
                file_url(self._part), "w", format="gif", options={"loop": "0"}
            )
            self._stream = self._container.add_stream("gif", rate=fps)
        except (OSError, av.FFmpegError) as error:
            raise os_error(error, f"Cannot write {path}") from error
        self._stream.pix_fmt = "pal8"
        self._stream.codec_context.time_base = Fraction(1, 100)
        self._graph: av.filter.Graph | None = None
        self._start = Fraction(0)

    def write(self, frame: OutputFrame) -> None:
        """Raises DiskFullError, OutputError."""
        image = frame.image
        if image.dtype == np.uint16:
            image = (image >> 8).astype(np.uint8)
        graph = self._graph
        if graph is None:
            self._start = frame.time
            self._stream.height, self._stream.width = image.shape[:2]
            graph = self._graph = _palette_graph(*image.shape)
        pixels = "rgba" if image.shape[2] == 4 else "rgb24"
        picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format=pixels)
        picture.pts = round((frame.time - self._start) * 100)
        picture.time_base = Fraction(1, 100)
        try:
            graph.push(picture)
            while True:
                try:
                    palettized = cast(av.VideoFrame, graph.pull())
                except (av.error.BlockingIOError, av.error.EOFError):
                    break
                palettized.pts, palettized.time_base = picture.pts, picture.time_base
                for packet in self._stream.encode(palettized):
                    packet.duration = round(frame.duration / packet.time_base)  # of the last one
                    self._container.mux(packet)
        except (OSError, av.FFmpegError) as error:
            raise os_error(error, f"Cannot write {self._path}") from error

    def finish(self) -> None:
        """Complete the file and give it its name; raises DiskFullError, OutputError."""
        try:
            self._container.mux(self._stream.encode())
            self._container.close()
            os.replace(self._part, self._path)
        except (OSError, av.FFmpegError) as error:
            raise os_error(error, f"Cannot write {self._path}") from error

    def abort(self) -> None:
        """Leave nothing behind."""
        with contextlib.suppress(OSError, av.FFmpegError):
            self._container.close()
        self._part.unlink(missing_ok=True)


class Y4mPipe:
    """yuv4mpeg on a pipe: 4:2:0 (4:4:4 for odd sizes), 8 or 10 bits."""

    resumable = False
    holds_alpha = False

    def __init__(
        self, fps: Fraction, size: tuple[int, int], color: ColorPath, file: BinaryIO | None = None
    ):
        chroma = "444" if size[0] % 2 or size[1] % 2 else "420"
        self._pix_fmt = f"yuv{chroma}p" + ("10le" if color.deep else "")
        self._color = color
        self._file = file or sys.stdout.buffer
        # anything but yuv420p and friends counts as an extension of the format
        self._container = av.open(
            _WriteOnly(self._file), "w", format="yuv4mpegpipe", options={"strict": "-1"}
        )
        stream = self._container.add_stream("wrapped_avframe", rate=fps)
        stream.height, stream.width = size
        stream.pix_fmt = self._pix_fmt
        stream.codec_context.time_base = 1 / fps
        stream.codec_context.color_range = 2 if color.full_range else 1
        self._stream = stream

    def write(self, frame: OutputFrame) -> None:
        """Raises OutputError, also when nobody reads any more."""
        picture = self._color.from_rgb(frame.image, self._pix_fmt)
        picture.pts, picture.time_base = frame.index, self._stream.codec_context.time_base
        try:
            self._container.mux(self._stream.encode(picture))
        except BrokenPipeError as error:
            raise OutputError("Standard output was closed by the program that reads it") from error
        except (OSError, av.FFmpegError) as error:
            raise os_error(error, "Cannot write to standard output") from error

    def finish(self) -> None:
        """Hand out what is held back."""
        with contextlib.suppress(BrokenPipeError):
            self._container.mux(self._stream.encode())
            self._container.close()
            self._file.flush()

    def abort(self) -> None:
        """Close without a word; what was written is written."""
        with contextlib.suppress(OSError, av.FFmpegError, ValueError):
            self._container.close()


ALPHA_SUFFIXES = (".png", ".tif", ".tiff", ".webp")
DirectOutput = ImageFolder | GifFile | Y4mPipe


def write_image(path: Path, image: np.ndarray) -> None:
    """(H, W, 3) RGB or (H, W, 4) RGBA to an image file that is whole or absent.

    Raises:
        DiskFullError, OutputError.
    """
    if path.suffix.lower() not in IMAGE_SUFFIXES:
        raise OutputError(f"{path}: unknown kind of image {path.suffix!r}")
    if is_opaque(image):
        image = image[..., :3]
    order = cv2.COLOR_RGBA2BGRA if image.shape[2] == 4 else cv2.COLOR_RGB2BGR
    ok, data = cv2.imencode(path.suffix, cv2.cvtColor(image, order))
    if not ok:
        raise OutputError(f"{path}: cannot be encoded")
    part = path.with_name(path.name + ".part")
    try:
        part.write_bytes(data.tobytes())
        os.replace(part, path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise os_error(error, f"Cannot write {path}") from error


class _WriteOnly:
    """A file without seek, whatever it is: FFmpeg then does not try."""

    def __init__(self, file: BinaryIO):
        self._file = file

    def write(self, data: bytes) -> int:
        return self._file.write(data)


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
