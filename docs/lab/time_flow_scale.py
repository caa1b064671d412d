#!/usr/bin/env python3
"""What `flow_scale="auto"` costs a pair with small motion on a GPU, in ms a frame.

docs/lab/time_flow_scale.py
"""

import time

import torch
import torch.nn.functional as F

from zoomin_d2 import Interpolator

SIZES = ((256, 448), (1024, 2048), (2160, 3840))
WARM_UP, TIMED = 20, 40


def main() -> None:
    for height, width in SIZES:
        noise = torch.rand(
            1, 3, height // 8, width // 8, generator=torch.Generator().manual_seed(0)
        )
        first = F.interpolate(noise, (height, width), mode="bicubic").clamp(0, 1)
        first = (first * 255).to(torch.uint8).cuda()
        last = first.roll(4, 3)
        for scale in (1.0, "auto"):
            model = Interpolator.from_pretrained("fast", "cuda", flow_scale=scale)
            times = []
            for _ in range(WARM_UP + TIMED):
                torch.cuda.synchronize()
                start = time.perf_counter()
                model(first, last)
                torch.cuda.synchronize()
                times.append(time.perf_counter() - start)
            timed = sorted(times[WARM_UP:])
            print(f"{width}x{height} flow_scale={scale}: {1000 * timed[TIMED // 2]:.2f} ms")


if __name__ == "__main__":
    main()
