"""The cost volume: which displacement is which channel, and the ways to compute it."""

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from tests.helpers.compiled_graphs import compiled_nodes
from zoomin_d2.layers import bilateral_correlation


def test_moving_point_is_half_way():
    """From (x, y) = (3, 4) to (5, 2): at (4, 3) the displacement is (+1, -1)."""
    frame_1, frame_2 = torch.zeros(2, 1, 4, 7, 8)
    frame_1[0, :, 4, 3] = 1
    frame_2[0, :, 2, 5] = 1
    volume = bilateral_correlation(frame_1, frame_2, radius=2)
    assert volume.shape == (1, 25, 7, 8)
    dx, dy = 1, -1
    channel = (dy + 2) * 5 + (dx + 2)
    assert volume[0, channel, 3, 4] == 4 / 4**0.5
    assert volume.count_nonzero() == 1


def test_radius_zero_is_the_dot_product():
    a, b = torch.randn(2, 2, 9, 4, 5)
    expected = (a * b).sum(1, keepdim=True) / 3
    assert torch.allclose(bilateral_correlation(a, b, 0), expected, atol=1e-6)


def test_with_and_without_gradient_are_equal():
    a, b = torch.randn(2, 2, 6, 5, 7)
    with_gradient = bilateral_correlation(a.requires_grad_(), b, 2)
    with torch.no_grad():
        assert torch.allclose(bilateral_correlation(a, b, 2), with_gradient, atol=1e-6)
        # A GPU's way, by rows of displacements.
        by_rows = bilateral_correlation(a.half(), b.half(), 2).float()
        assert torch.allclose(by_rows, with_gradient, atol=0.01)


@pytest.mark.parametrize("radius", [1, 2, 3, 4])
@pytest.mark.parametrize("width", [1, 8, 9, 12, 31])
def test_rows_of_one_and_of_several_pieces(width, radius):
    a, b = torch.randn(2, 2, 6, 5, width)
    with_gradient = bilateral_correlation(a.requires_grad_(), b, radius)
    with torch.no_grad():
        by_products = bilateral_correlation(a, b, radius)
    torch.testing.assert_close(by_products, with_gradient.detach(), atol=1e-5, rtol=0)


def test_swapped_frames_mirror_displacements():
    a, b = torch.randn(2, 1, 6, 5, 7)
    swapped = bilateral_correlation(b, a, 1).flip(1)
    assert torch.allclose(bilateral_correlation(a, b, 1), swapped, atol=1e-6)


@pytest.mark.parametrize("trains", [True, False])
def test_compiled_training_uses_the_kernel(trains):
    pytest.importorskip("triton")

    def volume(features):
        return bilateral_correlation(features, features, 2)

    with FakeTensorMode(), torch.set_grad_enabled(trains):  # a GPU that need not exist
        features = torch.empty(1, 8, 6, 6, device="cuda", requires_grad=trains)
        result, nodes = compiled_nodes(volume, features)
    assert result.shape == (1, 25, 6, 6)
    operators = [str(node.target) for node in nodes]
    assert ("zoomin_d2.bilateral_correlation.default" in operators) == trains
