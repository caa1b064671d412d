"""What a data loader's worker process needs once, before its first sample."""

import os
import signal
import threading
from functools import cache

import cv2
from torch.utils.data import get_worker_info


def prepare_worker() -> None:
    """Called for every sample. Works once per worker; does nothing in the main process."""
    if get_worker_info() is not None:
        _prepare(os.getpid())


@cache
def _prepare(pid: int) -> None:
    cv2.setNumThreads(0)  # one process per core is enough
    # Schedulers send SIGTERM to all processes of a job. A worker that ended at once would be an
    # error for the training, which then could not save: a worker obeys only the training.
    if hasattr(signal, "sigwaitinfo"):  # Linux only
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        threading.Thread(target=_obey_parent, daemon=True).start()


def _obey_parent() -> None:
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid not in (os.getppid(), 0):
        pass
    os._exit(0)
