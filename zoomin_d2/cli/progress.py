"""Progress: a bar on a terminal, JSON lines for programs, nothing elsewhere."""

import json
import sys
import time
from typing import IO

from tqdm import tqdm

from zoomin_d2.cli.batch import Job
from zoomin_d2.video import Report, VideoError

JSON_INTERVAL = 0.5  # seconds between lines


class Bar:
    """A tqdm bar on standard error with frames per second and the time left; silent when standard
    error is not a terminal."""

    def __init__(self, name: str, quiet: bool):
        self._bar = tqdm(
            desc=name,
            unit=" frames",
            dynamic_ncols=True,
            disable=True if quiet else None,
            smoothing=0.1,
        )
        self._is_first = True

    def __call__(self, done: int, total: int) -> None:
        if self._is_first:  # a resumed run starts in the middle
            self._bar.reset(total or None)
            self._bar.n = self._bar.initial = done - 1
            self._is_first = False
        self._bar.update(done - self._bar.n)

    def close(self) -> None:
        self._bar.close()


class Pace:
    """How fast frames come, measured from the first report on: loading the model and the frames of
    earlier runs do not count."""

    def __init__(self) -> None:
        self._start: tuple[float, int] | None = None

    def fps(self, done: int, now: float) -> float | None:
        """Frames per second at `now` (seconds of any clock); None at the first report."""
        if self._start is None:
            self._start = now, done
            return None
        begun, first = self._start
        return (done - first) / max(now - begun, 1e-6)


class JsonLines:
    """{"event": "progress", "done", "total", "fps", "eta"} twice a second."""

    def __init__(self, name: str, out: IO[str]):
        self._name, self._out = name, out
        self._pace = Pace()
        self._last = 0.0

    def __call__(self, done: int, total: int) -> None:
        now = time.monotonic()
        speed = self._pace.fps(done, now)
        if speed is None or (now - self._last < JSON_INTERVAL and done != total):
            return
        self._last = now
        eta = round((total - done) / speed, 1) if total else None
        self.emit("progress", done=done, total=total or None, fps=round(speed, 2), eta=eta)

    def emit(self, event: str, **content) -> None:
        line = json.dumps({"event": event, "input": self._name} | content)
        print(line, file=self._out, flush=True)

    def finish(self, report: Report | None, error: VideoError | None, exit_code: int) -> None:
        """{"event": "done", ...the report} or {"event": "error", "kind", "message"}."""
        if report is not None:
            self.emit("done", exit_code=exit_code, **report.as_dict())
        else:
            kind = type(error).__name__
            self.emit("error", exit_code=exit_code, kind=kind, message=str(error))

    def close(self) -> None:
        pass


def make_progress(job: Job, as_json: bool, quiet: bool, to_stderr: bool) -> Bar | JsonLines:
    """`to_stderr`: standard output carries the video."""
    if as_json:
        return JsonLines(job.inputs[0], sys.stderr if to_stderr else sys.stdout)
    return Bar(job.name, quiet)
