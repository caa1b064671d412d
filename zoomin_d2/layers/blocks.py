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


def conv_lrelu(c_in: int, c_out: int, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    """A 3 x 3 convolution with a leaky ReLU, initialized for it."""
    conv = nn.Conv2d(c_in, c_out, 3, stride, padding=dilation, dilation=dilation)
    nn.init.kaiming_normal_(conv.weight, a=0.1)
    nn.init.zeros_(conv.bias)
    return nn.Sequential(conv, nn.LeakyReLU(0.1, inplace=True))


def small_head(c_in: int, c_out: int) -> nn.Conv2d:
    """A last convolution that starts near zero: no motion, an even blend, no correction."""
    head = nn.Conv2d(c_in, c_out, 3, padding=1)
    nn.init.normal_(head.weight, std=1e-3)
    nn.init.zeros_(head.bias)
    return head


class ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions, the first one optionally dilated, added to their input.

    Args:
        channels: in and out.
        dilation: of the first convolution.
        linear: omit the leaky ReLU after the sum. With a last convolution of zeros the block is
            then the identity, so that a trained network can be deepened.
    """

    def __init__(self, channels: int, dilation: int = 1, linear: bool = False):
        super().__init__()
        self.slope = 1.0 if linear else 0.1
        self.convs = nn.Sequential(conv_lrelu(channels, channels, dilation=dilation))
        self.last = nn.Conv2d(channels, channels, 3, padding=1)
        nn.init.kaiming_normal_(self.last.weight, a=1.0)
        self.last.weight.data.mul_(0.5)  # many residual blocks must not add up to large values
        nn.init.zeros_(self.last.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) in and out."""
        x = x + self.last(self.convs(x))
        return x if self.slope == 1 else F.leaky_relu(x, self.slope, inplace=True)
