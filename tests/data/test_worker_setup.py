import os
import subprocess
import threading
from collections.abc import Iterator

import psutil
from torch.utils.data import DataLoader, Dataset

from zoomin_d2.data.batching import WorkerLoader
from zoomin_d2.data.worker_setup import prepare_worker


class _Pids(Dataset):
    def __getitem__(self, index: int) -> int:
        if index == 0:  # as a library may have done by then
            threading.Thread(target=threading.Event().wait, daemon=True).start()
        prepare_worker()
        return os.getpid()

    def __len__(self) -> int:
        return 100


def _pids() -> Iterator[int]:
    loader = DataLoader(_Pids(), collate_fn=list, num_workers=1, prefetch_factor=1)
    return (pid for [pid] in WorkerLoader(loader))


def test_worker_survives_sigterm_to_its_job():
    pids = _pids()
    pid = next(pids)
    subprocess.run(["kill", "-TERM", str(pid)], check=True)  # not from its parent
    assert list(pids) == [pid] * 99


def test_worker_obeys_the_training():
    pids = _pids()
    worker = psutil.Process(next(pids))
    worker.terminate()
    assert worker.wait(20) in (0, -15, None)  # None: the loader's own check took its status
