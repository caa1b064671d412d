"""Motion estimated on smaller frames, applied to the full ones."""

import torch
import torch.nn.functional as F
from torch import Tensor

from zoomin_d2.inference.interpolator import Interpolator
from zoomin_d2.layers import backward_warp, blend, resize_flow

MIN_SIDE = 32


class FlowScaled:
    """An `interpolate` that runs a generator on frames of `scale` times the size.

    Its flows and blend mask are enlarged and warp the full-size frames (eq. 1); what synthesis
    changed in the small frame, its difference to the small blend, is enlarged and added. Motion of
    up to 1 / scale times more pixels is found, in scale^2 of the time and memory.

    Raises:
        ValueError: scale is not in (0, 1].
    """

    def __init__(self, interpolator: Interpolator, scale: float):
        if not 0 < scale <= 1:
            raise ValueError(f"--flow-scale must be above 0 and at most 1, got {scale}")
        self._interpolator, self._scale = interpolator, scale

    def __call__(self, frame_1: Tensor, frame_2: Tensor, ts: list[float]) -> list[Tensor]:
        small = tuple(min(n, max(MIN_SIDE, round(n * self._scale))) for n in frame_1.shape[-2:])
        small_1, small_2 = (
            F.interpolate(f, small, mode="bilinear", antialias=True) for f in (frame_1, frame_2)
        )
        return [self._at(frame_1, frame_2, small_1, small_2, t) for t in ts]

    def _at(self, frame_1: Tensor, frame_2: Tensor, small_1, small_2, t: float) -> Tensor:
        height, width = frame_1.shape[-2:]
        size = (height, width)
        device, dtype = self._interpolator.device, self._interpolator.dtype
        time = torch.full((len(frame_1),), t, device=device)
        with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
            out = self._interpolator.generator(small_1.to(device), small_2.to(device), time)
        warped_1, warped_2 = (
            backward_warp(frame.to(device), resize_flow(flow.float(), size))
            for frame, flow in ((frame_1, out.flow_1t), (frame_2, out.flow_2t))
        )
        mask = F.interpolate(out.blend_mask.float(), size, mode="bilinear")
        detail = (out.pred_frame - out.coarse_frame).float()
        detail = F.interpolate(detail, size, mode="bilinear")
        return (blend(warped_1, warped_2, mask) + detail).clamp(0, 1)
