"""Doubt about made frames: where two warped frames disagree and the mask takes neither side."""

import pytest
import torch

from zoomin_d2 import Interpolator
from zoomin_d2.inference.doubt import doubt

TS = [0.25, 0.5]


def flat(*values):
    """(1, len(values), 7, 7), one value per channel."""
    return torch.tensor(values).view(1, -1, 1, 1).expand(1, -1, 7, 7)


@pytest.mark.parametrize(
    ("mask", "expected"),
    # |difference| is (0.3 + 0.0 + 0.3) / 3 = 0.2; 4 b (1 - b) is 1, 0.75, 0
    [(0.5, 0.2), (0.25, 0.15), (0.75, 0.15), (1.0, 0.0), (0.0, 0.0)],
)
def test_disagreement_times_indecision(mask, expected):
    found = doubt(flat(0.5, 0.5, 0.5), flat(0.2, 0.5, 0.8), flat(mask))
    assert found.shape == (1, 1, 7, 7)
    assert torch.allclose(found, torch.tensor(expected), atol=1e-6)


def test_doubt_is_a_mean_over_a_window():
    other = flat(0.0, 0.0, 0.0).clone()
    other[..., 3, 3] = 1.0
    found = doubt(flat(0.0, 0.0, 0.0), other, flat(0.5))[0, 0]
    assert torch.allclose(found[2:5, 2:5], torch.tensor(1 / 25)) and found[0].sum() == 0


@pytest.fixture(scope="module")
def frames():
    """A texture that moves by 4 pixels, and a square in the second frame that is not in the
    first."""
    noise = torch.rand(1, 3, 100, 132, generator=torch.Generator().manual_seed(0))
    texture = torch.nn.functional.avg_pool2d(noise, 5, 1)
    frame_1, frame_2 = texture[..., :124].clone(), texture[..., 4:].clone()
    frame_2[..., 30:60, 40:70] = 1.0
    return frame_1, frame_2


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("fast", {}),
        ("fine", {}),
        ("paper", {}),
        ("dis", {}),
        ("fast", {"tile": 64}),
        ("fast", {"flow_scale": 0.5}),
        ("fast", {"quality": "best"}),
        ("fast", {"device": ["cpu", "cpu"]}),
    ],
)
def test_frames_with_doubt_are_the_same(frames, name, options):
    model = Interpolator.from_pretrained(
        name, **{"device": "cpu", "dtype": torch.float32, **options}
    )
    plain = model(*frames, TS)
    for frame, made in zip(plain, model.with_doubt(*frames, TS), strict=True):
        assert made.shape == (1, 4, 96, 124)
        assert torch.equal(made[:, :3], frame)
        assert 0 <= made[:, 3].min() <= made[:, 3].max() <= 1


@pytest.mark.parametrize("name", ["fast", "fine", "paper", "dis"])
def test_what_one_frame_lacks_is_doubtful(frames, name):
    model = Interpolator.from_pretrained(name, device="cpu", dtype=torch.float32)
    found = model.with_doubt(*frames, [0.5])[0][0, 3]
    assert found[30:60, 40:70].mean() > 3 * found[70:].mean()


@pytest.mark.parametrize("name", ["fast", "dis"])
def test_doubt_comes_after_alpha(frames, name):
    model = Interpolator.from_pretrained(name, device="cpu", dtype=torch.float32)
    opaque = [torch.cat([frame, torch.ones_like(frame[:, :1])], 1) for frame in frames]
    made = model.with_doubt(*opaque, [0.5])[0]
    assert made.shape == (1, 5, 96, 124)
    assert torch.equal(made[:, :4], model.with_alpha(*opaque, [0.5])[0])
    assert torch.equal(made[:, 4:], model.with_doubt(*frames, [0.5])[0][:, 3:])


@pytest.mark.parametrize("name", ["average", "nearest"])
def test_without_flow_there_is_no_doubt(name):
    assert Interpolator.from_pretrained(name).with_doubt is None
