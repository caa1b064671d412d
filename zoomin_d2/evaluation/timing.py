"""A call in, how long it takes and how much memory it needs out, on a CPU or a GPU.

Triton's benchmark times GPUs, between two events around every single call, each with an empty L2
cache. PyTorch's benchmark times CPUs, and GPUs without Triton.
"""

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.utils.benchmark import Timer, timer

Call = Callable[[], object]
_QUANTILES = [0.5, 0.1, 0.9]


@dataclass(frozen=True)
class Timing:
    """Milliseconds per call."""

    median: float
    low: float  # 10th percentile
    high: float  # 90th percentile


def time_call(
    call: Call, device: torch.device, *, num_calls: int = 20, max_seconds: float = 30.0
) -> Timing:
    """Time repeated calls, one after the other, after three warm-up calls.

    Args:
        call: runs once; it need not wait for the device.
        device: where it runs.
        num_calls: approximate number of timed calls; more if they are too short for the clock.
        max_seconds: if the calls would take longer, fewer are timed, but at least one.
    """
    threads = torch.get_num_threads()
    watch = Timer("call()", globals={"call": call}, timer=timer, num_threads=threads)
    seconds = min(num_calls * watch.timeit(1).mean, max_seconds)
    if device.type == "cuda" and importlib.util.find_spec("triton"):
        from triton.testing import do_bench

        with torch.cuda.device(device):
            median, low, high = do_bench(call, warmup=0, rep=1e3 * seconds, quantiles=_QUANTILES)
    else:
        times = torch.tensor(watch.blocked_autorange(min_run_time=seconds).times).mul(1e3)
        median, low, high = times.quantile(torch.tensor(_QUANTILES)).tolist()
    return Timing(median, low, high)


def peak_memory(call: Call, device: torch.device) -> int | None:
    """Peak bytes of GPU memory that PyTorch allocated during one call, including weights.

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
