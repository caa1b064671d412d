"""Stages of the pipeline in threads, with bounded queues between them."""

import contextlib
import os
import queue
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

import cv2

T = TypeVar("T")
R = TypeVar("R")
_END = object()
_LAST_ITEM_SECONDS = 2.0  # for a thread to stop, after a second Ctrl-C
# Simultaneous YUV and RGB conversions: per frame, one takes longer than encoding.
CONVERTERS = min(4, os.cpu_count() or 1)


class _OpenCvThreads:
    """How many jobs run, and the number of OpenCV's threads before the first one began."""

    lock = threading.Lock()
    jobs = before = 0


@contextlib.contextmanager
def one_opencv_thread() -> Iterator[None]:
    """Within, OpenCV works in the thread that calls it, in the whole process.

    Otherwise it shares an operation among a thread per core, and waits for the last of them, which
    waits for a core while an encoder keeps all busy."""
    state = _OpenCvThreads
    with state.lock:
        if state.jobs == 0:
            state.before = cv2.getNumThreads()
            cv2.setNumThreads(1)
        state.jobs += 1
    try:
        yield
    finally:
        with state.lock:
            state.jobs -= 1
            if state.jobs == 0:
                cv2.setNumThreads(state.before)


def prefetch(items: Iterable[T], size: int) -> Generator[T, None, None]:
    """Run an iterator in a thread, at most `size` items ahead.

    An exception in the iterator is raised here, after the items that came before it. Closing the
    generator stops the thread and closes the iterator.
    """
    buffer: queue.Queue = queue.Queue(maxsize=size)
    stop = threading.Event()

    def put(item: Any) -> bool:
        while not stop.is_set():
            try:
                buffer.put(item, timeout=0.1)
                return True
            except queue.Full:
                continue
        return False

    def work() -> None:
        iterator = iter(items)
        try:
            for item in iterator:
                if not put((item, None)):
                    break
            else:
                put((_END, None))
        except BaseException as error:  # every kind is passed on
            put((_END, error))
        finally:
            if stop.is_set() and hasattr(iterator, "close"):
                iterator.close()

    thread = threading.Thread(target=work, name="decode", daemon=True)
    thread.start()
    try:
        while True:
            item, error = buffer.get()
            if error is not None:
                raise error
            if item is _END:
                return
            yield item
    finally:
        stop.set()
        try:
            thread.join()
        except KeyboardInterrupt:
            # What the iterator reads may be closed next, which crashes a thread that still reads.
            thread.join(_LAST_ITEM_SECONDS)
            raise


def ordered_map(
    function: Callable[[T], R], items: Iterable[T], workers: int
) -> Generator[R, None, None]:
    """`map`, with up to `workers` calls at a time in threads; results come in order.

    With one worker there is no thread: the function is called here."""
    if workers == 1:
        yield from map(function, items)
        return
    waiting: deque[Future] = deque()
    with ThreadPoolExecutor(workers, "model") as pool:
        try:
            for item in items:
                waiting.append(pool.submit(function, item))
                if len(waiting) > workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


class Worker:
    """Calls `work(prepare(item))` in a thread, in order, at most `size` items behind.

    An exception in the thread is raised by the next `put`, or by `close`.

    Args:
        prepare: called in further threads, for several items at a time.
    """

    def __init__(
        self,
        work: Callable[[Any], None],
        size: int,
        name: str = "encode",
        prepare: Callable[[Any], Any] | None = None,
    ):
        self._prepare = prepare
        self._pool = ThreadPoolExecutor(CONVERTERS, "convert")  # starts no thread before it is used
        self._buffer: queue.Queue = queue.Queue(maxsize=size)
        self._error: BaseException | None = None
        self._is_canceled = False
        self._work = work
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def put(self, item: Any) -> None:
        self._raise()
        if self._prepare is not None:
            item = self._pool.submit(self._prepare, item)
        while True:
            self._raise()
            try:
                self._buffer.put(item, timeout=0.1)
                return
            except queue.Full:
                continue

    def close(self) -> None:
        """Wait until everything is done; after a KeyboardInterrupt, for the item at hand only."""
        try:
            if self._thread.is_alive():
                while self._error is None:
                    try:
                        self._buffer.put(_END, timeout=0.1)
                        break
                    except queue.Full:
                        continue
            self._thread.join()
        except KeyboardInterrupt:
            self._is_canceled = True
            with contextlib.suppress(queue.Full):  # else the next item ends it
                self._buffer.put_nowait(_END)
            self._thread.join()  # what it writes to must not be closed under it
            raise
        finally:
            self._pool.shutdown(cancel_futures=True)
        self._raise()

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        while True:
            item = self._buffer.get()
            if item is _END or self._is_canceled:
                return
            try:
                self._work(item if self._prepare is None else item.result())
            except BaseException as error:  # raised again where the items come from
                self._error = error
                return
