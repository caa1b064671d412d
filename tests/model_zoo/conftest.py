"""Generators for the tests of this room: the paper's, and simple arithmetic."""

import pytest
import torch
from torch import nn

from zoomin_d2.modeling import GeneratorOutput, build_generator
from zoomin_d2.modeling.generator_options import generator_options


class WeightedAverage(nn.Module):
    """(1 - t) frame_1 + t frame_2, and a count of what was asked."""

    def __init__(self):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(1))
        self.num_calls = 0

    def forward(self, frame_1, frame_2, t):
        self.num_calls += 1
        t = t.view(-1, 1, 1, 1)
        pred = ((1 - t) * frame_1.float() + t * frame_2.float()) * self.gain
        flow = pred.new_zeros(len(pred), 2, *pred.shape[-2:])
        return GeneratorOutput(pred, pred, flow, flow, flow[:, :1])


@pytest.fixture
def weighted_average():
    return WeightedAverage()


@pytest.fixture
def small_generator(small_cfg):
    """(generator with weights that do something, its options)."""
    torch.manual_seed(0)
    generator = build_generator(small_cfg).eval()
    for parameter in generator.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    return generator, generator_options(small_cfg)
