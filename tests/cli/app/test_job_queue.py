"""The queue: one job at a time, in order; canceling leaves nothing; the time left."""

import threading
from pathlib import Path

import pytest

from zoomin_d2.cli.app.job_queue import MAX_CLIPS, JobQueue
from zoomin_d2.cli.app.jobs import Result
from zoomin_d2.video.errors import BadInputError, InterruptedRunError
from zoomin_d2.video.report import Report

WAIT = 20  # seconds; only a failing test waits so long


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class Work:
    """A job that the test steps through: `go` ends it, unless it is canceled."""

    def __init__(self, order: list[str] | None = None):
        self.begun, self.go, self.order = threading.Event(), threading.Event(), order
        self.progress = lambda done, total: None

    def __call__(self, entry, progress) -> Result:
        self.progress = progress
        (entry.folder / "half.mp4").write_text("half")
        self.begun.set()
        while not self.go.wait(0.002):
            if entry.stop.is_set():
                raise InterruptedRunError("Stopped")
        if self.order is not None:
            self.order.append(entry.name)
        return Result(entry.folder / "half.mp4", entry.folder / "c.mp4", 0.0, Report("a", "b"))


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def queue(clock):
    with JobQueue(keep_seconds=100, clock=clock) as queue:
        yield queue


@pytest.fixture
def choose(queue, tmp_path):
    def choose(name="a.mp4", owner="me", check=lambda clip: None):
        (tmp_path / name).write_text(f"content of {name}")
        return queue.choose(owner, tmp_path / name, check)

    return choose


@pytest.fixture
def ended(queue):
    """Waits until all jobs that were started have ended."""

    def wait():
        queue._pool.submit(lambda: None).result(WAIT)

    return wait


def test_clips_are_kept_until_they_start(queue, choose, tmp_path):
    entry = choose()
    (tmp_path / "a.mp4").unlink()  # what Gradio does with old uploads
    assert entry.state == "chosen" and entry.files[0].name == "a.mp4"
    assert entry.files[0].read_text() == "content of a.mp4"
    assert queue.num_ahead(entry) == 0


def test_one_job_runs_the_others_wait(queue, choose, ended):
    order = []
    entries = [choose(name) for name in ("a.mp4", "b.mp4", "c.mp4")]
    works = [Work(order) for _ in entries]
    for entry, work in zip(entries, works):
        queue.start(entry, "2x", work)
    assert works[0].begun.wait(WAIT)
    assert [e.state for e in queue.entries("me")] == ["running", "waiting", "waiting"]
    assert [queue.num_ahead(e) for e in entries] == [0, 1, 2]
    assert not works[1].begun.is_set()
    for work in works:
        work.go.set()
    ended()
    assert order == ["a.mp4", "b.mp4", "c.mp4"]
    assert [e.state for e in entries] == ["done"] * 3
    assert entries[0].result.output.read_text() == "half"


def test_the_list_is_in_the_order_of_work(queue, choose):
    first, second = choose("a.mp4"), choose("b.mp4")
    queue.start(second, "2x", Work())
    queue.start(first, "2x", Work())
    queue.start(first, "4x", Work())  # a second click changes nothing
    assert [e.name for e in queue.entries("me")] == ["b.mp4", "a.mp4"]
    assert first.summary == "2x"


def test_a_running_job_leaves_nothing(queue, choose, ended):
    entry, work = choose(), Work()
    queue.start(entry, "2x", work)
    assert work.begun.wait(WAIT)
    assert (entry.folder / "half.mp4").exists()
    queue.cancel("me", entry.id)
    ended()
    assert entry.state == "canceled" and entry.result is None
    assert list(queue.folder.iterdir()) == []


def test_a_waiting_job_never_starts(queue, choose, ended):
    running, waiting = choose("a.mp4"), choose("b.mp4")
    works = [Work(), Work()]
    queue.start(running, "2x", works[0])
    queue.start(waiting, "2x", works[1])
    queue.cancel("me", waiting.id)
    assert waiting.state == "canceled" and not waiting.folder.exists()
    works[0].go.set()
    ended()
    assert running.state == "done" and not works[1].begun.is_set()


def test_others_cannot_cancel_or_see(queue, choose):
    entry, work = choose(), Work()
    queue.start(entry, "2x", work)
    queue.cancel("you", entry.id)
    assert not entry.stop.is_set()
    assert queue.entries("you") == []
    theirs = choose("b.mp4", owner="you")
    queue.start(theirs, "2x", Work())
    assert queue.num_ahead(theirs) == 1  # but they wait for it


