"""The warped, blended frame and features go in; the final frame comes out (section 3.2).

"We simply use three convolutional layers with kernel size 9 to approximate a large receptive
field."
"""

import torch
from torch import nn


class SynthesisNet(nn.Sequential):
    """Three large convolutions that correct the coarse frame.

    Args:
        in_channels: channels of the warped context features (C).
        channels: width of the two hidden layers.
        kernel: odd kernel size in pixels; the paper uses 9.

    Forward: coarse_frame (N, 3, H, W) in [0, 1] and features (N, C, H, W) -> (N, 3, H, W) float32,
    the coarse frame plus a learned correction (not clipped).
    """

    def __init__(self, in_channels: int, channels: int = 32, kernel: int = 9):
        if kernel % 2 == 0:
            raise ValueError(f"the synthesis kernel must be odd to keep the size, got {kernel}")
        super().__init__(
            nn.Conv2d(in_channels + 3, channels, kernel, padding=kernel // 2),
            nn.LeakyReLU(0.1, inplace=True),
            nn.Conv2d(channels, channels, kernel, padding=kernel // 2),
            nn.LeakyReLU(0.1, inplace=True),
            nn.Conv2d(channels, 3, kernel, padding=kernel // 2),
        )
        # Start near the identity: the correction grows from almost zero.
        nn.init.normal_(self[-1].weight, std=1e-3)
        nn.init.zeros_(self[-1].bias)

    def forward(self, coarse_frame: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
        correction = super().forward(torch.cat((features, coarse_frame.to(features.dtype)), dim=1))
        return coarse_frame.float() + correction.float()
