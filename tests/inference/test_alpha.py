"""Frames with transparency: alpha takes the flows that the colors take."""

import pytest
import torch

from zoomin_d2 import Interpolator

TS = [0.25, 0.5]


@pytest.fixture(scope="module")
def frames():
    generator = torch.Generator().manual_seed(0)
    return [torch.rand(1, 3, 96, 128, generator=generator) for _ in range(2)]


@pytest.mark.parametrize(
    "name, options",
    [
        ("fast", {}),
        ("fast", {"tile": 64}),
        ("fast", {"flow_scale": 0.5}),
        ("average", {}),
        ("dis", {}),
    ],
)
def test_opaque_frames_have_the_same_colors(frames, name, options):
    model = Interpolator.from_pretrained(name, device="cpu", dtype=None, **options)
    opaque = [torch.cat([frame, torch.ones_like(frame[:, :1])], 1) for frame in frames]
    for plain, made in zip(model(*frames, TS), model.with_alpha(*opaque, TS), strict=True):
        assert made.shape == (1, 4, 96, 128)
        assert torch.equal(made[:, :3], plain)
        assert torch.allclose(made[:, 3:, 8:-8, 8:-8], torch.ones(1), atol=1e-3)


def test_alpha_moves_as_its_color_does(frames):
    """Alpha that is the color itself stays it, up to what synthesis adds to the warped color."""
    model = Interpolator.from_pretrained("fast", device="cpu", dtype=torch.float32)
    smooth = torch.nn.functional.avg_pool2d(frames[0], 9, 1, 4, count_include_pad=False)
    pair = [smooth[..., 8:120], smooth[..., :112]]  # moves by 8 pixels
    with_alpha = [torch.cat([frame, frame[:, :1]], 1) for frame in pair]
    made = model.with_alpha(*with_alpha, [0.5])[0]
    faded = (pair[0] + pair[1])[:, :1] / 2
    inside = (..., slice(16, -16), slice(16, -16))
    error = (made[:, 3:] - made[:, :1]).abs()[inside].mean()
    assert error < (faded - made[:, :1]).abs()[inside].mean() / 4
