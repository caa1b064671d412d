"""Writing files that are whole or absent, in folders that are ours; every room may use it."""

import errno
import fcntl
import json
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

logger = logging.getLogger(__name__)

_HELD: dict[str, IO] = {}  # lock file -> what is open while this process lives


def hold_folder(folder: str | os.PathLike) -> bool:
    """Keep other processes that ask out of a folder, which is made, for as long as this one lives.

    The lock is this process's alone: it ends with it, however that ends, and children that outlive
    it do not hold it.

    Returns:
        whether it is ours; False: another process holds it.

    Raises:
        OSError: the folder cannot be made or written to.
    """
    path = os.path.realpath(os.path.join(folder, ".lock"))
    if path in _HELD:
        return True
    os.makedirs(folder, exist_ok=True)
    file = open(path, "w")  # noqa: SIM115 (held while the process lives)
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EAGAIN):
            file.close()
            return False
        logger.warning(
            "%s: no locks on this file system (%s); let no two runs share it", path, error
        )
    _HELD[path] = file
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
    # The rename itself must reach the disk, too.
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def write_json(path: str | os.PathLike, content: Any) -> None:
    """Write standard JSON atomically; raises ValueError for inf and nan, which JSON has not."""
    text = json.dumps(content, indent=2, allow_nan=False) + "\n"
    write_atomically(path, lambda f: f.write(text.encode()))
