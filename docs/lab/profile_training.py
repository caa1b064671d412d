#!/usr/bin/env python
"""The fixed part of a training's iteration on a GPU: its time, and its kernels by time.

    python docs/lab/profile_training.py CONFIG_FILE OUT [KEY VALUE ...]

Generator and losses are compiled and recorded as in a training (SOLVER.COMPILE True), with random
frames of the config's batch and crop size. Writes one line a kernel into the file OUT, longest
first: milliseconds an iteration, launches, name.
"""

import argparse
import statistics
import time
from collections import Counter
from pathlib import Path

import torch
from detectron2.modeling import build_model

import zoomin_d2.modeling  # registers the models  # noqa: F401
from zoomin_d2.engine.setup import setup_cfg

TIMED, PROFILED = 20, 2  # iterations


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("config_file")
    parser.add_argument("out", type=Path)
    parser.add_argument("opts", nargs=argparse.REMAINDER, metavar="KEY VALUE")
    args = parser.parse_args()
    fixed = ["MODEL.DEVICE", "cuda", "MODEL.WEIGHTS", "", "SOLVER.COMPILE", "True"]
    cfg = setup_cfg(args.config_file, [*fixed, *args.opts])
    torch.backends.cudnn.benchmark = cfg.CUDNN_BENCHMARK
    model = build_model(cfg).train()
    num_samples, size = cfg.SOLVER.IMS_PER_BATCH, tuple(cfg.INPUT.CROP_SIZE)
    model.record_training(num_samples, size)
    frames = [torch.rand((num_samples, 3, *size), device="cuda") for _ in range(3)]
    t = torch.full((num_samples,), 0.5, device="cuda")

    def iterate() -> float:
        started = time.perf_counter()
        with model.autocast():
            _, _, losses = model._outside["synthesis_step"](*frames, t)
        sum(losses.values()).backward()
        torch.cuda.synchronize()
        return 1e3 * (time.perf_counter() - started)

    times = [iterate() for _ in range(TIMED)]
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
        for _ in range(PROFILED):
            iterate()
    total, count = Counter(), Counter()
    for event in profile.events():
        if event.device_type == torch.autograd.DeviceType.CUDA:
            total[event.name] += event.device_time_total / 1e3 / PROFILED
            count[event.name] += 1
    lines = [f"{ms:9.3f} {count[name] // PROFILED:4d} {name}" for name, ms in total.most_common()]
    head = f"{statistics.median(times):.2f} ms an iteration of {num_samples}, {len(lines)} kernels"
    args.out.write_text("\n".join([head, *lines]) + "\n")
    print(head)


if __name__ == "__main__":
    main()
