"""Threads between the stages: order, errors, and an end."""

import threading
import time

import cv2
import pytest

from zoomin_d2.video.time.queues import Worker, one_opencv_thread, ordered_map, prefetch


def test_prefetch_is_bounded_and_in_order():
    ahead = []

    def items():
        for i in range(20):
            ahead.append(i)
            yield i

    stream = prefetch(items(), 2)
    assert next(stream) == 0
    time.sleep(0.2)
    assert len(ahead) <= 4
    assert list(stream) == list(range(1, 20))


def test_prefetch_hands_over_errors():
    def items():
        yield 1
        raise KeyError("here")

    stream = prefetch(items(), 2)
    assert next(stream) == 1
    with pytest.raises(KeyError, match="here"):
        next(stream)


def test_interrupted_close_ends_the_thread(monkeypatch):
    """What it reads is closed next."""
    join, joined, resume, ended = threading.Thread.join, [], threading.Event(), []

    def interrupted(thread, timeout=None):
        joined.append(timeout)
        if len(joined) == 1:
            raise KeyboardInterrupt
        resume.set()
        join(thread, timeout)

    def items():
        yield 1
        resume.wait(60)
        ended.append(True)
        yield 2

    stream = prefetch(items(), 1)
    next(stream)
    monkeypatch.setattr(threading.Thread, "join", interrupted)
    with pytest.raises(KeyboardInterrupt):
        stream.close()
    assert ended == [True]


def test_closing_prefetch_ends_its_thread():
    closed = []

    def items():
        try:
            while True:
                yield 0
        finally:
            closed.append(True)

    before = threading.active_count()
    stream = prefetch(items(), 2)
    next(stream)
    stream.close()
    assert closed == [True]
    assert threading.active_count() == before


@pytest.mark.parametrize("workers", [1, 3])
def test_ordered_map_keeps_the_order(workers):
    threads = set()

    def slow(i):
        threads.add(threading.current_thread().name)
        time.sleep(0.02 if i % 2 else 0.0)
        return i * i

    assert list(ordered_map(slow, range(12), workers)) == [i * i for i in range(12)]
    assert (len(threads) > 1) == (workers > 1)


def test_ordered_map_raises_in_place():
    def fails(i):
        if i == 3:
            raise ValueError("three")
        return i

    results = ordered_map(fails, range(6), 2)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="three"):
        next(results)


def test_failing_worker_does_not_hang():
    def work(item):
        raise OSError("full")

    worker = Worker(work, size=1)
    with pytest.raises(OSError, match="full"):
        for i in range(10):
            worker.put(i)
            time.sleep(0.01)
    with pytest.raises(OSError, match="full"):
        worker.close()


def test_worker_prepares_several_in_order():
    done, together, running = [], [], set()
    barrier = threading.Barrier(2, timeout=10)

    def prepare(item):
        running.add(item)
        if item < 2:  # neither goes on before both have begun
            barrier.wait()
        together.append(len(running))
        time.sleep(0.02 if item == 0 else 0)  # the first is ready last
        return 10 * item

    worker = Worker(done.append, size=2, prepare=prepare)
    for item in range(6):
        worker.put(item)
    worker.close()
    assert done == [0, 10, 20, 30, 40, 50]
    assert max(together) >= 2


def test_error_in_preparing_is_raised():
    done = []

    def prepare(item):
        if item == 2:
            raise ValueError("two")
        return item

    worker = Worker(done.append, size=1, prepare=prepare)
    with pytest.raises(ValueError, match="two"):
        for item in range(100):
            worker.put(item)
    with pytest.raises(ValueError, match="two"):
        worker.close()
    assert done == [0, 1]


def test_opencv_has_one_thread_in_a_job():
    before = cv2.getNumThreads()
    cv2.setNumThreads(3)
    try:
        first, second = one_opencv_thread(), one_opencv_thread()
        with first:
            with second:
                assert cv2.getNumThreads() == 1
            assert cv2.getNumThreads() == 1  # another job still runs
        assert cv2.getNumThreads() == 3
        with pytest.raises(KeyError), one_opencv_thread():
            raise KeyError
        assert cv2.getNumThreads() == 3
    finally:
        cv2.setNumThreads(before)


def test_interrupted_close_ends_the_item(monkeypatch):
    """Ctrl-C while it waits: what the thread writes to may be closed afterwards."""
    begun, gate, done = threading.Event(), threading.Event(), []

    def work(item):
        begun.set()
        gate.wait(60)
        done.append(item)

    worker = Worker(work, size=3)
    join = worker._thread.join

    def joined_again():
        gate.set()
        join()

    def interrupted():
        monkeypatch.setattr(worker._thread, "join", joined_again)
        raise KeyboardInterrupt

    monkeypatch.setattr(worker._thread, "join", interrupted)
    worker.put(0)
    assert begun.wait(60)
    worker.put(1)
    with pytest.raises(KeyboardInterrupt):
        worker.close()
    assert done == [0] and not worker._thread.is_alive()
