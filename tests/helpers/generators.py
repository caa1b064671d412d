"""Generators for the tests of this room: the paper's, and simple arithmetic."""

import pytest
import torch

from tests.helpers.weighted_average import WeightedAverage
from zoomin_d2.modeling import build_generator
from zoomin_d2.modeling.generator_options import generator_options


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
