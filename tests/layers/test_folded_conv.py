"""zoomin_d2.layers.folded_conv: the sums of an ordinary convolution."""

import pytest
import torch
import torch.nn.functional as F

from zoomin_d2.layers.folded_conv import FoldedConv


def test_one_pixel_by_hand():
    weight = torch.tensor([[[[0.0, 0, 0], [1, 10, 100], [0, 0, 0]]]])
    x = torch.tensor([1.0, 2, 3, 4]).view(1, 1, 4, 1)
    folded = FoldedConv(weight, torch.tensor([0.5]), fold=2)
    # 10 of the pixel itself, 1 of its left, 100 of its right neighbour, zeros beyond the row.
    assert folded(x).flatten().tolist() == [210.5, 321.5, 432.5, 43.5]


@pytest.mark.parametrize("fold", [1, 2, 3, 4])
@pytest.mark.parametrize("kernel", [1, 3, 7, 9])
def test_equal_to_a_convolution(kernel, fold):
    torch.manual_seed(0)
    weight, bias = torch.randn(5, 3, kernel, kernel), torch.randn(5)
    x = torch.randn(2, 6, 12, 8)  # what lies in channels 3 to 7 must not matter
    expected = F.conv2d(x[..., :3].permute(0, 3, 1, 2), weight, bias, padding=kernel // 2)
    found = FoldedConv(weight, bias, fold, in_channels=8, out_channels=8)(x)
    assert found.shape == (2, 6, 12, 8) and found.is_contiguous()
    torch.testing.assert_close(found[..., :5].permute(0, 3, 1, 2), expected, atol=1e-4, rtol=1e-5)
    assert (found[..., 5:] == 0).all()


def test_width_that_cannot_be_folded():
    folded = FoldedConv(torch.randn(2, 3, 3, 3), torch.randn(2), fold=4)
    with pytest.raises(ValueError, match=r"multiple of 4, got \(1, 5, 6, 3\)"):
        folded(torch.randn(1, 5, 6, 3))
