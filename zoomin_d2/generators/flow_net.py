"""Two frames and a time go in; two flows and a blend mask come out (section 3.1 of the paper).

Shape shorthand in this module:

    N: number of frame pairs
    H, W: size of the frames in pixels, multiples of `FlowUNet.size_divisibility`
    L: number of U-Net levels; level l works at 1 / 2**(l+1) of the size

Naming convention:

    motion: (N, 5, h, w): two flows in pixels of its own grid, and the logit of the blend mask
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import nn

from zoomin_d2.layers import ConvBlock, resize_flow, upsample_2x


class FlowUNet(nn.Module):
    """U-Net from a frame pair to ``flow_1t``, ``flow_2t`` and ``blend_mask``.

    Every decoder level adds its correction to the upsampled motion of the level below, so large
    motion is found where it is a few pixels long. The last correction is at half resolution.

    For linear motion the flow to time t is proportional to t (from frame_1) and to 1 - t (from
    frame_2), and the nearer frame is the better source: both are built in, and the network learns
    the deviations. Swapping the frames with t -> 1 - t therefore swaps these factors exactly.

    Args:
        channels: width of each level, from half resolution down; at least two.
    """

    def __init__(self, channels: Sequence[int] = (32, 64, 96, 128, 160, 192)):
        super().__init__()
        if len(channels) < 2:
            raise ValueError(f"a U-Net needs at least two levels, got channels={list(channels)}")
        self.size_divisibility = 2 ** len(channels)
        encoder_inputs = [7, *channels[:-1]]  # two RGB frames and a map of t
        self.encoder = nn.ModuleList(
            ConvBlock(c_in, c_out, stride=2, kernel=7 if level == 0 else 3)
            for level, (c_in, c_out) in enumerate(zip(encoder_inputs, channels))
        )
        decoder = list(channels[::-1])
        self.decoder = nn.ModuleList(
            ConvBlock(c_below + c_skip, c_skip) for c_below, c_skip in pairwise(decoder)
        )
        self.heads = nn.ModuleList(nn.Conv2d(c, 5, 3, padding=1) for c in decoder)
        for head in self.heads:  # start from zero flow and an even blend: the average of the inputs
            nn.init.zeros_(head.bias)
            nn.init.normal_(head.weight, std=1e-3)

    def forward(
        self, frame_1: torch.Tensor, frame_2: torch.Tensor, t: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """
        Args:
            frame_1, frame_2: (N, 3, H, W) in [0, 1].
            t: (N,) in (0, 1).

        Returns:
            flow_1t, flow_2t: (N, 2, H, W) pixels; blend_mask: (N, 1, H, W) in (0, 1); all float32.
        """
        motion = self.motion(frame_1, frame_2, t)
        t = t.float().view(-1, 1, 1, 1)
        size = tuple(frame_1.shape[-2:])
        flow_1t = resize_flow(motion[:, 0:2], size) * (2 * t)
        flow_2t = resize_flow(motion[:, 2:4], size) * (2 * (1 - t))
        mask_logit = nn.functional.interpolate(
            motion[:, 4:], size=size, mode="bilinear", align_corners=False
        )
        return flow_1t, flow_2t, torch.sigmoid(mask_logit + torch.logit(1 - t))

    def motion(self, frame_1: torch.Tensor, frame_2: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        """Motion on half the grid, (N, 5, H / 2, W / 2) float32; same arguments as `forward`.

        The caller multiplies its flows by 2 t and 2 (1 - t), and adds its logit to that of 1 - t.
        """
        t_map = t.float().view(-1, 1, 1, 1).to(frame_1.dtype).expand(-1, 1, *frame_1.shape[-2:])
        x = torch.cat((frame_1 - 0.5, frame_2 - 0.5, t_map - 0.5), dim=1)
        skips = []
        for block in self.encoder:
            x = block(x)
            skips.append(x)
        motion = self.heads[0](skips.pop()).float()
        for block, head in zip(self.decoder, self.heads[1:]):
            x = block(torch.cat((upsample_2x(x), skips.pop()), dim=1))
            # Twice the grid, twice the pixels: only the flows are rescaled, not the mask's logit.
            motion = torch.cat((upsample_2x(motion[:, :4]) * 2, upsample_2x(motion[:, 4:])), dim=1)
            motion = motion + head(x).float()
        return motion
