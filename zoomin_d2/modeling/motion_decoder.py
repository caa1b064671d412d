"""Two frames' features and the motion so far go in, better motion comes out, level by level.

Shape shorthand in this module:

    N: number of frame pairs
    h, w: size of a level's grid; level l works at 1 / 2**(l + 1) of the frame

Naming convention:

    motion: (N, 5, h, w) float32: two flows in pixels of its own grid for unit time (flow_1t is
        2t, flow_2t 2(1 - t) times it), and the logit of the blend mask at t = 0.5
    hidden: (N, C, h, w): what a level hands on to the next beside its motion
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import nn

from zoomin_d2.layers import (
    ResidualBlock,
    backward_warp,
    bilateral_correlation,
    blend,
    conv_lrelu,
    small_head,
    upsample_2x,
)


class FeaturePyramid(nn.Module):
    """One frame (N, 3, H, W) in [0, 1] -> features of each level, finest (1/2) first."""

    def __init__(self, channels: Sequence[int]):
        super().__init__()
        self.levels = nn.ModuleList(
            nn.Sequential(conv_lrelu(c_in, c_out, stride=2), conv_lrelu(c_out, c_out))
            for c_in, c_out in pairwise((3, *channels))
        )

    def forward(self, frames: torch.Tensor) -> list[torch.Tensor]:
        x = frames - 0.5
        features = []
        for level in self.levels:
            x = level(x)
            features.append(x)
        return features


class MotionDecoder(nn.Module):
    """One level: warped features, their correlation and the motion so far -> better motion.

    Args:
        feature_channels: of each frame's features at this level.
        hidden_channels: of the level below's `hidden` (after pixel shuffling to this grid).
        channels: width of this level, and of its `hidden`.
        num_blocks: residual blocks.
        radius: of the cost volume; 0 = none.
    """

    def __init__(
        self,
        feature_channels: int,
        hidden_channels: int,
        channels: int,
        num_blocks: int,
        radius: int,
    ):
        super().__init__()
        self.radius = radius
        num_costs = (2 * radius + 1) ** 2 if radius else 0
        self.enter = conv_lrelu(2 * feature_channels + num_costs + hidden_channels + 6, channels)
        self.blocks = nn.Sequential(
            *(ResidualBlock(channels, dilation=1 + i % 2) for i in range(num_blocks))
        )
        self.head = small_head(channels, 5)

    def forward(
        self,
        features_1: torch.Tensor,
        features_2: torch.Tensor,
        motion: torch.Tensor | None,
        hidden: torch.Tensor | None,
        t: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """
        Args:
            features_1, features_2: (N, C, h, w), not warped.
            motion: (N, 5, h, w) from the level below, already on this grid; None at the coarsest.
            hidden: (N, C', h, w), the same.
            t: (N, 1, 1, 1) in (0, 1).

        Returns:
            motion (N, 5, h, w) float32 and hidden (N, channels, h, w).
        """
        size = features_1.shape[-2:]
        if motion is None:
            motion = features_1.new_zeros((len(t), 5, *size), dtype=torch.float32)
        else:
            flow_1t, flow_2t = flows_at(motion, t)
            features_1 = backward_warp(features_1, flow_1t)
            features_2 = backward_warp(features_2, flow_2t)
        inputs = [features_1, features_2]
        if self.radius:
            inputs.append(bilateral_correlation(features_1, features_2, self.radius))
        if hidden is not None:
            inputs.append(hidden)
        dtype = features_1.dtype
        inputs += [motion.to(dtype), (t - 0.5).to(dtype).expand(-1, 1, *size)]
        hidden = self.blocks(self.enter(torch.cat(inputs, dim=1)))
        return motion + self.head(hidden).float(), hidden


def flows_at(motion: torch.Tensor, t: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """``flow_1t``, ``flow_2t`` (N, 2, h, w) of a motion; they grow with t and 1 - t."""
    return motion[:, 0:2] * (2 * t), motion[:, 2:4] * (2 * (1 - t))


def blend_along(
    motion: torch.Tensor, frame_1: torch.Tensor, frame_2: torch.Tensor, t: torch.Tensor
) -> torch.Tensor:
    """Frames (N, 3, h, w) of a level's size, warped and blended by its motion (eq. 1)."""
    flow_1t, flow_2t = flows_at(motion, t)
    mask = torch.sigmoid(motion[:, 4:] + torch.logit(1 - t))
    return blend(backward_warp(frame_1, flow_1t), backward_warp(frame_2, flow_2t), mask)


def finer_motion(motion: torch.Tensor) -> torch.Tensor:
    """A motion on the grid of twice the size: twice the pixels, the same logit."""
    motion = upsample_2x(motion)
    return torch.cat((motion[:, :4] * 2, motion[:, 4:]), dim=1)
