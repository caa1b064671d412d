#!/usr/bin/env python
"""The fixed part of a training's iteration: its time, and its kernels by time.

    docs/lab/profile_training.py CONFIG_FILE [KEY VALUE ...]

Generator and losses are compiled (SOLVER.COMPILE True) and, on a GPU, recorded as in a training,
with random frames of the config's batch and crop size.
"""

import argparse

import torch
from detectron2.modeling import build_model

import zoomin_d2.modeling  # registers the models  # noqa: F401
from zoomin_d2.engine.setup import setup_cfg
from zoomin_d2.evaluation.profiling import format_kernels
from zoomin_d2.evaluation.timing import time_call


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("config_file")
    parser.add_argument("opts", nargs=argparse.REMAINDER, metavar="KEY VALUE")
    args = parser.parse_args()
    cfg = setup_cfg(args.config_file, ["MODEL.WEIGHTS", "", "SOLVER.COMPILE", "True", *args.opts])
    torch.backends.cudnn.benchmark = cfg.CUDNN_BENCHMARK
    model = build_model(cfg).train()
    num_samples, size = cfg.SOLVER.IMS_PER_BATCH, tuple(cfg.INPUT.CROP_SIZE)
    model.record_training(num_samples, size)
    frames = [torch.rand((num_samples, 3, *size), device=model.device) for _ in range(3)]
    t = torch.full((num_samples,), 0.5, device=model.device)

    def iterate() -> None:
        with model.autocast():
            _, _, losses = model._outside["synthesis_step"](*frames, t)
        sum(losses.values()).backward()

    iterate()  # compiled here, if it was not recorded
    timing = time_call(iterate, model.device)
    print(f"{timing.median:.2f} ms an iteration of {num_samples}")
    print(format_kernels(iterate, model.device, None, "iteration"))


if __name__ == "__main__":
    main()
