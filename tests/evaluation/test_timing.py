"""zoomin_d2.evaluation.timing: on calls whose time is known, by a clock that they move."""

import pytest
import torch

from zoomin_d2.evaluation import timing
from zoomin_d2.evaluation.timing import peak_memory, time_call

CPU = torch.device("cpu")


@pytest.fixture
def make_call(monkeypatch):
    """A function (seconds per call ...) -> a call that takes so long; the last one repeats."""

    def make(*durations: float):
        left, now = list(durations), [0.0]
        monkeypatch.setattr(timing, "timer", lambda: now[0])

        def call() -> None:
            now[0] += left.pop(0) if len(left) > 1 else left[0]

        return call

    return make


def test_known_times(make_call):
    # Two to warm up, a first look, the length of a block, then ten calls (exact in binary).
    call = make_call(0.2, 0.2, 1 / 32, 1 / 32, *[1 / 64] * 8, 1 / 16, 1 / 8)
    measured = time_call(call, CPU, num_calls=10)
    assert measured.num_calls == 10
    assert measured.median == measured.low == pytest.approx(15.625)
    assert measured.high == pytest.approx(68.75)  # a tenth of the way from 62.5 to 125


def test_slow_calls_end_early(make_call):
    measured = time_call(make_call(4.0), CPU, num_calls=50, max_seconds=10)
    assert measured.num_calls == 3 and measured.median == pytest.approx(4000)


def test_short_calls_are_timed_in_blocks(make_call):
    measured = time_call(make_call(2**-20), CPU, num_calls=1000)
    assert measured.num_calls == 1000 and measured.median == pytest.approx(1e3 * 2**-20)


def test_memory_is_not_counted_on_a_cpu():
    assert peak_memory(lambda: None, CPU) is None


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_gpu_times_and_memory():
    device = torch.device("cuda")
    x = torch.zeros(1024, 1024, device=device)
    measured = time_call(lambda: x @ x, device)
    assert 0 < measured.low <= measured.median <= measured.high < 100
    before = torch.cuda.memory_allocated()
    peak = peak_memory(lambda: torch.zeros(2**20, device=device), device)
    assert peak >= before + 4 * 2**20
