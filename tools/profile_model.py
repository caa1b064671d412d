#!/usr/bin/env python3
"""Where the milliseconds of one interpolated frame go: launches, bytes, and the kernels' times.

    tools/profile_model.py                                   # counts only; no GPU needed
    tools/profile_model.py --mode triton graph eager --output output/profile      # and times
    OMP_NUM_THREADS=2 tools/profile_model.py --mode eager --device cpu --size 448x256

Counts: kernels and megabytes that they read and write in half precision, stage by stage, of
PyTorch's eager mode (zoomin_d2/evaluation/memory_traffic.py) and of the fused Triton kernels.
Times: five calls per mode and size under torch.profiler, the median frame's GPU time by kernel;
modes as in tools/benchmark.py. Everything is printed, and written to --output as profile.md.
"""

import argparse
import sys
import time
from collections import Counter
from pathlib import Path

import torch
from analyze_model import parse_size
from benchmark_measurements import random_frames
from tabulate import tabulate
from torch.profiler import ProfilerActivity, profile

from zoomin_d2.evaluation.memory_traffic import count_traffic, count_triton_traffic
from zoomin_d2.evaluation.timing import synchronize
from zoomin_d2.files import write_atomically
from zoomin_d2.generators import FastGenerator
from zoomin_d2.inference.peers import MODES, TimedModel, load_model

CALLS = 5
_STYLE = {"tablefmt": "github", "disable_numparse": True}


def counts(name: str, height: int, width: int) -> str:
    """A table of kernels and bytes by stage, of eager mode and of the Triton kernels."""
    traffic = count_traffic(load_model(name), height, width)
    rows = [
        ["eager", part, kernels, f"{moved / 1e6:.1f}"]
        for part, (moved, kernels) in traffic.by_part.items()
    ]
    rows.append(["eager", "all", traffic.num_kernels, f"{traffic.total / 1e6:.1f}"])
    if isinstance(load_model(name), FastGenerator):  # of `paper` only one kernel is Triton's
        fused = triton_kernels(name, height, width)
        moved, number = Counter(), Counter(kernel for kernel, _ in fused)
        for kernel, size in fused:
            moved[kernel] += size
        rows += [["triton", k, number[k], f"{size / 1e6:.1f}"] for k, size in moved.items()]
        rows.append(["triton", "all", len(fused), f"{sum(moved.values()) / 1e6:.1f}"])
    rows.append(["any", "unavoidable", "", f"{traffic.unavoidable / 1e6:.1f}"])
    return tabulate(rows, ["mode", "stage or kernel", "kernels", "MB"], **_STYLE)


def triton_kernels(name: str, height: int, width: int) -> list[tuple[str, int]]:
    """Name and bytes of every Triton kernel for one 8-bit pair, in order."""
    from zoomin_d2.inference.fused.fast import FastTriton

    fused = FastTriton(load_model(name).half().eval())
    frame = torch.empty(1, 3, height, width, dtype=torch.uint8)
    return count_triton_traffic(lambda: fused(frame, frame, [torch.full((1,), 0.5)]))


def times(method: TimedModel, height: int, width: int, device: torch.device, rows: int) -> str:
    """A table of the kernels (on a CPU: operators) that take most of a call's time."""
    pair = [method.prepare(x) for x in random_frames(height, width, 1, device)]
    for _ in range(4):  # compiled, recorded, replayed
        method(*pair)
    synchronize(device)
    gpu = device.type == "cuda"
    activities = [ProfilerActivity.CUDA if gpu else ProfilerActivity.CPU]
    begin = time.perf_counter()
    with profile(activities=activities) as recorded:
        for _ in range(CALLS):
            method(*pair)
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
    heads = ["kernel", "launches", "microseconds per frame", "each", "share"]
    return f"{tabulate(body, heads, **_STYLE)}\n\nwall time under the profiler: {wall:.2f} ms"


def run(args: argparse.Namespace) -> str:
    device = torch.device(args.device)
    sections = []

    def add(title: str, table: str) -> None:
        sections.append(f"## {title}\n\n{table}\n")
        print(sections[-1], flush=True)
        if args.output is not None:
            text = "\n".join(sections).encode()
            args.output.mkdir(parents=True, exist_ok=True)
            write_atomically(args.output / "profile.md", lambda f: f.write(text))

    torch.backends.cudnn.benchmark = device.type == "cuda"
    for mode in args.mode:
        method = TimedModel(load_model(args.model), device, args.dtype, mode)
        for height, width in args.size:
            title = f"{args.model}, {mode}, {width}x{height}"
            add(title, times(method, height, width, device, args.rows))
    for height, width in args.size:
        add(f"{args.model}, {width}x{height}: counts", counts(args.model, height, width))
    return "\n".join(sections)


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    gpu = torch.cuda.is_available()
    parser.add_argument("--model", default="fast", help="a name in the zoo, or a file")
    parser.add_argument("--mode", nargs="*", choices=MODES, default=[], help="modes to be timed")
    sizes = [parse_size(x) for x in ("448x256", "2048x1024", "3840x2160")]
    parser.add_argument("--size", nargs="+", type=parse_size, default=sizes)
    parser.add_argument("--device", default="cuda" if gpu else "cpu")
    parser.add_argument("--rows", type=int, default=25, help="kernels in a table")
    parser.add_argument("--output", type=Path)
    args = parser.parse_args(argv)
    args.dtype = torch.float16 if torch.device(args.device).type == "cuda" else torch.float32
    return args


if __name__ == "__main__":
    try:
        run(parse_args())
    except (ImportError, ValueError, OSError) as error:
        sys.exit(f"profile_model: {error}")
