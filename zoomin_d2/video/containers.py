"""A file that PyAV opens for reading, whichever PyAV there is."""

from typing import Any

import av

# Titles in old or damaged files are not always UTF-8. From PyAV 19 on nothing needs to be said.
_LENIENT: dict[str, Any] = (
    {} if int(av.__version__.split(".")[0]) >= 19 else {"metadata_errors": "replace"}
)


def open_container(file: Any, **options: Any) -> av.container.InputContainer:
    """``av.open`` for reading, that takes metadata in any encoding.

    Args:
        file: a path, or an object with ``read``.
        options: further ones of ``av.open``.

    Raises:
        av.FFmpegError, OSError, ValueError: as ``av.open`` does.
    """
    return av.open(file, **options, **_LENIENT)
