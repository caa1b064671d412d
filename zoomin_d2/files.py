"""Writing files that are whole or absent, in folders that are ours; every room may use it."""

import errno
import json
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from filelock import BaseFileLock, FileLock, Timeout

logger = logging.getLogger(__name__)

# What the file systems say that have no locks; without the call itself, filelock makes do.
_NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP)
_HELD: dict[str, BaseFileLock] = {}  # lock file -> its lock, while this process lives


def lock_file(path: str | os.PathLike) -> BaseFileLock | None:
    """Lock a file, which is made, until the result is released or this process ends.

    Children that outlive this process do not hold the lock. Where the file system has no locks, a
    warning says so.

    Returns:
        what to release; None: another process holds it.

    Raises:
        OSError: the file cannot be made or written to.
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
            "%s: no locks on this file system (%s); let no two runs share it", path, error
        )
    return lock


def lock_folder(folder: str | os.PathLike) -> bool:
    """Keep other processes that ask out of a folder, which is made, for as long as this one lives.

    Returns:
        whether it is ours; False: another process holds it.

    Raises:
        OSError: the folder cannot be made or written to.
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
    """
    path = Path(path)
    part = path.with_name(path.name + ".part")
    try:
        with open(part, "wb") as f:
            write(f)
            f.flush()
            os.fsync(f.fileno())
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
    sync_folder(path.parent)


def sync_folder(folder: str | os.PathLike) -> None:
    """Let the renames in a folder reach the disk. Windows opens no folders: it does so itself."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def sync_file(path: str | os.PathLike) -> None:
    """Let a file that is closed reach the disk."""
    with open(path, "r+b") as file:  # Windows syncs only what may be written to
        os.fsync(file.fileno())


def write_json(path: str | os.PathLike, content: Any) -> None:
    """Write standard JSON atomically; raises ValueError for inf and nan, which JSON has not."""
    text = json.dumps(content, indent=2, allow_nan=False) + "\n"
    write_atomically(path, lambda f: f.write(text.encode()))
