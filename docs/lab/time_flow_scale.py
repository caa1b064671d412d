#!/usr/bin/env python3
"""What `flow_scale="auto"` costs: ms a frame of a pair with small and of one with large motion, and
frames a second of a stream, with copies from and to the host.

docs/lab/time_flow_scale.py [DEVICE]
"""

import sys
import time
from functools import partial
from itertools import product

import numpy as np
import torch
import torch.nn.functional as F

from zoomin_d2 import Interpolator
from zoomin_d2.evaluation.timing import time_call

SIZES = ((256, 448), (1080, 1920), (1024, 2048), (2160, 3840))
MOTIONS = (4, 64)  # pixels
STREAM = (1080, 1920), 48  # its size and number of frames


def smooth_noise(height: int, width: int) -> torch.Tensor:
    """(1, 3, H, W) uint8."""
    random = torch.Generator().manual_seed(0)
    noise = torch.rand(1, 3, height // 16, width // 16, generator=random)
    return (F.interpolate(noise, (height, width), mode="bicubic").clamp(0, 1) * 255).byte()


def time_pairs(models: dict[float | str, Interpolator]) -> None:
    for (height, width), motion in product(SIZES, MOTIONS):
        for scale, model in models.items():
            first = smooth_noise(height, width).to(model.device)
            pair = first, first.roll(motion, 3)
            doubtful = partial(model.with_doubt, *(x / 255 for x in pair), [0.5])
            timed, doubted = (
                time_call(call, model.device, num_calls=40)
                for call in (partial(model, *pair), doubtful)
            )
            print(
                f"{width}x{height}, {motion} px, flow_scale={scale}: {timed.median:.2f} ms "
                f"({timed.low:.2f} to {timed.high:.2f}), with doubt {doubted.median:.2f}",
                flush=True,
            )


def time_streams(models: dict[float | str, Interpolator]) -> None:
    (height, width), count = STREAM
    first = smooth_noise(height, width)[0].permute(1, 2, 0).contiguous().numpy()
    for motion in MOTIONS:
        frames = [np.roll(first, k * motion, 1) for k in range(count)]
        for scale, model in models.items():
            rates = []
            for _ in range(3):  # at first, kernels are compiled and recorded
                start = time.perf_counter()
                made = sum(map(len, model.stream(frames, (0.4, 0.8))))
                rates.append(made / (time.perf_counter() - start))
            print(f"stream, {motion} px, flow_scale={scale}: {max(rates):.0f} made frames/s")


def main(device: str) -> None:
    scales: list[float | str] = [1.0, "auto"]
    models = {x: Interpolator.from_pretrained("fast", device, flow_scale=x) for x in scales}
    time_pairs(models)
    time_streams(models)


if __name__ == "__main__":
    main(*sys.argv[1:] or ["cuda"])
