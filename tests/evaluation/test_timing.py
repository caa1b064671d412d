"""zoomin_d2.evaluation.timing: on calls whose time is known, by a clock that they move."""

import pytest
import torch

from zoomin_d2.evaluation import timing
from zoomin_d2.evaluation.timing import peak_memory, time_call

CPU = torch.device("cpu")


class Call:
    """A call that takes so many seconds, by a clock of its own; the last number repeats."""

    def __init__(self, *durations: float):
        self.durations, self.now, self.count = list(durations), 0.0, 0

    def __call__(self) -> None:
        self.now += self.durations[min(self.count, len(self.durations) - 1)]
        self.count += 1


@pytest.fixture
def time_by_its_clock(monkeypatch):
    def time(call: Call, **options) -> timing.Timing:
        monkeypatch.setattr(timing, "timer", lambda: call.now)
        return time_call(call, CPU, **options)

    return time


def test_known_times(time_by_its_clock):
    # Two to warm up, a first look, the length of a block, then ten calls.
    call = Call(0.2, 0.2, 1 / 32, 1 / 32, *[1 / 64] * 8, 1 / 16, 1 / 8)
    measured = time_by_its_clock(call, num_calls=10)
    assert call.count == 4 + 10
    assert measured.median == measured.low == pytest.approx(15.625)
    assert measured.high == pytest.approx(68.75)  # a tenth of the way from 62.5 to 125


def test_slow_calls_end_early(time_by_its_clock):
    call = Call(4.0)
    measured = time_by_its_clock(call, num_calls=50, max_seconds=10)
    assert call.count == 4 + 3 and measured.median == pytest.approx(4000)


def test_short_calls_are_timed_in_blocks(time_by_its_clock):
    measured = time_by_its_clock(Call(2**-20), num_calls=1000)
    assert measured.median == pytest.approx(1e3 * 2**-20)


def test_memory_is_not_counted_on_a_cpu():
    assert peak_memory(lambda: None, CPU) is None


@pytest.mark.needs_gpu
def test_gpu_times_and_memory():
    device = torch.device("cuda")
    x = torch.zeros(1024, 1024, device=device)
    measured = time_call(lambda: x @ x, device)
    assert 0 < measured.low <= measured.median <= measured.high < 100
    before = torch.cuda.memory_allocated()
    peak = peak_memory(lambda: torch.zeros(2**20, device=device), device)
    assert peak >= before + 4 * 2**20
