"""`check_determinism.py`: what it finds between two trainings, and says."""

import torch
from check_determinism import compare


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
