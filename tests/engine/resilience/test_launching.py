"""Processes of a group: how they find each other, and how they leave."""

import argparse
import atexit
import contextlib
import os
import signal
import socket
from pathlib import Path
from urllib.parse import urlparse

import pytest
from detectron2.engine import default_argument_parser, launch
from detectron2.utils import comm

from zoomin_d2.engine.resilience.launching import run_and_leave, run_distributed


def _abort_at_shutdown(folder: str) -> None:
    atexit.register(os.abort)
    Path(folder, f"{comm.get_rank()}.txt").write_text("done")


def test_finished_process_is_not_aborted(tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")  # gloo
    # Aborted, either would raise ProcessExitedException here.
    launch(run_and_leave, 2, dist_url="auto", args=(_abort_at_shutdown, str(tmp_path)))
    assert [Path(tmp_path, f"{rank}.txt").read_text() for rank in (0, 1)] == ["done"] * 2


def _write_rank(args: argparse.Namespace) -> None:
    Path(args.opts[0], f"{comm.get_rank()}.txt").write_text("done")


def test_two_runs_on_one_machine(tmp_path, monkeypatch):
    """The other run has Detectron2's default port."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")  # gloo
    args = default_argument_parser().parse_args(["--num-gpus", "2", str(tmp_path)])
    handler = signal.getsignal(signal.SIGTERM)
    with socket.socket() as other:
        with contextlib.suppress(OSError):  # somebody has it already
            other.bind(("127.0.0.1", urlparse(args.dist_url).port))
            other.listen()
        run_distributed(_write_rank, args)
    assert signal.getsignal(signal.SIGTERM) == handler
    assert sorted(x.name for x in tmp_path.iterdir()) == ["0.txt", "1.txt"]


@pytest.mark.parametrize(
    "options",
    [
        ["--machine-rank", "2"],
        ["--dist-url", "nonsense"],
        ["--dist-url", "tcp://127.0.0.1:99999"],
        ["--num-gpus", "-1"],
    ],
)
def test_machines_that_cannot_meet(options, capsys):
    args = default_argument_parser().parse_args(["--num-machines", "2", *options])
    with pytest.raises(SystemExit, match="2"):
        run_distributed(_write_rank, args)
    assert f"{options[0]} " in capsys.readouterr().err


def test_one_process_alone_goes_on(tmp_path):
    run_and_leave((tmp_path / "done").write_text, "yes")
    assert (tmp_path / "done").read_text() == "yes"
