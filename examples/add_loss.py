"""A loss of your own: a pure function, and one more key in the model's dict of losses.

Here: the Laplacian of the frames must agree. Every value of the dict adds to the total loss; all
are logged, and those whose key contains "loss" are printed.
"""

import torch
import torch.nn.functional as F
from detectron2.modeling import META_ARCH_REGISTRY

from zoomin_d2.generators.paper import GeneratorOutput
from zoomin_d2.modeling.meta_arch import FrameInterpolator

WEIGHT = 10.0  # applied here, once


def laplacian_loss(frame: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Mean absolute difference of the 3 x 3 Laplacian; (N, 3, H, W) in [0, 1] -> scalar."""
    kernel = frame.new_tensor([[0, 1, 0], [1, -4, 1], [0, 1, 0]]).expand(3, 1, 3, 3)
    return F.conv2d(frame - target, kernel, groups=3).abs().mean()


@META_ARCH_REGISTRY.register()
class LaplacianInterpolator(FrameInterpolator):
    def synthesis_losses(self, outputs: GeneratorOutput, frame_t: torch.Tensor) -> dict:
        losses = super().synthesis_losses(outputs, frame_t)
        losses["loss_edges"] = WEIGHT * laplacian_loss(outputs.pred_frame, frame_t)
        return losses


# MODEL.META_ARCHITECTURE LaplacianInterpolator now trains with it. In the package: the function in
# zoomin_d2/modeling/losses.py, the key in FrameInterpolator, its weight in config.py.