@pytest.mark.parametrize("state", ["chosen", "done", "failed"])
def test_remove_deletes_the_files(queue, choose, ended, state):
    entry, work = choose(), Work()
    if state != "chosen":
        work.go.set()
        queue.start(entry, "2x", work if state == "done" else lambda *_: 1 / 0)
        ended()
    assert entry.state == state
    queue.cancel("me", entry.id)
    assert queue.entries("me") == [] and list(queue.folder.iterdir()) == []


def test_a_refused_clip_is_listed(queue, choose):
    def check(clip: Path) -> None:
        raise BadInputError("no video")

    entry = choose(check=check)
    assert (entry.state, entry.message) == ("failed", "no video")
    assert queue.entries("me") == [entry] and list(queue.folder.iterdir()) == []


def test_so_many_clips_and_no_more(choose):
    for _ in range(MAX_CLIPS):
        assert choose().state == "chosen"
    assert choose().message == f"{MAX_CLIPS} clips are not done yet: add it later."
    assert choose(owner="you").state == "chosen"


def test_a_failed_job_does_not_stop_others(queue, choose, ended, capsys):
    def damaged(entry, progress):
        raise BadInputError("cannot be read")

    def broken(entry, progress):
        raise KeyError("a bug")

    entries = [choose(name) for name in ("a.mp4", "b.mp4", "c.mp4")]
    good = Work()
    good.go.set()
    for entry, work in zip(entries, (damaged, broken, good)):
        queue.start(entry, "2x", work)
    ended()
    assert [e.state for e in entries] == ["failed", "failed", "done"]
    assert entries[0].message == "cannot be read"
    assert entries[1].message.startswith("Unexpected error")
    assert "KeyError: 'a bug'" in capsys.readouterr().err
    assert [path.name for path in queue.folder.iterdir()] == [entries[2].folder.name]


def test_the_time_left(queue, choose, clock):
    entry, work = choose(), Work()
    queue.start(entry, "2x", work)
    assert work.begun.wait(WAIT)
    clock.now = 50.0  # loading the model took as long; it does not count
    work.progress(1, 101)
    assert (entry.done, entry.total, entry.seconds_left) == (1, 101, None)
    clock.now = 54.0
    work.progress(21, 101)  # 20 frames in 4 s, 80 to go
    assert entry.seconds_left == pytest.approx(16.0)
    clock.now = 60.0
    work.progress(51, 101)  # 50 in 10 s, 50 to go
    assert entry.seconds_left == pytest.approx(10.0)


def test_an_unknown_length_has_no_time_left(queue, choose, clock):
    entry, work = choose(), Work()
    queue.start(entry, "2x", work)
    assert work.begun.wait(WAIT)
    for clock.now in (1.0, 2.0):
        work.progress(int(clock.now), 0)
    assert entry.seconds_left is None


def test_results_are_kept_for_a_while(queue, choose, ended, clock):
    entry, work = choose(), Work()
    work.go.set()
    queue.start(entry, "2x", work)
    ended()
    clock.now = 100.0
    assert queue.entries("me") == [entry]
    clock.now = 100.1
    assert queue.entries("me") == [] and list(queue.folder.iterdir()) == []


def test_close_stops_all_and_deletes_all(tmp_path):
    (tmp_path / "a.mp4").write_text("a")
    queue, works = JobQueue(), [Work(), Work()]
    for work in works:
        queue.start(queue.choose("me", tmp_path / "a.mp4", lambda clip: None), "2x", work)
    assert works[0].begun.wait(WAIT)
    queue.close()
    assert not works[1].begun.is_set() and not queue.folder.exists()


def test_images_wait_for_the_clip_before(queue, choose):
    entry, work, order = choose(), Work(), []
    work.order = order
    queue.start(entry, "2x", work)
    assert work.begun.wait(WAIT) and queue.num_ahead() == 1
    threading.Timer(0.02, work.go.set).start()
    assert queue.run(lambda: order.append("images") or 7) == 7
    assert order == ["a.mp4", "images"] and queue.num_ahead() == 0


def test_files_that_belong_to_a_clip(queue, choose, tmp_path):
    entry, work = choose("a.png"), Work()
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "a.png").write_text("mask")  # of the same name
    queue.start(entry, "2x", work, [tmp_path / "b" / "a.png"])
    assert [f.read_text() for f in entry.files] == ["content of a.png", "mask"]


def test_a_long_check_keeps_nobody_waiting(queue, tmp_path):
    clip = tmp_path / "clip.mp4"
    clip.write_text("clip")

    def check(_):
        other = threading.Thread(target=queue.entries, args=("another",), daemon=True)
        other.start()
        other.join(WAIT)
        assert not other.is_alive()

    assert queue.choose("owner", clip, check).state == "chosen"
