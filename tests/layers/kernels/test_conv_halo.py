"""The CUDA convolution of layers.kernels.conv_halo, on a CPU, is `FusedConv.reference`."""

import shutil

import pytest
import torch
from torch import nn

pytest.importorskip("triton")

from tests.helpers.cuda_on_cpu import on_cpu
from zoomin_d2.layers.kernels import conv_halo
from zoomin_d2.layers.kernels.conv import FusedConv, padded
from zoomin_d2.layers.kernels.launch import instead_of_launching
from zoomin_d2.layers.kernels.tiles import HaloTile

pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++")


@pytest.mark.parametrize(
    "size, inputs, outputs, stride, dilation, added, tile, dtype",
    [
        ((1, 9, 70), 32, 32, 1, 1, False, HaloTile(32, 32, 4, 2, 2, 2), torch.float16),
        ((1, 7, 140), 40, 20, 1, 2, True, HaloTile(32, 16, 2, 1, 3, 2), torch.float16),
        ((2, 5, 33), 64, 96, 1, 1, True, HaloTile(48, 64, 2, 1, 2, 1, False), torch.bfloat16),
        ((2, 11, 131), 32, 48, 2, 1, False, HaloTile(24, 16, 1, 2, 3, 2), torch.float16),
        # Defaults of tiles.py.
        ((1, 9, 140), 32, 40, 2, 1, False, HaloTile(48, 32, 1, 2, 2, 2), torch.float16),
        ((1, 10, 70), 64, 32, 1, 1, False, HaloTile(32, 32, 4, 2, 3, 1), torch.float16),
        ((1, 6, 70), 64, 32, 1, 1, False, HaloTile(32, 64, 2, 2, 3, 1), torch.float16),
        ((1, 6, 70), 96, 96, 1, 2, True, HaloTile(96, 16, 2, 2, 3, 1), torch.float16),
        ((1, 6, 70), 128, 128, 1, 1, True, HaloTile(64, 32, 2, 2, 3, 1), torch.float16),
    ],
)
def test_activations(tmp_path, size, inputs, outputs, stride, dilation, added, tile, dtype):
    torch.manual_seed(0)
    conv = nn.Conv2d(inputs, outputs, 3, stride, dilation, dilation).to(dtype)
    fused = FusedConv(conv, 0.1)
    # Slices of wider buffers: what is beside them must not matter, nor be overwritten.
    x = torch.randn(*size, fused.channels + 16).to(dtype)[..., : fused.channels]
    n, height, width = size[0], *fused.out_size(*size[1:])
    channels = padded(outputs)
    whole = torch.randn(n, height, width, channels + 16).to(dtype)
    out, beside = whole[..., :channels], whole[..., channels:].clone()
    residual = torch.randn(n, height, width, channels).to(dtype) if added else None
    run(fused, x, out, residual, tile, tmp_path)
    expected = fused.reference(x, residual[..., :outputs] if added else None)
    tolerance = 2e-3 if dtype == torch.float16 else 2e-2
    torch.testing.assert_close(out[..., :outputs].float(), expected, atol=tolerance, rtol=tolerance)
    assert torch.equal(whole[..., channels:], beside)
    assert added or (out[..., outputs:] == 0).all()


@pytest.mark.parametrize("added", [False, True])
def test_planes_of_a_head(tmp_path, added):
    torch.manual_seed(0)
    fused = FusedConv(nn.Conv2d(48, 5, 3, padding=1).half())
    x = torch.randn(2, 9, 67, 48).half()
    planes = torch.full((2, 7, 9, 67), 9.0)
    residual = torch.randn(2, 5, 9, 67).permute(0, 2, 3, 1) if added else None
    run(
        fused,
        x,
        planes[:, 1:6].permute(0, 2, 3, 1),
        residual,
        HaloTile(8, 16, 4, 1, 2, 2),
        tmp_path,
    )
    expected = fused.reference(x, residual).permute(0, 3, 1, 2)
    torch.testing.assert_close(planes[:, 1:6], expected, atol=1e-5, rtol=1e-5)
    assert (planes[:, [0, 6]] == 9).all()


@pytest.mark.parametrize(
    "change, kernel",
    [
        ({}, "conv_halo"),
        ({"dtype": torch.float32}, "_conv_kernel"),
        ({"offset": 4}, "_conv_kernel"),  # not on 16 bytes
        ({"slope": 1.5}, "_conv_kernel"),
        ({"dilation": 5}, "_conv_kernel"),
        ({"stride": 3}, "_conv_kernel"),
        ({"kernel_size": 1, "padding": 0}, "_conv_kernel"),
        ({"capability": 80}, "_conv_kernel"),
        ({"written": 16}, "_conv_kernel"),  # what follows must not be overwritten
        ({"written": 48}, "_conv_kernel"),
    ],
)
def test_only_what_fits_goes_there(monkeypatch, change, kernel):
    change = dict(change)
    capability = change.pop("capability", 90)
    monkeypatch.setattr(conv_halo, "compute_capability", lambda x: capability)
    offset, slope = change.pop("offset", 0), change.pop("slope", 0.1)
    written = change.pop("written", 32)
    conv = nn.Conv2d(32, 32, **{"kernel_size": 3, "padding": 1, "dtype": torch.half, **change})
    fused = FusedConv(conv, slope)
    dtype = conv.weight.dtype
    x = torch.zeros(64, 64, 64, 40, dtype=dtype)[..., offset : offset + 32]
    out = torch.zeros(64, *fused.out_size(64, 64), 48, dtype=dtype)[..., :written]
    names = []
    with instead_of_launching(lambda kernel, *_: names.append(kernel.__name__)):
        fused(x, out)
    assert names == [kernel]


def run(fused, x, out, residual, tile, folder):
    with on_cpu(folder) as launched:
        fused._launch(x, out, residual, tile)
    assert launched == ["conv_halo"]
