"""zoomin_d2.layers.kernels.correlation against the definitions: on a GPU, or interpreted."""

import os
import subprocess
import sys

import pytest
import torch

pytest.importorskip("triton")

CASES = """
import torch
from zoomin_d2.layers.kernels import correlation as triton_correlation
from zoomin_d2.layers.correlation import bilateral_correlation

device = "cuda" if torch.cuda.is_available() else "cpu"
random = torch.Generator().manual_seed(0)
for size, radius, dtype, layout in (
    ((1, 5, 6, 7), 1, torch.float32, torch.contiguous_format),
    ((2, 20, 5, 9), 2, torch.float32, torch.channels_last),
    ((1, 8, 3, 4), 3, torch.float16, torch.channels_last),  # wider than the frame
):
    a, b = (torch.randn(size, generator=random).to(device, dtype, memory_format=layout)
            for _ in range(2))
    with torch.no_grad():
        expected = bilateral_correlation(a.float(), b.float(), radius)
        found = triton_correlation.bilateral_correlation(a, b, radius)
    assert found.dtype == dtype and found.shape == expected.shape
    torch.testing.assert_close(found.float(), expected, atol=1e-5 if dtype == torch.float32
                               else 5e-3, rtol=1e-3 if dtype == torch.float16 else 1e-5)
    assert expected.std() > 0.1
    if dtype == torch.float32:
        pair, same = ([x.clone().requires_grad_() for x in (a, b)] for _ in range(2))
        weight = torch.randn(expected.shape, generator=random).to(device)
        (bilateral_correlation(*pair, radius) * weight).sum().backward()
        (triton_correlation.bilateral_correlation(*same, radius) * weight).sum().backward()
        for x, y in zip(pair, same):
            torch.testing.assert_close(y.grad, x.grad, atol=1e-4, rtol=1e-4)
print("equal")
"""


@pytest.mark.gpu
def test_equal_to_the_definitions():
    # Triton decides when it is imported whether it compiles or interprets.
    environment = {**os.environ}
    if not torch.cuda.is_available():
        environment["TRITON_INTERPRET"] = "1"
    result = subprocess.run(
        [sys.executable, "-c", CASES], env=environment, capture_output=True, text=True
    )
    assert result.stdout.strip().endswith("equal"), result.stderr[-2000:]


def test_one_operator_to_those_that_trace():
    from zoomin_d2.layers.kernels import correlation as triton_correlation

    class Network(torch.nn.Module):
        def forward(self, a, b):
            return triton_correlation.bilateral_correlation(a * 2, b, 1)

    program = torch.export.export(Network(), tuple(torch.rand(2, 1, 4, 5, 6)))
    operators = [str(x.target) for x in program.graph.nodes if x.op == "call_function"]
    assert operators == ["aten.mul.Tensor", "zoomin_d2.bilateral_correlation.default"]
    (volume,) = [x.meta["val"] for x in program.graph.nodes if "correlation" in str(x.target)]
    assert volume.shape == (1, 9, 5, 6)
