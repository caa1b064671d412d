"""The paper's generator: flow U-Net -> warped frames and features -> three large convolutions."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn

from zoomin_d2.generators.flow_net import FlowUNet
from zoomin_d2.generators.output import GeneratorOutput
from zoomin_d2.generators.synthesis_net import SynthesisNet
from zoomin_d2.layers import backward_warp, blend, crop, pad_to_multiple


class ContextExtractor(nn.Module):
    """F1, F2 of eq. 2: a detector's first convolution, frozen, at stride 1.

    The weights are buffers: they are saved with the generator's weights, so that inference needs no
    detector, and no optimizer or gradient sync ever sees them. `copy_from` fills them.

    Args:
        channels, kernel: shape of the convolution, as in the detector.
    """

    def __init__(self, channels: int = 64, kernel: int = 7):
        super().__init__()
        if kernel % 2 == 0:
            raise ValueError(f"MODEL.GENERATOR.PAPER.CONTEXT_KERNEL must be odd, got {kernel}")
        weight = torch.empty(channels, 3, kernel, kernel)
        nn.init.kaiming_normal_(weight, nonlinearity="linear")
        self.register_buffer("weight", weight)
        self.register_buffer("bias", torch.zeros(channels))
        self.register_buffer("mean", torch.full((1, 3, 1, 1), 0.5))

    @property
    def channels(self) -> int:
        return self.weight.shape[0]

    def copy_from(self, weight: torch.Tensor, bias: torch.Tensor, mean: torch.Tensor) -> None:
        """Copy a convolution on ``frames - mean`` (from FrozenRPN.context_convolution).

        Raises:
            ValueError: its shape differs from the config.
        """
        if weight.shape != self.weight.shape:
            raise ValueError(
                f"the detector's first convolution is {tuple(weight.shape)}, the generator expects "
                f"{tuple(self.weight.shape)}: set MODEL.GENERATOR.PAPER.CONTEXT_CHANNELS="
                f"{weight.shape[0]} and CONTEXT_KERNEL={weight.shape[-1]}"
            )
        self.weight.copy_(weight)
        self.bias.copy_(bias)
        self.mean.copy_(mean.view(1, 3, 1, 1))

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """(N, 3, H, W) RGB in [0, 1] -> (N, channels, H, W)."""
        padding = self.weight.shape[-1] // 2
        return F.conv2d(frames - self.mean, self.weight, self.bias, padding=padding)


class PaperGenerator(nn.Module):
    """The paper's network: flow U-Net -> warped frames and features -> three 9 x 9 convolutions."""

    def __init__(
        self,
        *,
        flow_channels: Sequence[int] = (32, 64, 96, 128, 160, 192),
        synthesis_channels: int = 32,
        synthesis_kernel: int = 9,
        context_channels: int = 64,
        context_kernel: int = 7,
    ):
        """
        Args:
            flow_channels: widths of the flow U-Net, one per resolution; the first works at 1/2.
            synthesis_channels, synthesis_kernel: width and kernel size of the synthesis network.
            context_channels, context_kernel: shape of the detector's first convolution.
        """
        super().__init__()
        self.flow_net = FlowUNet(flow_channels)
        self.context = ContextExtractor(context_channels, context_kernel)
        self.synthesis_net = SynthesisNet(context_channels, synthesis_channels, synthesis_kernel)

    def forward(
        self, frame_1: torch.Tensor, frame_2: torch.Tensor, t: torch.Tensor
    ) -> GeneratorOutput:
        """
        Args:
            frame_1, frame_2: (N, 3, H, W) RGB in [0, 1], any H and W.
            t: (N,) in (0, 1).
        """
        size = (frame_1.shape[-2], frame_1.shape[-1])
        padded_1 = pad_to_multiple(frame_1, self.flow_net.size_divisibility)
        padded_2 = pad_to_multiple(frame_2, self.flow_net.size_divisibility)
        flow_1t, flow_2t, blend_mask = (crop(x, size) for x in self.flow_net(padded_1, padded_2, t))
        # Frames and features use the same flows and mask (eq. 1 and 2): one warp for both.
        warped = blend(
            backward_warp(torch.cat((frame_1, self.context(frame_1)), dim=1), flow_1t),
            backward_warp(torch.cat((frame_2, self.context(frame_2)), dim=1), flow_2t),
            blend_mask,
        )
        coarse_frame, features = warped[:, :3], warped[:, 3:]
        pred_frame = self.synthesis_net(coarse_frame, features)
        if not self.training:  # while training, clipping would cut the gradient of saturated pixels
            pred_frame = pred_frame.clamp(0, 1)
        return GeneratorOutput(pred_frame, coarse_frame, flow_1t, flow_2t, blend_mask)
