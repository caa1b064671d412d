"""A file that PyAV opens for reading."""

from typing import Any

import av


def open_container(file: Any, **options: Any) -> av.container.InputContainer:
    """``av.open`` for reading, that takes metadata in any encoding.

    Args:
        file: a path, or an object with ``read``.
        options: further ones of ``av.open``.

    Raises:
        av.FFmpegError, OSError, ValueError: as ``av.open`` does.
    """
    # Titles in old or damaged files are not always UTF-8.
    return av.open(file, **options, metadata_errors="replace")
