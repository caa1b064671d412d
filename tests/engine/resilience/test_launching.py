"""A process of a group does not shut its interpreter down: the group's threads may abort that."""

import atexit
import os
from pathlib import Path

from detectron2.engine import launch
from detectron2.utils import comm

from zoomin_d2.engine.resilience.launching import run_and_leave


def _abort_at_shutdown(folder: str) -> None:
    atexit.register(os.abort)
    Path(folder, f"{comm.get_rank()}.txt").write_text("done")


def test_finished_process_is_not_aborted(tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")  # gloo
    # Aborted, either would raise ProcessExitedException here.
    launch(run_and_leave, 2, dist_url="auto", args=(_abort_at_shutdown, str(tmp_path)))
    assert [Path(tmp_path, f"{rank}.txt").read_text() for rank in (0, 1)] == ["done"] * 2


def test_one_process_alone_goes_on(tmp_path):
    run_and_leave((tmp_path / "done").write_text, "yes")
    assert (tmp_path / "done").read_text() == "yes"
