"""Two frames' features and the motion so far go in, better motion comes out, level by level.

Shape shorthand in this module:

    N: number of frame pairs
    h, w: size of a level's grid; level l works at 1 / 2**(l + 1) of the frame

Naming convention:

    motion: (N, 5, h, w) float32: two flows in pixels of its own grid for unit time (flow_1t is
        2t, flow_2t 2(1 - t) times it), and the logit of the blend mask at t = 0.5
    hidden: (N, C, h, w): what a level passes to the next one beside its motion
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

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
        hidden_channels: of the `hidden` of the level below (after pixel shuffling to this grid).
        channels: width of this level, and of its `hidden`.
        num_blocks: residual blocks.
        linear_blocks: further residual blocks, without an activation of their sum.
        radius: of the cost volume; 0 = none.
    """

    def __init__(
        self,
        feature_channels: int,
        hidden_channels: int,
        channels: int,
        num_blocks: int,
        linear_blocks: int,
        radius: int,
    ):
        super().__init__()
        self.radius = radius
        num_costs = (2 * radius + 1) ** 2 if radius else 0
        # Channels of frame_1's features, frame_2's, the cost volume, hidden, motion and time.
        self.enter_parts = (feature_channels, feature_channels, num_costs, hidden_channels, 5, 1)
        self.enter = conv_lrelu(sum(self.enter_parts), channels)
        self.blocks = nn.Sequential(
            *(
                ResidualBlock(channels, dilation=1 + i % 2, linear=i >= num_blocks)
                for i in range(num_blocks + linear_blocks)
            )
        )
        self.head = small_head(channels, 5)

    def forward(
        self,
        features: torch.Tensor,
        motion: torch.Tensor | None,
        hidden: torch.Tensor | None,
        time: "Time",
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """
        Args:
            features: (2N, C, h, w), not warped: of every frame_1, then of every frame_2.
            motion: (N, 5, h, w) from the level below, already on this grid; None at the coarsest.
            hidden: (N, C', h, w), the same.
            time: for N pairs.

        Returns:
            motion (N, 5, h, w) float32 and hidden (N, channels, h, w).
        """
        n, size = len(time.centered), features.shape[-2:]
        if motion is None:
            motion = features.new_zeros((n, 5, *size), dtype=torch.float32)
        else:
            features = backward_warp(features, both_flows(motion, time))
        inputs = [features[:n], features[n:]]
        if self.radius:
            inputs.append(bilateral_correlation(*inputs, self.radius))
        if hidden is not None:
            inputs.append(hidden)
        dtype = features.dtype
        inputs += [motion.to(dtype), time.centered.to(dtype).expand(-1, 1, *size)]
        hidden = self.blocks(self.enter(torch.cat(inputs, dim=1)))
        return motion + self.head(hidden).float(), hidden


class Time(NamedTuple):
    """What every level derives from t; computed once, because each value costs a launch or more."""

    centered: torch.Tensor  # (N, 1, 1, 1), t - 0.5
    flow_factors: torch.Tensor  # (2, N, 1, 1, 1), 2t for frame_1 and 2(1 - t) for frame_2
    mask_shift: torch.Tensor  # (N, 1, 1, 1), the nearer frame is the better one

    @classmethod
    def of(cls, t: torch.Tensor) -> "Time":
        """From t, (N,) in (0, 1)."""
        t = t.float().view(-1, 1, 1, 1)
        return cls(t - 0.5, torch.stack((2 * t, 2 * (1 - t))), torch.logit(1 - t))


def both_flows(motion: torch.Tensor, time: Time) -> torch.Tensor:
    """(2N, 2, h, w): every ``flow_1t``, then every ``flow_2t``; they grow with t and 1 - t."""
    pairs = motion[:, :4].unflatten(1, (2, 2)).transpose(0, 1)
    return (pairs * time.flow_factors).flatten(0, 1)


def blend_along(motion: torch.Tensor, frames: torch.Tensor, time: Time) -> torch.Tensor:
    """Frames of a level's size, (2N, 3, h, w), warped and blended by its motion (eq. 1)."""
    warped = backward_warp(frames, both_flows(motion, time))
    return blend(*warped.chunk(2), torch.sigmoid(motion[:, 4:] + time.mask_shift))


def mean_length(motion: torch.Tensor, time: Time, pixels: float) -> torch.Tensor:
    """Of the way from frame_1 to frame_2 by way of a time, a scalar.

    Args:
        motion: (N, 5, h, w).
        pixels: the width of a cell of its grid.
    """
    lengths = both_flows(motion, time).square().sum(1).sqrt()
    return 2 * pixels * lengths.mean()  # each way has two parts


def finer_motion(motion: torch.Tensor) -> torch.Tensor:
    """A motion on the grid of twice the size: twice the pixels, the same logit."""
    motion = upsample_2x(motion)
    return torch.cat((motion[:, :4] * 2, motion[:, 4:]), dim=1)
