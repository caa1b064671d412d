"""Models by name, and motion estimated on smaller frames."""

import pytest
import torch
from torch import nn

from zoomin_d2.cli.models import load_model
from zoomin_d2.generators import GeneratorOutput
from zoomin_d2.inference.flow_scale import FlowScaled
from zoomin_d2.inference.interpolator import Interpolator
from zoomin_d2.layers import backward_warp, blend


class _Shift(nn.Module):
    """Knows that everything moves by `pixels` of its own grid to the right, from 1 to 2."""

    def __init__(self, pixels: float):
        super().__init__()
        self.pixels = pixels
        self.weight = nn.Parameter(torch.zeros(1))
        self.sizes = []

    def forward(self, frame_1, frame_2, t):
        self.sizes.append(tuple(frame_1.shape[-2:]))
        flow_1t = frame_1.new_zeros(len(frame_1), 2, *frame_1.shape[-2:])
        flow_2t = flow_1t.clone()
        flow_1t[:, 0] = -self.pixels * t.view(-1, 1, 1)
        flow_2t[:, 0] = self.pixels * (1 - t).view(-1, 1, 1)
        mask = (1 - t).view(-1, 1, 1, 1).expand(-1, 1, *frame_1.shape[-2:])
        frame = blend(backward_warp(frame_1, flow_1t), backward_warp(frame_2, flow_2t), mask)
        return GeneratorOutput(frame, frame, flow_1t, flow_2t, mask)


def _pair(shift):
    """A texture, and the same `shift` pixels to the right."""
    texture = torch.rand(1, 3, 64, 200, generator=torch.Generator().manual_seed(0))
    return texture[..., 40:168], texture[..., 40 - shift : 168 - shift], texture


def test_flow_of_half_the_size_moves_full_frames_twice_as_far():
    frame_1, frame_2, texture = _pair(8)
    network = _Shift(4.0)  # on half the grid
    made = FlowScaled(Interpolator(network, device="cpu"), 0.5)(frame_1, frame_2, [0.25, 0.5])
    assert network.sizes == [(32, 64)] * 2
    for frame, shift in zip(made, (2, 4)):
        expected = texture[..., 40 - shift : 168 - shift]
        assert torch.allclose(frame[..., 16:-16], expected[..., 16:-16], atol=1e-3)


@pytest.mark.parametrize("scale", [0, -1, 2])
def test_scales_that_make_no_sense(scale):
    with pytest.raises(ValueError, match="must be above 0"):
        FlowScaled(Interpolator(_Shift(0.0), device="cpu"), scale)


@pytest.mark.parametrize("name", ["average", "nearest", "dis"])
def test_methods_without_learning(name):
    frame_1, frame_2, _ = _pair(2)
    made = load_model(name).interpolate(frame_1, frame_2, [0.25, 0.5])
    assert len(made) == 2 and made[0].shape == frame_1.shape
    if name == "average":
        assert torch.allclose(made[0], 0.75 * frame_1 + 0.25 * frame_2)
