"""zoomin_d2.evaluation.timing: on calls whose time is known."""

import time

import pytest
import torch

from zoomin_d2.evaluation.timing import peak_memory, time_call

CPU = torch.device("cpu")


def test_known_times():
    durations = iter([0.2, *[0.01] * 9, 0.08])  # the first is the warm-up
    timing = time_call(lambda: time.sleep(next(durations)), CPU, num_calls=10, num_warmup=1)
    assert timing.num_calls == 10
    assert timing.median == pytest.approx(10, abs=5)
    assert timing.minimum <= timing.low <= timing.median <= timing.high < 90
    assert timing.high > 10


def test_slow_calls_end_early_but_not_before_three():
    timing = time_call(lambda: time.sleep(0.02), CPU, num_calls=50, num_warmup=0, max_seconds=0.01)
    assert timing.num_calls == 3


def test_memory_is_not_counted_on_a_cpu():
    assert peak_memory(lambda: None, CPU) is None


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_gpu_times_and_memory():
    device = torch.device("cuda")
    x = torch.zeros(1024, 1024, device=device)
    timing = time_call(lambda: x @ x, device)
    assert 0 < timing.minimum <= timing.median < 100
    before = torch.cuda.memory_allocated()
    peak = peak_memory(lambda: torch.zeros(2**20, device=device), device)
    assert peak >= before + 4 * 2**20
