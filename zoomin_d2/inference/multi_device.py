"""The same model on several devices, which take turns."""

import threading
from collections.abc import Sequence

import torch
from torch import Tensor

from zoomin_d2.interpolate import Interpolate
from zoomin_d2.transfer import Transfer


class MultiDevice:
    """One `Interpolate` out of several, each on its own device: a pair goes to a free one. Frames
    come from the CPU; results stay where they were made.

    Attributes:
        workers: threads that may call it at a time; further ones wait.
    """

    device = torch.device("cpu")

    def __init__(self, models: Sequence[tuple[torch.device, Interpolate]]):
        self.workers = len(models)
        self._free = list(models)
        self._lock = threading.Condition()
        self._transfer = Transfer()

    def __call__(self, frame_1: Tensor, frame_2: Tensor, ts: list[float], /) -> list[Tensor]:
        with self._lock:
            self._lock.wait_for(lambda: bool(self._free))
            device, interpolate = self._free.pop(0)
        try:
            there_1, there_2 = (self._transfer.upload(x, device) for x in (frame_1, frame_2))
            return interpolate(there_1, there_2, ts)
        finally:
            with self._lock:
                self._free.append((device, interpolate))
                self._lock.notify()
