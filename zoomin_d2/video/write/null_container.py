"""Output containers that write nothing, to find out what FFmpeg can do."""

import contextlib
from collections.abc import Iterator

import av


@contextlib.contextmanager
def scratch_container(container: str) -> Iterator[av.container.OutputContainer]:
    """An output container of this format whose bytes are discarded."""
    opened = av.open(_Sink(), "w", format=container)
    try:
        yield opened
    finally:
        with contextlib.suppress(av.FFmpegError, ValueError):
            opened.close()


class _Sink:
    """A file that discards what is written."""

    name = ""

    def __init__(self):
        self._place = 0

    def write(self, data: bytes) -> int:
        self._place += len(data)
        return len(data)

    def seek(self, place: int, whence: int = 0) -> int:
        self._place = place + (self._place if whence == 1 else 0)
        return self._place

    def tell(self) -> int:
        return self._place
