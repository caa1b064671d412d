"""A user's input, whatever it is, opened as a source of frames."""

import os
import sys
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av

from zoomin_d2.video.errors import BadInputError, OptionError
from zoomin_d2.video.read.animation import AnimationReader, is_animated
from zoomin_d2.video.read.filtered import FilteredSource
from zoomin_d2.video.read.images import (
    IMAGE_SUFFIXES,
    ImageReader,
    is_pattern,
    list_images,
    list_sequence,
)
from zoomin_d2.video.read.rates import parse_rate
from zoomin_d2.video.read.reader import VideoReader
from zoomin_d2.video.read.source import Source

PIPE = "-"


def open_source(
    inputs: str | os.PathLike | Sequence[str | os.PathLike],
    rate: Fraction | None = None,
    raw: str | None = None,
    filters: str = "",
) -> Source:
    """Open one video, folder of images, standard input ("-"), or two (or more) images.

    Args:
        inputs: a path, "-", or several paths of images.
        rate: frames per second of images.
        raw: "WIDTHxHEIGHT:PIX_FMT:FPS" of raw video on standard input.
        filters: a chain of FFmpeg's video filters that the frames go through; "": none.

    Raises:
        BadInputError: the inputs cannot be read, or do not form one source.
        OptionError: a filter is unknown, or refuses its options or these frames; or `rate` or `raw`
            does not belong to the input.
    """
    source = _open(inputs, rate, raw)
    if rate is not None and not source.info.is_images:
        source.close()
        seconds = f"N*{rate.denominator}/{rate.numerator}" if rate.denominator > 1 else f"N/{rate}"
        raise OptionError(
            f"--input-fps is for images; {source.info.name} has its own times: --filter "
            f"setpts={seconds}/TB changes them"
        )
    if not filters:
        return source
    try:
        return FilteredSource(source, filters)
    except BaseException:
        source.close()
        raise


def _open(
    inputs: str | os.PathLike | Sequence[str | os.PathLike], rate: Fraction | None, raw: str | None
) -> Source:
    names = [inputs] if isinstance(inputs, str | os.PathLike) else list(inputs)
    paths = [Path(name) for name in names]
    if raw and names != [PIPE]:
        raise OptionError("--raw-input is for standard input: give - as the input")
    if not paths or "" in names:  # Path("") is the current folder
        raise BadInputError("No input given")
    if len(paths) > 1:
        wrong = [str(p) for p in paths if not is_image(p)]
        if wrong:
            raise BadInputError(f"{wrong[0]}: is not an image; several files must all be images")
        return ImageReader(paths, rate, f"{len(paths)} images")
    if names[0] == PIPE:
        return _open_raw(raw) if raw else VideoReader(sys.stdin.buffer)
    path = paths[0]
    if os.path.isdir(path):  # Path's own raises for a name that is too long
        return ImageReader(list_images(path), rate, str(path))
    if os.path.exists(path) and path.is_fifo():  # as the shell's <(command) is
        return VideoReader(open(path, "rb"), name=str(path))
    if is_pattern(path) and not path.exists():
        return ImageReader(list_sequence(path), rate, str(path))
    if is_image(path):
        if is_animated(path):
            return AnimationReader(path) if path.suffix.lower() == ".webp" else VideoReader(path)
        raise BadInputError(f"{path}: a single image cannot be interpolated; give two")
    return VideoReader(path)


def is_image(path: Path) -> bool:
    return path.suffix.lower() in IMAGE_SUFFIXES


def _open_raw(raw: str) -> VideoReader:
    try:
        size, pix_fmt, fps = raw.split(":")
        width, height = (int(n) for n in size.split("x"))
        rate = parse_rate(fps)
        if min(width, height) < 1:
            raise ValueError
        av.VideoFormat(pix_fmt)  # raises ValueError if FFmpeg does not know it
    except ValueError as error:
        raise OptionError(
            f"--raw-input {raw}: expected WIDTHxHEIGHT:PIX_FMT:FPS, with a size of at least 1x1, a "
            "pixel format of FFmpeg, and a rate above 0, such as 1920x1080:rgb24:30"
        ) from error
    options = {
        "video_size": f"{width}x{height}",
        "pixel_format": pix_fmt,
        "framerate": str(rate),
    }
    return VideoReader(sys.stdin.buffer, "rawvideo", options)
