"""Frames to a device and back while it computes; on a CPU, frames stay where they are.

On a GPU three things happen at once, each on its own CUDA stream: frame k + 1 is copied to the
device from page-locked memory, the frames before k are computed, and those before them are copied
back.
The host waits only for results, `IN_FLIGHT` pairs later.
"""

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

R = TypeVar("R")

_BITS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}  # by bytes
IN_FLIGHT = 3  # pairs on a GPU: one on its way there, one being computed, one on its way back


class Transfer:
    """Copies on separate streams, for any number of devices and threads."""

    def __init__(self) -> None:
        self._streams: dict[torch.device, tuple[torch.cuda.Stream, torch.cuda.Stream]] = {}
        self._lock = threading.Lock()

    def upload(self, frame: Tensor, device: torch.device) -> Tensor:
        """Copy a frame from the CPU to a device, for work on the current stream there."""
        if device.type != "cuda" or frame.is_cuda:
            return frame.to(device)
        up, _ = self._of(device)
        compute = torch.cuda.current_stream(device)
        with torch.cuda.stream(up):
            moved = _page_locked(frame).to(device, non_blocking=True)
        compute.wait_stream(up)
        moved.record_stream(compute)  # its memory is not reused before `compute` is done with it
        return moved

    def download(self, frames: list[Tensor]) -> Callable[[], list[Tensor]]:
        """Start copying what the current stream makes to the CPU.

        Returns:
            a function that waits for the copies and returns them.
        """
        devices = {frame.device for frame in frames if frame.is_cuda}
        if not devices:  # a GPU without streams of ours makes its caller wait here
            there = [frame.cpu() for frame in frames]
            return lambda: there
        copies, events = list(frames), []
        for device in devices:
            _, down = self._of(device)
            down.wait_stream(torch.cuda.current_stream(device))
            with torch.cuda.stream(down):
                for k, frame in enumerate(frames):
                    if frame.device == device:
                        copies[k] = torch.empty_like(frame, device="cpu", pin_memory=True)
                        copies[k].copy_(frame, non_blocking=True)
                        frame.record_stream(down)
                events.append(down.record_event())

        def wait() -> list[Tensor]:
            for event in events:
                event.synchronize()
            return copies

        return wait

    def _of(self, device: torch.device) -> tuple[torch.cuda.Stream, torch.cuda.Stream]:
        with self._lock:
            if device not in self._streams:
                self._streams[device] = (torch.cuda.Stream(device), torch.cuda.Stream(device))
            return self._streams[device]


def _page_locked(frame: Tensor) -> Tensor:
    """A copy without gaps between its rows, as planes of a decoder have them: PyTorch would copy
    such rows once more on the CPU, into memory that is not page-locked, and wait.

    Copied by NumPy, in this thread. PyTorch shares a copy among threads, which wait for each other
    where an encoder keeps the cores busy: 8 ms instead of 0.1 for a frame of 1080p."""
    copy = torch.empty_like(frame, pin_memory=True)
    # as integers, because NumPy has no bfloat16
    there, here = (x.detach().view(_BITS[x.itemsize]).numpy() for x in (copy, frame))
    np.copyto(there, here)
    return copy


def pairs_in_flight(device: torch.device, workers: int = 1) -> int:
    """How many pairs are started before waiting for the first one."""
    return 1 if device.type == "cpu" and workers == 1 else IN_FLIGHT * workers


def overlapped(started: Iterable[Callable[[], R]], in_flight: int) -> Generator[R, None, None]:
    """Wait for work in order, with ``in_flight`` pieces of it started.

    Args:
        started: per item, starts a piece of work and yields a function that waits for it.
    """
    waiting: deque[Callable[[], R]] = deque()
    for wait in started:
        waiting.append(wait)
        if len(waiting) >= in_flight:
            yield waiting.popleft()()
    while waiting:
        yield waiting.popleft()()
