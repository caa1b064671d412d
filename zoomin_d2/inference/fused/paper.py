"""The paper's generator with a fused warp and folded convolutions: frames and times in, frames out.

Equal to `PaperGenerator.forward`, which is the definition, up to rounding; inference on a GPU only.
The flow network runs unchanged. Features and everything after it are (N, H, W', C) activations,
where W' is the width rounded up so that the large convolutions can be folded
(layers/folded_conv.py).
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from zoomin_d2.generators.paper import PaperGenerator
from zoomin_d2.layers import pad_to_multiple
from zoomin_d2.layers.folded_conv import FoldedConv
from zoomin_d2.layers.kernels.conv import padded
from zoomin_d2.layers.kernels.pixels import scale_of
from zoomin_d2.layers.kernels.warp_blend import warp_blend

# A 9 x 9 kernel reaches one pixel of a row of fours to either side: 12 columns instead of 9.
_FOLD = 4
_SLOPE = 0.1  # of every leaky ReLU


class PaperTriton:
    """A `PaperGenerator` in eval mode, its weights in the precision for the kernels."""

    def __init__(self, generator: PaperGenerator):
        context, synthesis = generator.context, generator.synthesis_net
        self._flow_net, self._mean = generator.flow_net, context.mean.float()
        self._dtype = context.weight.dtype
        # Four channels make pixels of 8 bytes, for frames and for corrected frames.
        self._context = FoldedConv(context.weight, context.bias, _FOLD, in_channels=4)
        # cuDNN wants multiples of 8 channels.
        self._channels = padded(context.channels + 3, 8)
        first, second, last = (x for x in synthesis if isinstance(x, torch.nn.Conv2d))
        self._synthesis = [
            FoldedConv(first.weight, first.bias, _FOLD, in_channels=self._channels),
            FoldedConv(second.weight, second.bias, _FOLD),
            FoldedConv(last.weight, last.bias, _FOLD, out_channels=4),
        ]

    def __call__(self, frame_1: Tensor, frame_2: Tensor, ts: Sequence[Tensor]) -> list[Tensor]:
        """
        Args:
            frame_1, frame_2: (N, 3, H, W) on the GPU of the weights, uint8 or float in [0, 1].
            ts: (N,) float32 in (0, 1), each.

        Returns:
            one (N, 3, H, W) per t, of the frames' dtype and memory format.
        """
        exact = [x.float() * scale_of(x) for x in (frame_1, frame_2)]
        padded = [pad_to_multiple(x, self._flow_net.size_divisibility) for x in exact]
        features = self._features(*exact)
        return [
            self._interpolate(frame_1, frame_2, features, self._motion(*padded, t), t) for t in ts
        ]

    def _features(self, frame_1: Tensor, frame_2: Tensor) -> Tensor:
        n, _, height, width = frame_1.shape
        frames = torch.zeros(
            2 * n, height, -(-width // _FOLD) * _FOLD, 4, dtype=self._dtype, device=frame_1.device
        )
        inner = frames[:, :, :width, :3].permute(0, 3, 1, 2)
        torch.sub(frame_1, self._mean, out=inner[:n])
        torch.sub(frame_2, self._mean, out=inner[n:])
        return self._context(frames)

    def _motion(self, frame_1: Tensor, frame_2: Tensor, t: Tensor) -> Tensor:
        with torch.autocast(frame_1.device.type, self._dtype, enabled=self._dtype != torch.float32):
            return self._flow_net.motion(frame_1, frame_2, t).contiguous()

    def _interpolate(
        self, frame_1: Tensor, frame_2: Tensor, features: Tensor, motion: Tensor, t: Tensor
    ) -> Tensor:
        width, (n, height, pitch, context) = frame_1.shape[3], features.shape
        n //= 2
        x = features.new_empty(n, height, pitch, self._channels)
        warp_blend(frame_1, frame_2, features, motion, t, x)
        coarse = x[:, :, :width, context : context + 3]
        for i, convolution in enumerate(self._synthesis):
            if i > 0:
                F.leaky_relu_(x, _SLOPE)
                x[:, :, width:] = 0  # as the convolutions' own padding
            x = convolution(x)
        pred = (coarse.float() + x[:, :, :width, :3]).clamp_(0, 1)
        if frame_1.dtype == torch.uint8:  # halves up, as evaluation.metrics.to_8bit
            pred = pred.mul_(255).add_(0.5)
        return torch.empty_like(frame_1).copy_(pred.permute(0, 3, 1, 2))
