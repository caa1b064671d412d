"""A file that PyAV opens for reading."""

import os
from typing import Any

import av


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
