"""A file that PyAV opens for reading."""

import os
from fractions import Fraction
from typing import Any

import av

# Formats that know only the length of the whole file, which FFmpeg gives to streams: of .mkv to
# those of few packets, of .wmv to all
_WHOLE_LENGTHS = ("matroska,webm", "asf")


def file_url(path: str | os.PathLike) -> str:
    """A name that FFmpeg takes for a path: ``10:30.mp4`` has no protocol "10"."""
    return f"file:{os.fspath(path)}"


def open_container(file: Any, **options: Any) -> av.container.InputContainer:
    """``av.open`` for reading, with metadata in any encoding.

    Args:
        file: a path, or an object with ``read``.
        options: further ones of ``av.open``.

    Raises:
        av.FFmpegError, OSError, ValueError: as ``av.open`` does.
    """
    # Titles in old or damaged files are not always UTF-8.
    target = file_url(file) if isinstance(file, str | os.PathLike) else file
    return av.open(target, **options, metadata_errors="replace")


def file_state(file: str | os.PathLike) -> list[str | int]:
    """What changes when a file does; empty if it is gone."""
    try:
        status = os.stat(file)
    except OSError:
        return []
    return [os.path.basename(file), status.st_size, status.st_mtime_ns]


def is_cover(stream: Any) -> bool:
    """Whether a stream is a picture that stands for the file."""
    return bool(stream.disposition & av.stream.Disposition.attached_pic)


def stream_name(stream: Any) -> str:
    """What messages call a stream."""
    context = stream.codec_context
    codec = context.name if context is not None else getattr(stream, "name", None) or "unknown"
    kind = "cover picture" if is_cover(stream) else f"{stream.type} stream"
    return f"{kind} {stream.index} ({codec})"


def own_duration(container: Any, stream: Any) -> Fraction | None:
    """Seconds that a stream lasts according to its own header; None if it does not say so."""
    if not stream.duration or container.format.name in _WHOLE_LENGTHS:
        return None
    return Fraction(stream.duration * stream.time_base)
