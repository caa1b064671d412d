"""Functions with another signature, or that only take floats, as an `Interpolate`; and the times
that it takes."""

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from zoomin_d2.frames import to_8bit
from zoomin_d2.inference.baselines import Baseline
from zoomin_d2.inference.export import INPUTS
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


def pair_by_pair(
    run: Callable[[dict[str, np.ndarray]], np.ndarray],
    frame_1: Tensor,
    frame_2: Tensor,
    ts: Sequence[float | Tensor],
) -> list[Tensor]:
    """The frames of an exported network, which takes one pair and one time.

    Args:
        run: by the names of inference/export.py: frames (1, 3, H, W) float32 and t (1,) ->
            (1, 3, H, W).
        frame_1, frame_2: (N, 3, H, W) float in [0, 1].

    Returns:
        one (N, 3, H, W) float32 on the CPU per time.
    """
    first, second = (f.float().cpu().contiguous().numpy() for f in (frame_1, frame_2))

    def made(one: np.ndarray, two: np.ndarray, t: np.float32) -> np.ndarray:
        return run(dict(zip(INPUTS, (one[None], two[None], np.array([t])))))

    def of_all_pairs(t: Tensor) -> np.ndarray:
        frames = [made(*x) for x in zip(first, second, t.numpy())]
        return frames[0] if len(frames) == 1 else np.concatenate(frames)

    return [torch.from_numpy(of_all_pairs(t)) for t in times(ts, frame_1.cpu())]


def check_time(t: float | Tensor, n: int) -> float | Tensor:
    """A time, or (N,) of them for N pairs. Raises ValueError unless all are in (0, 1)."""
    if isinstance(t, Tensor) and t.dim() > 0:
        if t.shape != (n,):
            raise ValueError(f"t must have one value per pair, ({n},), got {tuple(t.shape)}")
        # Values on a GPU are not read back: that would wait for it.
        if t.device.type == "cpu" and not ((t > 0) & (t < 1)).all():
            raise ValueError(f"t must lie between 0 and 1, got {t.tolist()}")
        return t
    return check_number(t)


def check_number(t: float | Tensor) -> float:
    """A time. Raises TypeError if it is no number, ValueError unless it is in (0, 1)."""
    try:
        t = float(t)
    except (TypeError, ValueError, OverflowError) as error:
        raise TypeError(
            f"t must be a number, a tensor with one per pair, or a list of numbers, got {t!r}"
        ) from error
    if not (math.isfinite(t) and 0 < t < 1):
        raise ValueError(
            f"t must lie between 0 and 1, got {t:g}; the frames at 0 and 1 are frame_1 and frame_2"
        )
    return t


def check_numbers(ts: float | Sequence[float]) -> list[float]:
    """One time or several, as a list. Raises as `check_number`."""
    return [check_number(t) for t in (ts if np.iterable(ts) else [ts])]


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
