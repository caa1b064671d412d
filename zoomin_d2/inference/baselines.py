"""Interpolation without learning: two frames and a time in, the frame between them out.

Every baseline is called as `baseline(frame_1, frame_2, t)` with RGB float frames (N, 3, H, W) in
[0, 1] and t (N,) in (0, 1), and returns (N, 3, H, W) in [0, 1] on the same device.
"""

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from zoomin_d2.frames import to_8bit
from zoomin_d2.layers import backward_warp, blend

Baseline = Callable[[Tensor, Tensor, Tensor], Tensor]
_LEAST_SIDE = 16  # pixels; DIS fails below 12
# What a baseline with flow blends: (warped_1, warped_2, blend_mask), as the layers define them.
Warps = Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor, Tensor]]


def average(frame_1: Tensor, frame_2: Tensor, t: Tensor) -> Tensor:
    """(1 - t) * frame_1 + t * frame_2: the least that any method has to beat."""
    return blend(frame_1, frame_2, 1.0 - _per_image(t))


def nearest(frame_1: Tensor, frame_2: Tensor, t: Tensor) -> Tensor:
    """The input nearer in time: frame repetition. t = 0.5 takes frame_1."""
    return torch.where(_per_image(t) > 0.5, frame_2, frame_1)


def dis(frame_1: Tensor, frame_2: Tensor, t: Tensor) -> Tensor:
    """OpenCV's DIS flow (preset medium) in both directions, linear motion, two warps, blended."""
    return blend(*_dis_warps(frame_1, frame_2, t))


def _dis_warps(frame_1: Tensor, frame_2: Tensor, t: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """What `dis` blends.

    The flows at time t come from the flows between the inputs as in Super-SloMo (Jiang et al. 2018,
    eq. 4): flow_1t = -(1 - t) t F_12 + t^2 F_21 and flow_2t = (1 - t)^2 F_12 - t (1 - t) F_21.
    """
    flow_12, flow_21 = _dis_flows(frame_1, frame_2), _dis_flows(frame_2, frame_1)
    t = _per_image(t)
    warped_1 = backward_warp(frame_1, -(1 - t) * t * flow_12 + t**2 * flow_21)
    warped_2 = backward_warp(frame_2, (1 - t) ** 2 * flow_12 - t * (1 - t) * flow_21)
    return warped_1, warped_2, 1.0 - t.expand(-1, 1, *frame_1.shape[-2:])


# Their names in `Interpolator.from_pretrained`, the command line and the evaluation.
BASELINES: dict[str, Baseline] = {"average": average, "nearest": nearest, "dis": dis}
# The baselines that have flow.
WARPS: dict[Baseline, Warps] = {dis: _dis_warps}


def _per_image(t: Tensor) -> Tensor:
    return t.view(-1, 1, 1, 1)


def _dis_flows(source: Tensor, target: Tensor) -> Tensor:
    """(N, 2, H, W): pixel x of a source frame is found in its target frame at x + flow(x)."""
    # One estimator per call: it keeps buffers of the last size, and is not safe across threads.
    estimator: Any = cv2.DISOpticalFlow_create(  # type: ignore[attr-defined]  # not in cv2's stubs
        cv2.DISOPTICAL_FLOW_PRESET_MEDIUM
    )
    height, width = source.shape[-2:]
    right, below = max(0, _LEAST_SIDE - width), max(0, _LEAST_SIDE - height)
    grays = (
        [cv2.copyMakeBorder(_gray(x), 0, below, 0, right, cv2.BORDER_REPLICATE) for x in pair]
        for pair in zip(source, target)
    )
    found = [estimator.calc(*pair, None)[:height, :width] for pair in grays]
    flows = torch.from_numpy(np.stack(found)).permute(0, 3, 1, 2)
    return flows.to(source.device).contiguous()


def _gray(frame: Tensor) -> np.ndarray:
    pixels = to_8bit(frame).permute(1, 2, 0).cpu().contiguous().numpy()
    return cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
