"""A user's mistake is one line and exit code 2; anything else keeps its traceback."""

import argparse
import traceback
from pathlib import Path

import pytest
import torch

from zoomin_d2.engine.resilience import launching
from zoomin_d2.frames import CorruptFrameError
from zoomin_d2.model_zoo import catalog
from zoomin_d2.user_errors import UserError, one_line_errors


def _refused_by_us():
    catalog.check_sha256(catalog.ROOT / "weights" / "fast.safetensors", "0" * 64)


def _raise(error):
    raise error


@pytest.mark.parametrize(
    ("mistake", "line"),
    [
        (lambda: Path("/no/such/file").read_text(), "No such file or directory: '/no/such/file'"),
        (lambda: _raise(CorruptFrameError("a.png", "is empty")), "a.png: is empty"),
        (lambda: _raise(UserError("no data")), "no data"),
        (_refused_by_us, "is damaged or a different file"),
    ],
)
def test_a_mistake_is_one_line(capsys, mistake, line):
    with pytest.raises(SystemExit) as stopped, one_line_errors():
        mistake()
    assert stopped.value.code == 2
    error = capsys.readouterr().err
    assert line in error and error.count("\n") == 1


def test_ctrl_c_is_one_line(capsys):
    with pytest.raises(SystemExit) as stopped, one_line_errors():
        raise KeyboardInterrupt
    assert stopped.value.code == 130
    assert capsys.readouterr().err.endswith(": stopped\n")
    with pytest.raises(KeyboardInterrupt), one_line_errors(debug=True):
        raise KeyboardInterrupt


@pytest.mark.parametrize(
    "fault",
    [lambda: torch.zeros(2).view(3), lambda: torch.stack([]), lambda: {}["a"], lambda: 1 / 0],
)
def test_a_fault_keeps_its_traceback(capsys, fault):
    with pytest.raises((RuntimeError, KeyError, ZeroDivisionError)), one_line_errors():
        fault()
    assert capsys.readouterr().err == ""


def test_a_value_refused_by_a_library():
    with pytest.raises(ValueError, match="Invalid learning rate"), one_line_errors():
        torch.optim.Adam([torch.zeros(1)], lr=-1.0)


def test_debug_lets_the_first_error_through():
    with pytest.raises(FileNotFoundError), one_line_errors(debug=True):
        try:
            Path("/no/such/file").read_text()
        except OSError as error:
            raise UserError(str(error)) from error


def _refuse(words: str) -> None:
    try:
        raise ValueError(words)
    except ValueError as error:
        raise UserError(words) from error


def _as_in_a_process(main, *_, args, **__):
    """What torch.multiprocessing makes of an exception in a process that it started."""
    try:
        main(*args)
    except Exception as error:
        text = f"\n\n-- Process 1 terminated with the following error:\n{traceback.format_exc()}"
        raise torch.multiprocessing.ProcessRaisedException(text, 1, 1) from error


@pytest.mark.parametrize("debug", [False, True])
def test_several_processes_say_it_once(capsys, monkeypatch, debug):
    monkeypatch.setattr(launching, "launch", _as_in_a_process)
    monkeypatch.setattr("signal.signal", lambda *_: None)  # this process keeps its own handlers
    args = argparse.Namespace(
        num_gpus=2, num_machines=1, machine_rank=0, dist_url="auto", debug=debug
    )
    with pytest.raises(torch.multiprocessing.ProcessRaisedException if debug else SystemExit):
        launching.run_distributed(lambda _: _refuse("wrong in each"), args)
    assert capsys.readouterr().err.count("wrong in each") == (not debug)
    with pytest.raises(torch.multiprocessing.ProcessRaisedException, match="ZeroDivisionError"):
        launching.run_distributed(lambda _: 1 / 0, args)
