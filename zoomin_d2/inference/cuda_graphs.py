"""A function of frames in, the same function out, replayed as one CUDA graph per frame size."""

import contextlib
import threading
import weakref
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

Run = Callable[[Tensor, Tensor, list[Tensor]], list[Tensor]]

# Kept ready; each keeps its inputs and outputs in memory. Where motion is found at three sizes and
# between two frames there are now two, now three new ones, eight recur.
_MAX_GRAPHS = 8
_capturing = threading.Lock()  # PyTorch records on one stream of the process, if not told otherwise


class CudaGraphCache:
    """Records a function for the shapes that recur, and replays it.

    The first call of a function with given shapes runs it, the second records it, and later ones
    replay the recording. The least recently used recordings are dropped.

    Args:
        capture: called as ``capture(run, frame_1, frame_2, ts)``; returns a function that replays
            ``run`` for inputs of these shapes.
        max_recordings: kept at a time.
    """

    def __init__(self, capture: Callable[..., Run], max_recordings: int = _MAX_GRAPHS):
        self._capture = capture
        self._max_recordings = max_recordings
        self._seen: Counter = Counter()
        self._recordings: OrderedDict[tuple, Run] = OrderedDict()
        self._lock = threading.Lock()  # recordings may share memory

    def __call__(
        self, run: Run, frame_1: Tensor, frame_2: Tensor, ts: list[Tensor]
    ) -> list[Tensor]:
        with self._lock:
            return self._replayed(run, frame_1, frame_2, ts)

    def _replayed(
        self, run: Run, frame_1: Tensor, frame_2: Tensor, ts: list[Tensor]
    ) -> list[Tensor]:
        dtypes = frame_1.dtype, frame_2.dtype
        key = (run, frame_1.shape, dtypes, frame_1.stride(), len(ts))
        if key not in self._recordings:
            self._seen[key] += 1
            if self._seen[key] == 1:
                return run(frame_1, frame_2, ts)
            if len(self._recordings) >= self._max_recordings:
                self._recordings.popitem(last=False)
            try:
                self._recordings[key] = self._capture(run, frame_1, frame_2, ts)
            except Exception:
                self._recordings.clear()  # they would keep the memory that the failed one took
                raise
        self._recordings.move_to_end(key)
        return self._recordings[key](frame_1, frame_2, ts)


class CudaGraphCapture:
    """Records functions as CUDA graphs, on copies of their inputs. The graphs of one object share
    the memory for what they compute, so they must be replayed one after the other, on one
    stream."""

    def __init__(self) -> None:
        self._place: tuple[torch.cuda.Stream, Any] | None = None  # and the handle of a pool

    def __call__(self, run: Run, frame_1: Tensor, frame_2: Tensor, ts: list[Tensor]) -> Run:
        inputs = [x.clone() for x in (frame_1, frame_2, *ts)]
        arguments = (inputs[0], inputs[1], inputs[2:])
        # The device of the frames need not be the current one, whose streams would record nothing.
        with _capturing, torch.cuda.device(frame_1.device):
            stream, pool = self._place or (torch.cuda.Stream(), torch.cuda.graph_pool_handle())
            self._place = None  # the pool of a failed recording cannot be used again
            stream.wait_stream(torch.cuda.current_stream())
            graph = torch.cuda.CUDAGraph()
            with _fastest_convolutions():
                with torch.cuda.stream(stream):  # one-time work must not be recorded
                    for _ in range(2):
                        run(*arguments)
                torch.cuda.current_stream().wait_stream(stream)
                # Other threads may use the GPU meanwhile, for decoding for example.
                with torch.cuda.graph(graph, pool, stream, capture_error_mode="thread_local"):
                    recorded = run(*arguments)
            self._place = stream, pool

        last_ts: list[weakref.ref | None] = [None] * len(ts)

        def replay(frame_1: Tensor, frame_2: Tensor, ts: list[Tensor]) -> list[Tensor]:
            # Two plain copies: for bytes, `_foreach_copy_` takes ten times as long as the GPU's
            # memcpy.
            inputs[0].copy_(frame_1, non_blocking=True)
            inputs[1].copy_(frame_2, non_blocking=True)
            for k, (static, given) in enumerate(zip(inputs[2:], ts)):
                last = last_ts[k]
                if last is None or last() is not given:
                    static.copy_(given, non_blocking=True)
                    last_ts[k] = weakref.ref(given)
            graph.replay()
            return [x.clone() for x in recorded]  # the next replay overwrites them

        return replay


@contextlib.contextmanager
def _fastest_convolutions() -> Iterator[None]:
    """Let cuDNN try its algorithms, which only pays off for what will be replayed."""
    before = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = True
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = before
