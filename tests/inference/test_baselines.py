"""Baselines on frames whose motion is known."""

import pytest
import torch
import torch.nn.functional as F

from zoomin_d2.inference.baselines import BASELINES, average, dis, nearest


def _times(*values: float) -> torch.Tensor:
    return torch.tensor(values)


def test_average_weighs_by_time():
    frame_1, frame_2 = torch.full((2, 3, 4, 4), 0.2), torch.full((2, 3, 4, 4), 1.0)
    result = average(frame_1, frame_2, _times(0.5, 0.25))
    torch.testing.assert_close(result[:, 0, 0, 0], torch.tensor([0.6, 0.4]))


def test_nearest_frame_is_the_nearer():
    frame_1, frame_2 = torch.zeros(3, 3, 4, 4), torch.ones(3, 3, 4, 4)
    result = nearest(frame_1, frame_2, _times(0.4, 0.5, 0.6))
    assert result[:, 0, 0, 0].tolist() == [0.0, 0.0, 1.0]


@pytest.fixture
def moving_texture():
    """A function shift -> (1, 3, 96, 128), smooth noise moved right by `shift` pixels."""
    generator = torch.Generator().manual_seed(0)
    texture = F.interpolate(
        torch.rand(1, 3, 24, 40, generator=generator), scale_factor=4, mode="bicubic"
    ).clamp(0, 1)

    return lambda shift: texture[..., 16 - shift : 144 - shift]


@pytest.mark.parametrize("t", [0.25, 0.5, 0.75])
def test_dis_flow_follows_linear_motion(moving_texture, t):
    result = dis(moving_texture(0), moving_texture(8), _times(t))
    inside = (..., slice(16, -16), slice(16, -16))
    error = (result - moving_texture(int(8 * t)))[inside].abs().mean()
    unmoved = (average(moving_texture(0), moving_texture(8), _times(t)))[inside]
    assert error < 0.01
    assert (unmoved - moving_texture(int(8 * t))[inside]).abs().mean() > 0.05


@pytest.mark.parametrize("size", [(1, 1), (4, 16), (11, 40)])
def test_dis_takes_frames_of_any_size(size):
    frames = torch.rand(2, 1, 3, *size)
    assert dis(*frames, torch.tensor([0.5])).shape == (1, 3, *size)


@pytest.mark.parametrize("name", BASELINES)
def test_swapping_frames_and_time(moving_texture, name):
    frame_1, frame_2 = moving_texture(0), moving_texture(5)
    result = BASELINES[name](frame_1, frame_2, _times(0.3))
    mirrored = BASELINES[name](frame_2, frame_1, _times(0.7))
    torch.testing.assert_close(result, mirrored, atol=1e-5, rtol=0)
    assert result.shape == frame_1.shape
