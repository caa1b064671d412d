"""Locks that end with their process, and files that are whole or absent, on any system."""

import errno
import os
import subprocess
import sys
import time

import pytest
from filelock import FileLock

from zoomin_d2 import files

# Holds a folder, leaves a child behind that outlives it, and is killed.
LEAVE_A_CHILD = """
import os, signal, sys, time
from zoomin_d2.files import lock_folder
assert lock_folder(sys.argv[1])
child = os.fork()
if child == 0:
    time.sleep(60)
print(child, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_lock_is_held_until_it_is_released(tmp_path):
    path = tmp_path / "lock"
    lock = files.lock_file(path)
    other = "import sys; from zoomin_d2.files import lock_file; print(lock_file(sys.argv[1]))"
    ask = [sys.executable, "-c", other, str(path)]
    assert subprocess.run(ask, capture_output=True, text=True, check=True).stdout == "None\n"
    lock.release()
    again = files.lock_file(path)
    assert again.is_locked
    again.release()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_children_hold_no_lock(tmp_path):
    command = [sys.executable, "-c", LEAVE_A_CHILD, str(tmp_path)]
    killed = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    child = int(killed.stdout.readline())
    try:
        killed.wait()
        os.kill(child, 0)  # it lives
        # The child lets go when it first runs, which on a loaded machine may be later than this.
        assert any(files.lock_folder(tmp_path) or time.sleep(0.1) for _ in range(200))
    finally:
        os.kill(child, 9)
        killed.stdout.close()


def test_no_locks_on_the_file_system(tmp_path, monkeypatch, caplog):
    def refuse(self, **_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(FileLock, "acquire", refuse)
    assert files.lock_folder(tmp_path / "new")
    assert "this file system has no locks" in caplog.text


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        files.lock_folder(tmp_path / "file/below")


def test_a_failed_write_leaves_the_old_file(tmp_path):
    files.write_json(tmp_path / "a.json", {"a": 1})
    with pytest.raises(ValueError):
        files.write_json(tmp_path / "a.json", {"a": float("nan")})
    with pytest.raises(ZeroDivisionError):
        files.write_atomically(tmp_path / "a.json", lambda f: f.write(b"half") / 0)
    assert (tmp_path / "a.json").read_text() == '{\n  "a": 1\n}\n'
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_windows_opens_no_folders(tmp_path, monkeypatch):
    def refuse(path, *_):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(files.os, "open", refuse)
    with pytest.raises(PermissionError):
        files.sync_folder(tmp_path)
    monkeypatch.setattr(files.os, "name", "nt")
    files.sync_folder(tmp_path)
