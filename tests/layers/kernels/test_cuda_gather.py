"""What a level reads, by its CUDA kernel on a CPU, is what PyTorch's operators make of it."""

import shutil

import pytest
import torch
import torch.nn.functional as F

pytest.importorskip("triton")

from tests.helpers.cuda_on_cpu import on_cpu
from zoomin_d2.layers import backward_warp
from zoomin_d2.layers.kernels import warp

pytestmark = [
    pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++"),
    pytest.mark.usefixtures("ampere"),
]
HALF, BFLOAT = torch.float16, torch.bfloat16


@pytest.fixture
def ampere(monkeypatch):
    torch.manual_seed(0)
    monkeypatch.setattr(warp, "compute_capability", lambda x: 80)


def planes_of(x):
    return x.permute(0, 3, 1, 2)


def finer_of(motion):
    motion = F.interpolate(motion, scale_factor=2, mode="bilinear", align_corners=False)
    return torch.cat((motion[:, :4] * 2, motion[:, 4:]), 1)


def expected_of(features, motion, hidden, t, out, first, last):
    """What `gather_level` makes of the buffer, (N, D, h, w), and the finer motion."""
    n, height, width, _ = out.shape
    t = t.view(-1, 1, 1, 1)
    expected = planes_of(out).float()
    finer = torch.zeros(n, 5, height, width) if motion is None else finer_of(motion)
    for k, factor in enumerate((2 * t, 2 * (1 - t))):
        part = planes_of(features)[k * n : (k + 1) * n, :first].float()
        if motion is not None:
            part = backward_warp(part, finer[:, 2 * k : 2 * k + 2] * factor)
        expected[:, k * first : (k + 1) * first] = part
    expected[:, max(last - 8, 2 * first) :] = 0
    if hidden is not None:
        below = F.pixel_shuffle(planes_of(hidden).float(), 2)
        expected[:, last : last + below.shape[1]] = below
        last += below.shape[1]
    expected[:, last : last + 5] = finer
    expected[:, last + 5] = (t - 0.5).squeeze(1)
    return expected, finer


@pytest.mark.parametrize("many", [False, True])
@pytest.mark.parametrize(
    "size, scale, channels, first, last, hidden, total, dtype",
    [
        ((1, 10, 38), 2.0, 32, 24, 48, 16, 80, HALF),  # the two finest levels of `fast`
        ((2, 18, 10), 2.0, 48, 40, 112, 24, 144, HALF),
        ((2, 4, 6), 60.0, 24, 24, 64, 12, 96, HALF),  # far outside; hidden ends within a chunk
        ((1, 12, 20), 3.0, 32, 16, 40, 7, 64, HALF),  # so that motion needs two chunks
        ((2, 6, 34), 3.0, 64, 64, 184, 32, 224, BFLOAT),
        ((1, 2, 2), 3.0, 8, 8, 16, 0, 32, HALF),  # no hidden
    ],
)
def test_level(
    tmp_path, monkeypatch, many, size, scale, channels, first, last, hidden, total, dtype
):
    monkeypatch.setattr(warp, "_MANY_PIXELS", 0 if many else 2**30)
    n, height, width = size
    half = n, height // 2, width // 2
    features = torch.randn(2 * n, height, width, channels).to(dtype)
    motion = torch.randn(n, 5, *half[1:]) * scale
    motion[..., :1, :1] = 0  # nothing moves: weights are zero or one
    below = torch.randn(*half, 4 * hidden + 8).to(dtype)
    below = torch.cat((below, below), 3)[..., : 4 * hidden] if hidden else None
    t, out = torch.tensor([0.3, 0.875])[:n], torch.randn(n, height, width, total).to(dtype)
    expected, finer = expected_of(features, motion, below, t, out, first, last)
    with on_cpu(tmp_path) as launched:
        found = warp.gather_level(features, motion, below, t, out, first, last)
    assert launched == ["gather_level"]
    torch.testing.assert_close(found, finer, rtol=1e-5, atol=1e-5 * scale)
    tolerance, made = torch.finfo(dtype).eps, planes_of(out).float()
    torch.testing.assert_close(made, expected, rtol=tolerance, atol=1e-4 * scale)
    beside = made[:, 2 * first : max(last - 8, 2 * first)]
    assert torch.equal(beside, expected[:, 2 * first : max(last - 8, 2 * first)])


@pytest.mark.parametrize(
    "size, first, last, total", [((2, 5, 11), 24, 72, 80), ((1, 9, 8), 96, 192, 208)]
)
def test_coarsest_level(tmp_path, size, first, last, total):
    n, height, width = size  # odd ones, too
    features = torch.randn(2 * n, height, width, first + 8).half()
    t, out = torch.tensor([0.25, 0.75])[:n], torch.randn(*size, total).half()
    expected, _ = expected_of(features, None, None, t, out, first, last)
    with on_cpu(tmp_path) as launched:
        assert warp.gather_level(features, None, None, t, out, first, last) is None
    assert launched == ["gather_level"]
    assert torch.equal(planes_of(out), expected.half())


def test_hidden_without_motion(tmp_path):
    features, below = torch.randn(2, 6, 10, 8).half(), torch.randn(1, 3, 5, 40).half()
    t, out = torch.tensor([0.25]), torch.randn(1, 6, 10, 48).half()
    expected, _ = expected_of(features, None, below, t, out, 8, 24)
    with on_cpu(tmp_path):
        warp.gather_level(features, None, below, t, out, 8, 24)
    assert torch.equal(planes_of(out), expected.half())


def test_what_does_not_fit():
    features, motion = torch.randn(2, 4, 4, 16).half(), torch.randn(1, 5, 2, 2)
    t, out = torch.tensor([0.5]), torch.randn(1, 4, 4, 48).half()

    def fits(features=features, motion=motion, hidden=None, out=out, first=16, last=32):
        return warp._fits_cuda(features, motion, hidden, t, out, first, last)

    assert fits()
    assert not fits(features.float(), out=out.float())
    assert not fits(first=12)
    assert not fits(last=36)
    assert not fits(last=24)
    assert not fits(hidden=torch.randn(1, 2, 2, 20)[..., :16].half().permute(0, 2, 1, 3))
    assert not fits(hidden=torch.randn(1, 2, 2, 20).half()[..., :16])  # not on 16 bytes
    assert not fits(hidden=torch.randn(1, 2, 2, 44).half())  # nowhere to put it
    assert not fits(torch.randn(2, 4, 4, 24).half()[..., 4:20])
    assert not fits(features[:, :3], out=out[:, :3])
