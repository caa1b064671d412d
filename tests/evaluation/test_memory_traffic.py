"""zoomin_d2.evaluation.memory_traffic against bytes counted by hand."""

import pytest
import torch
from torch import nn

from zoomin_d2.evaluation.memory_traffic import count_traffic, count_triton_traffic


class Simple(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 1)

    def forward(self, frame_1, frame_2, t):
        x = self.conv(frame_1)  # kernel 1
        x = x.relu_()  # kernel 2: in place, read and written
        return (x[:, :3] + frame_2).view(1, 3, -1)  # kernel 3; slice and view are free


def test_by_hand():
    traffic = count_traffic(Simple(), 8, 10)
    pixels, half = 80, 2
    weights = (12 + 4) * half
    conv = (3 + 4) * pixels * half + weights
    relu = 2 * 4 * pixels * half
    add = 3 * 3 * pixels * half
    assert traffic.num_kernels == 3
    assert traffic.by_operator == {"convolution": conv, "relu_": relu, "add": add}
    assert traffic.total == conv + relu + add
    assert traffic.by_part == {"conv": (conv, 1), "(rest)": (relu + add, 2)}
    assert traffic.unavoidable == weights + 3 * 3 * pixels * half
    assert count_traffic(Simple(), 8, 10, torch.float32).total == 2 * traffic.total


def test_triton_kernels_by_hand():
    pytest.importorskip("triton")
    from zoomin_d2.layers.kernels.correlation import correlate_into

    features = torch.zeros(2, 1, 16, 4, 5)
    volume = torch.zeros(1, 9, 4, 5)
    ((name, moved),) = count_triton_traffic(lambda: correlate_into(*features, volume, 1))
    assert name == "correlation_kernel"
    assert moved == (2 * 16 + 9) * 20 * 4
