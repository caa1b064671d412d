"""Functions with another signature, or that only take floats, as an `Interpolate`."""

from collections.abc import Sequence

import torch
from torch import Tensor

from zoomin_d2.frames import to_8bit
from zoomin_d2.inference.baselines import Baseline
from zoomin_d2.interpolate import Interpolate


def times(ts: Sequence[float | Tensor], frame: Tensor) -> list[Tensor]:
    """Every time as a tensor (N,), one value per pair, on the device of frames (N, 3, H, W)."""
    n, device = len(frame), frame.device
    return [
        t.to(device, torch.float32).expand(n)
        if isinstance(t, Tensor)
        else torch.full((n,), t, device=device)
        for t in ts
    ]


def from_baseline(baseline: Baseline) -> Interpolate:
    """A function (frame_1, frame_2, t) -> frame, t (N,), called once per time."""

    def interpolate(
        frame_1: Tensor, frame_2: Tensor, ts: Sequence[float | Tensor], /
    ) -> list[Tensor]:
        return [baseline(frame_1, frame_2, t) for t in times(ts, frame_1)]

    return interpolate


def for_8bit(interpolate: Interpolate) -> Interpolate:
    """The same, but it also takes 8-bit frames, which come back as 8-bit."""

    def convert(frame_1: Tensor, frame_2: Tensor, ts: list[float], /) -> list[Tensor]:
        if frame_1.dtype != torch.uint8:
            return interpolate(frame_1.float(), frame_2.float(), ts)
        made = interpolate(frame_1 / 255, frame_2 / 255, ts)
        return [to_8bit(frame) for frame in made]

    return convert
