"""zoomin_d2.evaluation.lpips: against an independent computation, identities and monotonicity."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from zoomin_d2.evaluation import lpips
from zoomin_d2.evaluation.lpips import LPIPS, MissingLPIPSWeightsError, read_lpips_weights

CHANNELS = [(3, 64, 11), (64, 192, 5), (192, 384, 3), (384, 256, 3), (256, 256, 3)]


def _random_weights():
    """Of the real shapes, so that all but the real numbers is tested without the real file."""
    rng = np.random.default_rng(0)
    convolutions, linears = {}, {}
    for i, (c_in, c_out, kernel) in enumerate(CHANNELS):
        std = (2 / (c_in * kernel**2)) ** 0.5
        convolutions[f"Conv_{i}"] = {
            "kernel": rng.normal(0, std, (kernel, kernel, c_in, c_out)).astype(np.float32),
            "bias": rng.normal(0, 0.1, c_out).astype(np.float32),
        }
        linear = rng.random((1, 1, c_out, 1), dtype=np.float32)
        linears[f"NetLinLayer_{i}"] = {"Conv_0": {"kernel": linear}}
    return {"AlexNet_0": convolutions, **linears}


@pytest.fixture(scope="module")
def real():
    try:
        return LPIPS()
    except MissingLPIPSWeightsError as error:
        pytest.skip(str(error))


def _frames(height=64, width=80, n=2):
    generator = torch.Generator().manual_seed(0)
    smooth = torch.rand(n, 3, height // 8, width // 8, generator=generator)
    return nn.functional.interpolate(smooth, size=(height, width), mode="bicubic").clamp(0, 1)


def _independent_lpips(weights, pred, truth):
    """Written from the paper with torch's modules, one image at a time, in float64."""
    convolutions = []
    for (c_in, c_out, kernel), stride, padding, arrays in zip(
        CHANNELS, (4, 1, 1, 1, 1), (2, 2, 1, 1, 1), weights["AlexNet_0"].values()
    ):
        conv = nn.Conv2d(c_in, c_out, kernel, stride, padding).double()
        conv.weight.data = torch.tensor(arrays["kernel"].transpose(3, 2, 0, 1)).double()
        conv.bias.data = torch.tensor(arrays["bias"]).double()
        convolutions.append(conv)

    def features(x):
        x = (x.double() * 255 + 0.5).floor() / 255 * 2 - 1
        x = torch.stack([(x[c] - m) / s for c, m, s in zip(range(3), SHIFT, SCALE)])[None]
        found = []
        for i, conv in enumerate(convolutions):
            x = torch.relu(conv(nn.MaxPool2d(3, 2)(x) if i in (1, 2) else x))
            found.append(nn.functional.normalize(x, dim=1)[0])
        return found

    total = 0.0
    for i, (a, b) in enumerate(zip(features(pred), features(truth))):
        w = torch.tensor(weights[f"NetLinLayer_{i}"]["Conv_0"]["kernel"].ravel()).double()
        total += torch.einsum("chw,c->hw", (a - b) ** 2, w).mean().item()
    return total


SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)


def test_independent_computation():
    weights = _random_weights()
    truth = _frames()
    pred = (truth + 0.1 * torch.randn(truth.shape)).clamp(0, 1)
    found, _ = LPIPS(weights)(pred, truth)
    with torch.no_grad():
        expected = [_independent_lpips(weights, p, t) for p, t in zip(pred, truth)]
    assert found.tolist() == pytest.approx(expected, rel=1e-4)


def test_identity_symmetry_and_8_bit():
    metric = LPIPS(_random_weights())
    truth, other = _frames(), _frames().flip(3)
    assert metric(truth, truth)[0].tolist() == [0, 0]
    torch.testing.assert_close(metric(truth, other)[0], metric(other, truth)[0])
    as_file = (truth * 255 + 0.5).to(torch.uint8)
    assert torch.equal(metric(as_file, other)[0], metric(truth, other)[0])


def test_inside_boxes():
    metric = LPIPS(_random_weights())
    truth = _frames(n=3)
    pred = truth.clone()
    pred[:, :, :, :20] = 1 - pred[:, :, :, :20]  # only the left is wrong
    whole = torch.tensor([[0.0, 0.0, 80.0, 64.0]])
    left, right = torch.tensor([[0.0, 0.0, 20.0, 64.0]]), torch.tensor([[60.0, 0.0, 80.0, 64.0]])
    total, inside = metric(pred[:2], truth[:2], [left, right])
    assert inside[0] > 2 * total[0] and inside[1] < 0.5 * total[1]
    _, inside = metric(pred, truth, [whole, torch.cat((left, left)), torch.zeros(0, 4)])
    # Resizing the layers' maps moves their mean only a little, and a box counts once.
    assert inside[0] == pytest.approx(metric(pred, truth)[0][0].item(), rel=0.1)
    assert inside[1] == pytest.approx(metric(pred[1:2], truth[1:2], [left])[1].item())
    assert math.isnan(inside[2])


def test_frames_that_cannot_be_judged():
    metric = LPIPS(_random_weights())
    assert metric(*[torch.rand(1, 3, 31, 31) for _ in range(2)])[0].isfinite()
    with pytest.raises(ValueError, match="at least 31 x 31 pixels, got 30 x 64"):
        metric(*[torch.rand(1, 3, 30, 64) for _ in range(2)])
    with pytest.raises(ValueError, match="two equal batches"):
        metric(torch.rand(1, 3, 64, 64), torch.rand(1, 3, 64, 65))


def test_real_weights_are_the_authors(real):
    # The first weights of torchvision's pretrained AlexNet, as it prints them everywhere.
    assert real.kernel_0[0, 0, 0, :3].tolist() == pytest.approx([0.11864, 0.09407, 0.09544], 1e-4)
    # The fitted weights are not negative: more difference is never nearer.
    assert all(getattr(real, f"linear_{i}").min() >= 0 for i in range(5))


def test_real_lpips_of_noise_and_blur_grow(real):
    truth = _frames(128, 128, n=1)
    noise = torch.randn(truth.shape, generator=torch.Generator().manual_seed(1))
    noisy = [real(truth + s * noise, truth)[0].item() for s in (0.01, 0.03, 0.1)]
    texture = (truth + 0.2 * noise).clamp(0, 1)
    blurred = [
        real(nn.functional.avg_pool2d(texture, k, 1, k // 2), texture)[0].item() for k in (3, 5, 9)
    ]
    for values in (noisy, blurred):
        assert 0 < values[0] < values[1] < values[2]
    with torch.no_grad():
        expected = _independent_lpips(read_lpips_weights(), texture[0], truth[0])
    assert real(texture, truth)[0].item() == pytest.approx(expected, rel=1e-4)


def test_weights_that_are_missing_or_others(monkeypatch, tmp_path):
    path = tmp_path / "alexnet.ckpt"
    monkeypatch.setenv(lpips.ENVIRONMENT_VARIABLE, str(path))
    with pytest.raises(MissingLPIPSWeightsError, match="make lpips"):
        LPIPS()
    path.write_bytes(b"cos\nsystem\n(S'true'\ntR.")  # a pickle that would run a command
    with pytest.raises(ValueError, match=r"Expected the alexnet\.ckpt"):
        LPIPS()
