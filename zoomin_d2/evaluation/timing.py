"""A call in, how long it takes and how much memory it needs out, on a CPU or a GPU.

On a GPU times are those between two events on its stream, around every single call: what the device
was busy or waiting for the host in between counts, starting up does not.
"""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

Call = Callable[[], object]


@dataclass(frozen=True)
class Timing:
    """Milliseconds per call."""

    median: float
    low: float  # 10th percentile
    high: float  # 90th percentile
    minimum: float
    num_calls: int


def time_call(
    call: Call,
    device: torch.device,
    *,
    num_calls: int = 20,
    num_warmup: int = 3,
    max_seconds: float = 30.0,
) -> Timing:
    """Time repeated calls, one after the other.

    Args:
        call: runs once; it need not wait for the device.
        device: where it runs.
        num_calls: timed calls.
        num_warmup: calls before that are not timed (compilation, recording, caches).
        max_seconds: no further call starts after this time, but three are made in any case.
    """
    for _ in range(num_warmup):
        call()
    timer = _time_gpu if device.type == "cuda" else _time_cpu
    times = sorted(timer(call, num_calls, max_seconds, device))
    deciles = statistics.quantiles(times, n=10, method="inclusive") if len(times) > 1 else times * 9
    return Timing(statistics.median(times), deciles[0], deciles[-1], times[0], len(times))


def peak_memory(call: Call, device: torch.device) -> int | None:
    """Most bytes of GPU memory allocated by PyTorch during one call, weights and all.

    None on a CPU, where PyTorch does not count.
    """
    if device.type != "cuda":
        return None
    torch.cuda.synchronize(device)
    torch.cuda.reset_peak_memory_stats(device)
    call()
    torch.cuda.synchronize(device)
    return torch.cuda.max_memory_allocated(device)


def synchronize(device: torch.device) -> None:
    """Wait for a GPU; a CPU has nothing to wait for."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _time_cpu(call: Call, num_calls: int, max_seconds: float, _device: torch.device) -> list[float]:
    times, begin = [], time.perf_counter()
    while len(times) < num_calls and (len(times) < 3 or time.perf_counter() - begin < max_seconds):
        start = time.perf_counter()
        call()
        times.append((time.perf_counter() - start) * 1e3)
    return times


def _time_gpu(call: Call, num_calls: int, max_seconds: float, device: torch.device) -> list[float]:
    torch.cuda.synchronize(device)
    times, begin = [], time.perf_counter()
    while len(times) < num_calls and (len(times) < 3 or time.perf_counter() - begin < max_seconds):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        call()
        end.record()
        end.synchronize()
        times.append(start.elapsed_time(end))
    return times
