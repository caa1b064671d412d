"""A generator of your own: registered by name, called with (frame_1, frame_2, t).

Here: one convolution that guesses both flows at once; the rest comes from the package's layers.
"""

import torch
from torch import nn

from zoomin_d2.generators import GENERATORS, GeneratorOutput
from zoomin_d2.layers import backward_warp, blend


class TinyGenerator(nn.Module):
    context = None  # no copy of the detector's first convolution

    def __init__(self):
        super().__init__()
        self.flows = nn.Conv2d(6, 4, kernel_size=3, padding=1)

    def forward(
        self, frame_1: torch.Tensor, frame_2: torch.Tensor, t: torch.Tensor
    ) -> GeneratorOutput:
        flow_1t, flow_2t = self.flows(torch.cat((frame_1, frame_2), dim=1)).chunk(2, dim=1)
        mask = (1 - t).view(-1, 1, 1, 1).expand_as(flow_1t[:, :1])
        frame = blend(backward_warp(frame_1, flow_1t), backward_warp(frame_2, flow_2t), mask)
        return GeneratorOutput(frame, frame, flow_1t, flow_2t, mask)


# Called with the keys of MODEL.GENERATOR.TINY, in lower case, if a yaml has such a node.
GENERATORS["tiny"] = TinyGenerator

# MODEL.GENERATOR.NAME tiny now trains, evaluates and exports it. In the package: a file in
# zoomin_d2/generators/, listed in its build.py.
