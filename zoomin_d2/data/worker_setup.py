"""What a data loader's worker processes need: at their start, and before their first sample.

Schedulers send SIGTERM to all processes of a job. A worker that ended at once would be an error for
the training, which then could not save: a worker obeys only the training.
"""

import os
import signal
import threading
from collections.abc import Iterable, Iterator
from functools import cache
from typing import TypeVar

import cv2
from torch.utils.data import get_worker_info

_Batch = TypeVar("_Batch")
_CAN_WAIT = hasattr(signal, "sigwaitinfo")  # Linux only


def start_workers(loader: Iterable[_Batch]) -> Iterator[_Batch]:
    """``iter(loader)``, whose workers start without SIGTERM, as do all threads that they start."""
    if not _CAN_WAIT:
        return iter(loader)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    try:
        return iter(loader)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def prepare_worker() -> None:
    """Called for every sample. Works once per worker; does nothing in the main process."""
    if get_worker_info() is not None:
        _prepare(os.getpid())


@cache
def _prepare(pid: int) -> None:
    cv2.setNumThreads(0)  # one process per core is enough
    if _CAN_WAIT:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        threading.Thread(target=_obey_parent, daemon=True).start()


def _obey_parent() -> None:
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid not in (os.getppid(), 0):
        pass
    os._exit(0)
