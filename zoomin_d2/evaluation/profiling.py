"""Where the milliseconds of one interpolated frame go: launches, bytes, and the kernels' times.

Counts: kernels, and the megabytes that they read and write in half precision, by stage, of
PyTorch's eager mode (`memory_traffic`) and of the fused Triton kernels. Times: `CALLS` calls under
torch.profiler.
"""

import copy
import time
from collections import Counter

import torch
from tabulate import tabulate
from torch import nn
from torch.profiler import ProfilerActivity, profile

from zoomin_d2.evaluation.benchmark.measurements import random_frames
from zoomin_d2.evaluation.memory_traffic import count_traffic, count_triton_traffic
from zoomin_d2.evaluation.timing import Call, synchronize
from zoomin_d2.generators import FastGenerator
from zoomin_d2.inference.peers import TimedModel

CALLS = 5
_STYLE = {"tablefmt": "github", "disable_numparse": True}


def format_counts(generator: nn.Module, height: int, width: int) -> str:
    """A table of kernels and bytes by stage, of eager mode and of the Triton kernels."""
    traffic = count_traffic(generator, height, width)
    rows = [
        ["eager", part, kernels, f"{moved / 1e6:.1f}"]
        for part, (moved, kernels) in traffic.by_part.items()
    ]
    rows.append(["eager", "all", traffic.num_kernels, f"{traffic.total / 1e6:.1f}"])
    if isinstance(generator, FastGenerator):  # `paper` has only one Triton kernel
        fused = _triton_kernels(generator, height, width)
        moved: Counter[str] = Counter()
        number = Counter(kernel for kernel, _ in fused)
        for kernel, size in fused:
            moved[kernel] += size
        rows += [["triton", k, number[k], f"{size / 1e6:.1f}"] for k, size in moved.items()]
        rows.append(["triton", "all", len(fused), f"{sum(moved.values()) / 1e6:.1f}"])
    rows.append(["any", "unavoidable", "", f"{traffic.unavoidable / 1e6:.1f}"])
    return tabulate(rows, ["mode", "stage or kernel", "kernels", "MB"], **_STYLE)


def _triton_kernels(generator: FastGenerator, height: int, width: int) -> list[tuple[str, int]]:
    """Name and bytes of every fused kernel for one 8-bit pair, in order."""
    from zoomin_d2.inference.fused.fast import FastTriton

    fused = FastTriton(copy.deepcopy(generator).half().eval())
    frame = torch.empty(1, 3, height, width, dtype=torch.uint8)
    return count_triton_traffic(lambda: fused(frame, frame, [torch.full((1,), 0.5)]))


def format_times(
    method: TimedModel, height: int, width: int, device: torch.device, rows: int
) -> str:
    """A table of the kernels (on a CPU: operators) that take most of a frame's time."""
    pair = [method.prepare(x) for x in random_frames(height, width, 1, device)]
    return format_kernels(lambda: method(*pair), device, rows, "frame")


def format_kernels(call: Call, device: torch.device, rows: int | None, unit: str) -> str:
    """A table of the kernels (on a CPU: operators) that take most of a call's time.

    Args:
        rows: of the table; None: all kernels.
        unit: what a call makes, for the heading.
    """
    for _ in range(4):  # compiled, recorded, replayed
        call()
    synchronize(device)
    gpu = device.type == "cuda"
    activities = [ProfilerActivity.CUDA if gpu else ProfilerActivity.CPU]
    begin = time.perf_counter()
    with profile(activities=activities) as recorded:
        for _ in range(CALLS):
            call()
        synchronize(device)
    wall = (time.perf_counter() - begin) * 1e3 / CALLS
    spent = [
        (event.self_device_time_total if gpu else event.self_cpu_time_total, event)
        for event in recorded.key_averages()
    ]
    total = sum(us for us, _ in spent) or 1
    spent.sort(key=lambda x: -x[0])
    body = [
        [
            event.key[:90],
            f"{event.count / CALLS:.0f}",
            f"{us / CALLS:.1f}",
            f"{us / max(event.count, 1):.2f}",
            f"{100 * us / total:.1f} %",
        ]
        for us, event in spent[:rows]
    ]
    number = sum(event.count for _, event in spent) / CALLS
    body.append(["all", f"{number:.0f}", f"{total / CALLS:.1f}", "", "100 %"])
    heads = ["kernel", "launches", f"microseconds per {unit}", "each", "share"]
    return f"{tabulate(body, heads, **_STYLE)}\n\nwall time under the profiler: {wall:.2f} ms"
