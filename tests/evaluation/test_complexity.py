"""zoomin_d2.evaluation.complexity against numbers worked out by hand."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from zoomin_d2.evaluation.complexity import count_macs, count_macs_of_call, count_parameters
from zoomin_d2.modeling import build_generator


def _count(call, height=8, width=10):
    return count_macs_of_call(call, height, width).by_operation


@pytest.mark.parametrize(
    "conv, size, macs",
    [
        # out channels * in channels / groups * kernel area * output pixels
        (nn.Conv2d(3, 8, 3, padding=1), (8, 10), 8 * 3 * 9 * 80),
        (nn.Conv2d(3, 8, 3, padding=1, stride=2), (8, 10), 8 * 3 * 9 * 20),
        (nn.Conv2d(4, 4, 5, padding=2, groups=4), (8, 10), 4 * 1 * 25 * 80),
        (nn.Conv2d(4, 6, 1), (8, 10), 6 * 4 * 80),
        # every input pixel is spread over the kernel: in * out * area * input pixels
        (nn.ConvTranspose2d(4, 6, 4, stride=2, padding=1), (8, 10), 4 * 6 * 16 * 80),
    ],
)
def test_convolutions(conv, size, macs):
    x = torch.zeros(1, conv.in_channels, *size)
    assert _count(lambda: conv(x))["convolution"] == macs


def test_matrix_products():
    a, b = torch.zeros(2, 5, 7), torch.zeros(2, 7, 3)
    assert _count(lambda: a @ b)["matmul"] == 2 * 5 * 7 * 3
    # A correlation volume: every position of one row with every one of the other, 16 channels.
    f = torch.zeros(1, 16, 4, 6)
    assert _count(lambda: torch.einsum("nchw,nchv->nhwv", f, f))["matmul"] == 16 * 4 * 6 * 6


def test_sampling_and_resizing_count_taps():
    x, grid = torch.zeros(1, 3, 8, 10), torch.zeros(1, 4, 5, 2)
    assert _count(lambda: F.grid_sample(x, grid, align_corners=True))["sampling"] == 4 * 3 * 20
    bicubic = _count(lambda: F.grid_sample(x, grid, mode="bicubic", align_corners=True))
    assert bicubic["sampling"] == 16 * 3 * 20
    resized = _count(lambda: F.interpolate(x, scale_factor=2, mode="bilinear"))
    assert resized == {"convolution": 0, "matmul": 0, "sampling": 0, "resizing": 4 * 3 * 16 * 20}


def test_arithmetic_per_value_is_not_counted():
    x = torch.ones(1, 3, 8, 10)
    assert count_macs_of_call(lambda: torch.sigmoid(x * x + x), 8, 10).total == 0


def test_items_of_a_module_list_are_parts():
    class Levels(nn.Module):
        def __init__(self):
            super().__init__()
            self.levels = nn.ModuleList([nn.Conv2d(3, 3, 1), nn.Conv2d(3, 5, 1)])

        def forward(self, frame_1, frame_2, t):
            return self.levels[1](self.levels[0](frame_1))

    macs = count_macs(Levels(), 8, 10)
    assert macs.by_part == {"levels.0": 9 * 80, "levels.1": 15 * 80, "(rest)": 0}


def test_paper_generator_by_hand(small_cfg):
    """FLOW_CHANNELS [8, 8, 8] at 16 x 32, SYNTHESIS 4 channels of 3 x 3, context 64 of 7 x 7."""
    generator = build_generator(small_cfg)
    macs = count_macs(generator, 16, 32)
    pixels = 16 * 32
    context = 2 * 64 * 3 * 49 * pixels
    synthesis = (67 * 4 + 4 * 4 + 4 * 3) * 9 * pixels
    levels = [pixels // 4, pixels // 16, pixels // 64]
    encoder = (7 * 8 * 49 + 8 * 8 * 9) * levels[0] + 2 * 8 * 8 * 9 * (levels[1] + levels[2])
    decoder = (16 * 8 + 8 * 8) * 9 * (levels[0] + levels[1])
    heads = 8 * 5 * 9 * sum(levels)
    assert macs.by_operation["convolution"] == context + synthesis + encoder + decoder + heads
    assert macs.by_operation["sampling"] == 2 * 4 * 67 * pixels
    assert macs.by_part["context"] == context
    assert macs.by_part["synthesis_net"] == synthesis
    assert macs.by_part["(rest)"] == macs.by_operation["sampling"]
    assert macs.kilo_per_pixel == macs.total / pixels / 1000
    # The generator itself is untouched: still in training mode, still with values.
    assert generator.training
    assert next(generator.parameters()).device.type == "cpu"


def test_any_size_and_8k_cost_nothing(small_cfg):
    generator = build_generator(small_cfg)
    small, large = count_macs(generator, 64, 64), count_macs(generator, 4320, 7680)
    assert large.kilo_per_pixel == pytest.approx(small.kilo_per_pixel, rel=0.01)
    padded = count_macs(generator, 57, 64)  # padded to 64 x 64 in the flow network
    assert padded.by_part["flow_net"] == pytest.approx(small.by_part["flow_net"], rel=0.02)
    assert padded.kilo_per_pixel > small.kilo_per_pixel


def test_parameters(small_cfg):
    assert count_parameters(nn.Conv2d(3, 8, 3)) == (8 * 3 * 9 + 8, 0)
    generator = build_generator(small_cfg)
    learnt, frozen = count_parameters(generator)
    assert frozen == 64 * 3 * 49 + 64 + 3
    assert learnt == sum(p.numel() for p in generator.parameters())
