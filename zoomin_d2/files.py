"""Atomic writes, and locks of files and folders; every room may use it."""

import errno
import json
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from filelock import BaseFileLock, FileLock, Timeout

logger = logging.getLogger(__name__)

# The errors of file systems without locks; if the call itself is missing, filelock has a fallback.
_NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP)
_HELD: dict[str, BaseFileLock] = {}  # lock file -> its lock, while this process lives


def lock_file(path: str | os.PathLike) -> BaseFileLock | None:
    """Create and lock a file until the result is released or this process ends.

    Children that outlive this process do not hold the lock. A file system without locks only gets a
    warning.

    Returns:
        the lock, to be released; None: another process holds it.

    Raises:
        OSError: the file cannot be created or written to.
    """
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return None
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        logger.warning(
            "%s: this file system has no locks (%s); do not share it between runs", path, error
        )
    return lock


def lock_folder(folder: str | os.PathLike) -> bool:
    """Create and lock a folder until this process ends; other processes that ask are refused.

    Returns:
        whether this process holds it; False: another one does.

    Raises:
        OSError: the folder cannot be created or written to.
    """
    path = os.path.realpath(os.path.join(folder, ".lock"))
    if path in _HELD:
        return True
    os.makedirs(folder, exist_ok=True)
    lock = lock_file(path)
    if lock is None:
        return False
    _HELD[path] = lock
    return True


def write_atomically(path: str | os.PathLike, write: Callable[[IO[bytes]], Any]) -> None:
    """Call ``write(file)`` on a new binary file beside ``path``, sync it, rename it to ``path``.

    A reader sees the old file or the complete new one. If ``write`` fails, nothing is left behind.

    Raises:
        OSError: writing failed; it names ``path``.
    """
    path = Path(path)
    part = path.with_name(path.name + ".part")
    try:
        with open(part, "wb") as f:
            write(f)
            f.flush()
            os.fsync(f.fileno())
        os.replace(part, path)
    except Exception as error:
        cause = _os_error(error)
        if cause is None or cause.errno is None:
            raise
        raise OSError(cause.errno, os.strerror(cause.errno), str(path)) from error
    finally:
        part.unlink(missing_ok=True)
    sync_folder(path.parent)


def _os_error(error: BaseException | None) -> OSError | None:
    """An error, or the first one that led to it (torch.save raises a RuntimeError over it)."""
    while error is not None and not isinstance(error, OSError):
        error = error.__cause__ or error.__context__
    return error


def sync_folder(folder: str | os.PathLike) -> None:
    """Sync the renames in a folder to disk. Windows cannot open folders, and syncs them itself."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def sync_file(path: str | os.PathLike) -> None:
    """Sync a closed file to disk."""
    with open(path, "r+b") as file:  # Windows only syncs files that are open for writing
        os.fsync(file.fileno())


def write_json(path: str | os.PathLike, content: Any) -> None:
    """Write standard JSON atomically; raises ValueError for inf and nan, which JSON lacks."""
    text = json.dumps(content, indent=2, allow_nan=False) + "\n"
    write_atomically(path, lambda f: f.write(text.encode()))
