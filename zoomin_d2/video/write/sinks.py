"""Outputs that are written straight through: a folder of images, a y4m pipe."""

import contextlib
import os
import sys
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO

import av
import cv2
import numpy as np

from zoomin_d2.frames import to_8_bits
from zoomin_d2.video.errors import OutputError
from zoomin_d2.video.read.color import ColorPath
from zoomin_d2.video.read.exr import EXR_SUFFIX, ExrFormat, write_exr
from zoomin_d2.video.read.images import IMAGE_SUFFIXES
from zoomin_d2.video.read.source import is_opaque
from zoomin_d2.video.time.pipeline import OutputFrame
from zoomin_d2.video.write.animation import AnimatedImage
from zoomin_d2.video.write.encoder_input import encoder_input
from zoomin_d2.video.write.numbering import Numbering
from zoomin_d2.video.write.segments import os_error


class ImageFolder:
    """Frames as numbered images in a folder; each file is whole or absent, so a stopped run
    resumes after the last one. PNG and TIFF keep a depth of 16 bits.

    Args:
        numbering: the names. exr: what EXR images have in common.
    """

    resumable = True
    holds_alpha = True

    def __init__(self, numbering: Numbering, exr: ExrFormat | None = None):
        self.path, self._exr = numbering.path, exr
        try:
            numbering.folder.mkdir(exist_ok=True)
        except OSError as error:
            raise os_error(error, f"Cannot create the folder {numbering.folder}") from error

    def next_frame(self) -> int:
        """The first missing frame, where a stopped run resumes."""
        index = 0
        while self.path(index).exists():
            index += 1
        return index

    def write(self, frame: OutputFrame) -> None:
        """Raises DiskFullError, OutputError."""
        write_image(self.path(frame.index), frame.image, self._exr)

    def finish(self) -> None:
        """Nothing to do: every file is already whole."""

    def abort(self) -> None:
        """Nothing to do: written files stay, for `resume`."""


class Y4mPipe:
    """yuv4mpeg on a pipe: 4:2:0 (4:4:4 for odd sizes), 8 or 10 bits.

    Attributes:
        pix_fmt: of its frames.
    """

    resumable = False
    holds_alpha = False

    def __init__(
        self,
        fps: Fraction,
        size: tuple[int, int],
        color: ColorPath,
        file: BinaryIO | None = None,
        aspect: Fraction | None = None,
    ):
        chroma = "444" if size[0] % 2 or size[1] % 2 else "420"
        self.pix_fmt = f"yuv{chroma}p" + ("10le" if color.deep else "")
        self._color = color
        self._file = file or sys.stdout.buffer
        # anything but yuv420p and friends counts as an extension of the format
        self._container = av.open(
            _WriteOnly(self._file, aspect), "w", format="yuv4mpegpipe", options={"strict": "-1"}
        )
        stream = self._container.add_stream("wrapped_avframe", rate=fps)
        stream.height, stream.width = size
        stream.pix_fmt = self.pix_fmt
        stream.codec_context.time_base = 1 / fps
        stream.codec_context.color_range = 2 if color.full_range else 1
        self._stream = stream

    def write(self, frame: OutputFrame) -> None:
        """Raises OutputError, also if the reader has closed the pipe."""
        picture = encoder_input(frame.pixels, self._color, self.pix_fmt)
        picture.pts, picture.time_base = frame.index, self._stream.codec_context.time_base
        try:
            self._container.mux(self._stream.encode(picture))
        except BrokenPipeError as error:
            raise OutputError("Standard output was closed by the program that reads it") from error
        except (OSError, av.FFmpegError) as error:
            raise os_error(error, "Cannot write to standard output") from error

    def finish(self) -> None:
        """Flush what is held back."""
        with contextlib.suppress(BrokenPipeError):
            self._container.mux(self._stream.encode())
            self._container.close()
            self._file.flush()

    def abort(self) -> None:
        """Close silently; what was written stays written."""
        with contextlib.suppress(OSError, av.FFmpegError, ValueError):
            self._container.close()


ALPHA_SUFFIXES = (".png", ".tif", ".tiff", ".webp", EXR_SUFFIX)
DEEP_SUFFIXES = (".png", ".ppm", ".tif", ".tiff", EXR_SUFFIX)  # hold 16 bits
DirectOutput = ImageFolder | AnimatedImage | Y4mPipe


def write_image(path: Path, image: np.ndarray, exr: ExrFormat | None = None) -> None:
    """(H, W, 3) RGB or (H, W, 4) RGBA to an image file that is whole or absent; float16, with its
    format, to an EXR.

    Raises:
        DiskFullError, OutputError.
    """
    if path.suffix.lower() not in IMAGE_SUFFIXES:
        raise OutputError(f"{path}: unknown image format {path.suffix!r}")
    part = path.with_name(path.name + ".part")
    try:
        if path.suffix.lower() == EXR_SUFFIX:
            write_exr(part, image, exr or ExrFormat())
        else:
            part.write_bytes(_encoded(path, image))
        os.replace(part, path)
    except OutputError:
        part.unlink(missing_ok=True)
        raise
    except OSError as error:
        part.unlink(missing_ok=True)
        raise os_error(error, f"Cannot write {path}") from error


def lost_bits(image: np.ndarray, suffix: str) -> list[str]:
    """What an image file lacks of a frame's depth, as messages."""
    is_lost = image.dtype == np.uint16 and suffix not in DEEP_SUFFIXES
    return [f"16 bits: a {suffix} holds 8"] if is_lost else []


def _encoded(path: Path, image: np.ndarray) -> bytes:
    if is_opaque(image):
        image = image[..., :3]
    if lost_bits(image, path.suffix.lower()):
        image = to_8_bits(image)
    order = cv2.COLOR_RGBA2BGRA if image.shape[2] == 4 else cv2.COLOR_RGB2BGR
    ok, data = cv2.imencode(path.suffix, cv2.cvtColor(image, order))
    if not ok:
        raise OutputError(f"{path}: cannot be encoded")
    return data.tobytes()


class _WriteOnly:
    """A file without `seek`, so that FFmpeg does not try to seek; with the pixel aspect in the
    header, which PyAV cannot set."""

    def __init__(self, file: BinaryIO, aspect: Fraction | None):
        self._file, self._aspect = file, aspect

    def write(self, data: bytes) -> int:
        if self._aspect is None:
            return self._file.write(data)
        known = b" A%d:%d " % self._aspect.as_integer_ratio()
        self._aspect = None
        self._file.write(bytes(data).replace(b" A0:0 ", known, 1))
        return len(data)
