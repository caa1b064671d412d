"""The cost volume's CUDA kernel, on a CPU, is layers.correlation.bilateral_correlation."""

import shutil

import pytest
import torch

pytest.importorskip("triton")

from tests.helpers.cuda_on_cpu import on_cpu
from zoomin_d2.layers import bilateral_correlation
from zoomin_d2.layers.kernels import correlation

pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++")


@pytest.mark.parametrize(
    "n, height, width, channels, radius, dtype",
    [
        (1, 5, 7, 24, 1, torch.float16),
        (1, 9, 27, 32, 2, torch.float16),
        (2, 13, 30, 64, 3, torch.float16),
        (2, 7, 53, 96, 4, torch.float16),  # groups of displacements
        (1, 6, 20, 8, 4, torch.float16),
        (1, 9, 30, 96, 4, torch.bfloat16),
    ],
)
def test_volume(tmp_path, monkeypatch, n, height, width, channels, radius, dtype):
    monkeypatch.setattr(correlation, "compute_capability", lambda x: 80)
    start, end = 2 * channels, 2 * channels + (2 * radius + 1) ** 2
    buffer = torch.randn(n, height, width, -(-end // 16) * 16 + 16).to(dtype)
    before, planes = buffer.clone(), buffer.permute(0, 3, 1, 2)
    features = planes[:, :channels], planes[:, channels:start]
    expected = bilateral_correlation(*(x.double() for x in features), radius)
    with on_cpu(tmp_path) as launched:
        correlation.correlate_into(*features, planes[:, start:end], radius)
    assert launched == ["correlation"]
    found = planes[:, start:end].double()
    torch.testing.assert_close(found, expected, rtol=torch.finfo(dtype).eps, atol=1e-5)
    assert torch.equal(buffer[..., :start], before[..., :start])
    assert torch.equal(buffer[..., end:], before[..., end:])
