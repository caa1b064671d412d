"""A folder that another process has locked (zoomin_d2.files.lock_folder)."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def locked_by_another(folder: Path) -> Iterator[None]:
    """Meanwhile, another process works in the folder; it is killed at the end."""
    code = "import sys; from zoomin_d2.files import lock_folder\n"
    code += "print(lock_folder(sys.argv[1]), flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", code, str(folder)]
    other = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert other.stdout.readline() == "True\n"
        yield
    finally:
        other.kill()
        other.communicate()
