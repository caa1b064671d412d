"""Two frames and a time go in, the frame between them comes out; no detector, no loss.

The registry has one entry per generator; every entry is a module with the call
``generator(frame_1, frame_2, t) -> GeneratorOutput`` for frames of any size, and the attribute
``context``: a ContextExtractor into which training copies the detector's first convolution, or
None where the generator learns its own context features.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from detectron2.config import CfgNode, configurable
from detectron2.utils.registry import Registry
from torch import nn

from zoomin_d2.layers import backward_warp, blend, pad_to_multiple
from zoomin_d2.modeling.flow_net import FlowUNet
from zoomin_d2.modeling.synthesis_net import SynthesisNet

GENERATOR_REGISTRY = Registry("GENERATOR")
GENERATOR_REGISTRY.__doc__ = """
Registry for generators. A registered function is called with a config and returns a module that
is called with ``(frame_1, frame_2, t)`` and returns `GeneratorOutput`. Its name is the config's.
"""


class GeneratorOutput(NamedTuple):
    """What every generator returns for N pairs of H x W frames."""

    pred_frame: torch.Tensor  # (N, 3, H, W), the result; in [0, 1] in eval mode
    coarse_frame: torch.Tensor  # (N, 3, H, W) in [0, 1], warped and blended only (eq. 1)
    flow_1t: torch.Tensor  # (N, 2, H, W) pixels, see layers/warp.py
    flow_2t: torch.Tensor  # (N, 2, H, W) pixels
    blend_mask: torch.Tensor  # (N, 1, H, W) in [0, 1], weight of frame_1
    # Training of coarse-to-fine generators: coarser blends (N, 3, h, w) of the frames as padded.
    level_frames: tuple[torch.Tensor, ...] = ()

    @property
    def maps(self) -> dict[str, torch.Tensor]:
        """The five full-size tensors by name."""
        return dict(zip(self._fields, self[:5]))

    def detached(self) -> "GeneratorOutput":
        """Without graph and without `level_frames`: for looking at."""
        return GeneratorOutput(*(x.detach() for x in self[:5]))


def build_generator(cfg: CfgNode) -> nn.Module:
    """Build ``cfg.MODEL.GENERATOR.NAME`` (weights are loaded by a checkpointer)."""
    generator = GENERATOR_REGISTRY.get(cfg.MODEL.GENERATOR.NAME)(cfg)
    if cfg.MODEL.GENERATOR.CHANNELS_LAST:
        generator = generator.to(memory_format=torch.channels_last)
    return generator


class ContextExtractor(nn.Module):
    """F1, F2 of eq. 2: a detector's first convolution, frozen, at stride 1.

    The weights are buffers: they travel with the generator's weights, so that inference needs no
    detector, and no optimizer or gradient sync ever sees them. `copy_from` fills them.

    Args:
        channels, kernel: shape of the convolution, as in the detector.
    """

    def __init__(self, channels: int = 64, kernel: int = 7):
        super().__init__()
        if kernel % 2 == 0:
            raise ValueError(f"MODEL.GENERATOR.CONTEXT_KERNEL must be odd, got {kernel}")
        weight = torch.empty(channels, 3, kernel, kernel)
        nn.init.kaiming_normal_(weight, nonlinearity="linear")
        self.register_buffer("weight", weight)
        self.register_buffer("bias", torch.zeros(channels))
        self.register_buffer("mean", torch.full((1, 3, 1, 1), 0.5))

    @property
    def channels(self) -> int:
        return self.weight.shape[0]

    def copy_from(self, weight: torch.Tensor, bias: torch.Tensor, mean: torch.Tensor) -> None:
        """Take over a convolution on ``frames - mean`` (FrozenRPN.context_convolution gives it).

        Raises:
            ValueError: if it has another shape than the config said.
        """
        if weight.shape != self.weight.shape:
            raise ValueError(
                f"the detector's first convolution is {tuple(weight.shape)}, the generator expects "
                f"{tuple(self.weight.shape)}: set MODEL.GENERATOR.CONTEXT_CHANNELS="
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
    """The paper's: flow U-Net -> warped frames and features -> three 9 x 9 convolutions."""

    @configurable
    def __init__(
        self, *, flow_net: FlowUNet, context: ContextExtractor, synthesis_net: SynthesisNet
    ):
        super().__init__()
        self.flow_net = flow_net
        self.context = context
        self.synthesis_net = synthesis_net

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict:
        options = cfg.MODEL.GENERATOR
        return {
            "flow_net": FlowUNet(options.FLOW_CHANNELS),
            "context": ContextExtractor(options.CONTEXT_CHANNELS, options.CONTEXT_KERNEL),
            "synthesis_net": SynthesisNet(
                options.CONTEXT_CHANNELS, options.SYNTHESIS_CHANNELS, options.SYNTHESIS_KERNEL
            ),
        }

    def forward(
        self, frame_1: torch.Tensor, frame_2: torch.Tensor, t: torch.Tensor
    ) -> GeneratorOutput:
        """
        Args:
            frame_1, frame_2: (N, 3, H, W) RGB in [0, 1], any H and W.
            t: (N,) in (0, 1).
        """
        height, width = frame_1.shape[-2:]
        padded_1 = pad_to_multiple(frame_1, self.flow_net.size_divisibility)
        padded_2 = pad_to_multiple(frame_2, self.flow_net.size_divisibility)
        flow_1t, flow_2t, blend_mask = (
            x[..., :height, :width] for x in self.flow_net(padded_1, padded_2, t)
        )
        # Frames and features take the same flows and mask (eq. 1 and 2): one warp of both.
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


@GENERATOR_REGISTRY.register()
def paper(cfg: CfgNode) -> PaperGenerator:
    """The paper's generator: see `PaperGenerator`."""
    return PaperGenerator(cfg)
