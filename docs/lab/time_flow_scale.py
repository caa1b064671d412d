#!/usr/bin/env python3
"""What `flow_scale="auto"` costs a pair with small and one with large motion, in ms a frame.

docs/lab/time_flow_scale.py [DEVICE]
"""

import sys
from functools import partial

import torch
import torch.nn.functional as F

from zoomin_d2 import Interpolator
from zoomin_d2.evaluation.timing import time_call

SIZES = ((256, 448), (1080, 1920), (1024, 2048), (2160, 3840))
MOTIONS = (4, 64)  # pixels


def main(device: str) -> None:
    models = {x: Interpolator.from_pretrained("fast", device, flow_scale=x) for x in (1.0, "auto")}
    for height, width in SIZES:
        noise = torch.rand(
            1, 3, height // 16, width // 16, generator=torch.Generator().manual_seed(0)
        )
        first = F.interpolate(noise, (height, width), mode="bicubic").clamp(0, 1)
        first = (first * 255).to(torch.uint8).to(device)
        for motion in MOTIONS:
            last = first.roll(motion, 3)
            for scale, model in models.items():
                timed = time_call(partial(model, first, last), model.device, num_calls=40)
                print(
                    f"{width}x{height}, {motion} px, flow_scale={scale}: {timed.median:.2f} ms "
                    f"({timed.low:.2f} to {timed.high:.2f})",
                    flush=True,
                )


if __name__ == "__main__":
    main(*sys.argv[1:] or ["cuda"])
