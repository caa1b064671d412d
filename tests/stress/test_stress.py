"""`python -m tests.stress`: every check is listed and runs; what check_determinism compares."""

import importlib
import inspect

import pytest
import torch

from tests.stress.__main__ import find_checks, main
from tests.stress.check_determinism import compare


def test_checks_are_listed_in_one_line(capsys):
    main([])
    listed = capsys.readouterr().out.splitlines()
    checks = find_checks()
    assert {"check_resume", "fuzz", "soak"} <= checks.keys()
    for name, line in checks.items():
        assert line.endswith((".", "?")) and f"  {name:<20} {line}" in listed


@pytest.mark.parametrize("name", find_checks())
def test_every_check_takes_a_command_line(name):
    check = importlib.import_module(f"tests.stress.{name}")
    assert list(inspect.signature(check.main).parameters) == ["argv"]


def test_an_unknown_check_is_named():
    with pytest.raises(SystemExit, match=r"no check 'fuz', only .*fuzz"):
        main(["fuz"])


def run(loss, weight):
    return {0: {"loss": 1.0}, 1: {"loss": loss}}, {"x": torch.tensor([3.0, weight])}


def test_equal_bit_by_bit():
    found, is_equal = compare(run(0.5, 4.0), run(0.5, 4.0))
    assert is_equal and found == "2 iterations: losses and weights are equal, bit by bit"


def test_how_far_apart():
    found, is_equal = compare(run(0.5, 4.0), run(0.4, 4.5))
    assert not is_equal
    # 0.1 of 0.5; 0.5 of the norm 5 of (3, 4)
    assert "losses differ from iteration 1 on, by up to 2.0e-01 of their value" in found
    assert "weights by 1.0e-01 of their norm" in found


def test_weights_alone_may_differ():
    found, is_equal = compare(run(0.5, 4.0), run(0.5, 4.5))
    assert not is_equal and "losses are equal" in found
