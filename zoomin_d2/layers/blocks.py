"""Small convolution blocks that more than one network uses; (N, C, H, W) in and out."""

import torch
import torch.nn.functional as F
from torch import nn


class ConvBlock(nn.Sequential):
    """Two 3 x 3 convolutions, each with a leaky ReLU; the first may have a stride or another size.

    The halving convolution of a U-Net level is this block with ``stride=2``.
    """

    def __init__(self, in_channels: int, out_channels: int, *, stride: int = 1, kernel: int = 3):
        super().__init__(
            nn.Conv2d(in_channels, out_channels, kernel, stride, padding=kernel // 2),
            nn.LeakyReLU(0.1, inplace=True),
            nn.Conv2d(out_channels, out_channels, 3, padding=1),
            nn.LeakyReLU(0.1, inplace=True),
        )


def upsample_2x(x: torch.Tensor) -> torch.Tensor:
    """Bilinear upsampling of (N, C, H, W) to (N, C, 2H, 2W)."""
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
