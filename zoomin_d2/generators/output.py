"""What every generator returns."""

from typing import NamedTuple

import torch


class GeneratorOutput(NamedTuple):
    """What every generator returns for N pairs of H x W frames."""

    pred_frame: torch.Tensor  # (N, 3, H, W), the result; in [0, 1] in eval mode
    coarse_frame: torch.Tensor  # (N, 3, H, W) in [0, 1], warped and blended only (eq. 1)
    flow_1t: torch.Tensor  # (N, 2, H, W) pixels, see layers/warp.py
    flow_2t: torch.Tensor  # (N, 2, H, W) pixels
    blend_mask: torch.Tensor  # (N, 1, H, W) in [0, 1], weight of frame_1
    # For training of coarse-to-fine generators: coarser blends (N, 3, h, w) of the padded frames.
    level_frames: tuple[torch.Tensor, ...] = ()

    @property
    def maps(self) -> dict[str, torch.Tensor]:
        """The five full-size tensors by name."""
        return dict(zip(self._fields, self[:5]))

    def detached(self) -> "GeneratorOutput":
        """Without graph and without `level_frames`, for visualization."""
        return GeneratorOutput(*(x.detach() for x in self[:5]))
