"""The queue of the app: one job runs at a time, in the order in which visitors added them."""

import itertools
import os
import secrets
import shutil
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeVar

import torch

from zoomin_d2.cli.app.jobs import EXPECTED_ERRORS, Result
from zoomin_d2.cli.progress import Pace
from zoomin_d2.inference.memory import keep_freed_memory, release_memory
from zoomin_d2.video.errors import InterruptedRunError

T = TypeVar("T")
State = Literal["chosen", "waiting", "running", "done", "failed", "canceled"]
MAX_CLIPS = 20  # of one visitor that are not done yet
KEEP_SECONDS = 3600.0


@dataclass(eq=False)
class Entry:
    """One clip of a visitor.

    Attributes:
        name: of the clip. summary: what is wanted of it; "" before it is started.
        folder: holds the clip and its result; removed when the job fails or is canceled.
        files: the clip and what belongs to it, in `folder`.
        done, total: frames; `total` is 0 if unknown. seconds_left: None if unknown.
        message: what went wrong. ended: when, by the queue's clock.
        stop: set when a running job is canceled.
    """

    id: int
    owner: str
    name: str
    folder: Path
    files: list[Path] = field(default_factory=list)
    summary: str = ""
    state: State = "chosen"
    done: int = 0
    total: int = 0
    seconds_left: float | None = None
    result: Result | None = None
    message: str = ""
    ended: float | None = None
    stop: threading.Event = field(default_factory=threading.Event)


Work = Callable[[Entry, Callable[[int, int], None]], Result]


class JobQueue:
    """Runs jobs one after the other in a thread; each visitor sees and cancels only their own.

    Files are kept in a temporary folder, for `keep_seconds` after the end of their job.

    Args:
        clock: seconds, for the time left and for how long files are kept.
    """

    def __init__(
        self, keep_seconds: float = KEEP_SECONDS, clock: Callable[[], float] = time.monotonic
    ):
        self._keep_seconds, self._clock = keep_seconds, clock
        self._root = tempfile.TemporaryDirectory(prefix="zoomin-app-", ignore_cleanup_errors=True)
        self._entries: list[Entry] = []
        self._ids = itertools.count(1)
        self._lock = threading.RLock()
        keep_freed_memory()  # before the thread of the jobs begins
        self._pool = ThreadPoolExecutor(1, "zoomin-app")

    @property
    def folder(self) -> Path:
        """Where the files of all entries are."""
        return Path(self._root.name)

    def choose(self, owner: str, clip: Path, check: Callable[[Path], None]) -> Entry:
        """List a clip, which `start` puts into the queue; the file may be deleted afterwards.

        Args:
            check: raises one of EXPECTED_ERRORS for a clip that is refused, which is then listed
                as failed, with the reason.
        """
        folder = self.folder / secrets.token_urlsafe(16)
        entry = Entry(next(self._ids), owner, clip.name, folder)
        try:
            self._check_room(owner)
            check(clip)  # it may take seconds, in which others must not wait
            with self._lock:
                self._check_room(owner)
                _keep(clip, entry)
                self._entries.append(entry)
        except EXPECTED_ERRORS as error:
            entry.message = str(error)
            with self._lock:
                self._end(entry, "failed")
                self._entries.append(entry)
        return entry

    def _check_room(self, owner: str) -> None:
        if sum(e.ended is None for e in self.entries(owner)) >= MAX_CLIPS:
            raise ValueError(f"{MAX_CLIPS} clips are not done yet: add it later.")

    def start(self, entry: Entry, summary: str, work: Work, files: Sequence[Path] = ()) -> None:
        """Put a chosen clip at the end of the queue.

        Args:
            files: what belongs to it; they may be deleted afterwards.
            work: called with the entry and a function for progress (frames done, frames in all;
                0 if unknown). It ends with InterruptedRunError after `entry.stop`.

        Raises:
            OSError: a file cannot be copied.
        """
        with self._lock:
            if entry.state != "chosen":
                return
            for file in files:
                _keep(file, entry)
            entry.summary, entry.state = summary, "waiting"
            self._entries.remove(entry)  # the list is in the order of work
            self._entries.append(entry)
            self._pool.submit(self._run, entry, work)

    def entries(self, owner: str) -> list[Entry]:
        """Those of a visitor, in order."""
        with self._lock:
            oldest = self._clock() - self._keep_seconds
            for entry in [e for e in self._entries if e.ended is not None and e.ended < oldest]:
                self._forget(entry)
            return [e for e in self._entries if e.owner == owner]

    def run(self, function: Callable[[], T]) -> T:
        """Call a function as a job that is not listed: models serve one thread at a time. Returns
        when it has ended, after all jobs before it."""
        return self._pool.submit(function).result()

    def num_ahead(self, entry: Entry | None = None) -> int:
        """How many jobs, of any visitor, end before this one, or one added now, starts."""
        with self._lock:
            before = itertools.takewhile(lambda e: e is not entry, self._entries)
            return sum(e.state in ("waiting", "running") for e in before)

    def cancel(self, owner: str, id: int) -> None:
        """Cancel a waiting job, stop a running one, or remove any other with its files."""
        with self._lock:
            for entry in [e for e in self.entries(owner) if e.id == id]:
                entry.stop.set()
                if entry.state == "waiting":
                    self._end(entry, "canceled")
                elif entry.state != "running":
                    self._forget(entry)

    def close(self) -> None:
        """Cancel everything, wait until the running job has stopped, and delete all files."""
        with self._lock:
            for entry in list(self._entries):
                self.cancel(entry.owner, entry.id)
        self._pool.shutdown(cancel_futures=True)
        self._root.cleanup()

    def __enter__(self) -> "JobQueue":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _run(self, entry: Entry, work: Work) -> None:
        with self._lock:
            if entry.state != "waiting":
                return
            entry.state = "running"
        pace = Pace()

        def progress(done: int, total: int) -> None:
            fps = pace.fps(done, self._clock())
            entry.done, entry.total = done, total
            if fps and total:
                entry.seconds_left = (total - done) / fps

        state: State = "failed"
        try:
            entry.result = work(entry, progress)
            state = "done"
        except InterruptedRunError:
            state = "canceled"
        except EXPECTED_ERRORS as error:
            entry.message = str(error)
        except Exception:  # a bug: the thread, and with it the queue, lives on
            traceback.print_exc()
            entry.message = "Unexpected error: the terminal of zoomin-app shows where."
        release_memory(torch.device("cpu"))  # nobody knows when the next clip comes
        with self._lock:
            self._end(entry, state)

    def _end(self, entry: Entry, state: State) -> None:
        if state != "done":
            shutil.rmtree(entry.folder, ignore_errors=True)
        entry.state, entry.ended = state, self._clock()

    def _forget(self, entry: Entry) -> None:
        shutil.rmtree(entry.folder, ignore_errors=True)
        self._entries.remove(entry)


def _keep(file: Path, entry: Entry) -> None:
    """Give `entry` a second name of a file, or a copy where the system has no second names."""
    # Numbered folders: a mask may have the name of the clip.
    copy = entry.folder / "in" / str(len(entry.files)) / file.name
    copy.parent.mkdir(parents=True)
    try:
        os.link(file, copy)
    except OSError:
        shutil.copyfile(file, copy)
    entry.files.append(copy)
