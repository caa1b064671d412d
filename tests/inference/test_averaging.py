"""zoomin_d2.inference.averaging: the pair, and the pair mirrored in time and space."""

import pytest
import torch

from zoomin_d2 import Interpolator
from zoomin_d2.inference.averaging import Averaged


def test_errors_of_one_direction_cancel():
    def biased(frame_1, frame_2, ts):
        # Too bright on the left, and nearer to the first frame than it should be.
        ramp = torch.linspace(0.1, -0.1, frame_1.shape[-1])
        return [(1.1 - t) * frame_1 + (t - 0.1) * frame_2 + ramp for t in ts]

    frame_1, frame_2 = torch.full((1, 3, 4, 6), 0.25), torch.full((1, 3, 4, 6), 0.75)
    for t, made in zip((0.5, 0.3), Averaged(biased)(frame_1, frame_2, [0.5, 0.3]), strict=True):
        torch.testing.assert_close(made, (1 - t) * frame_1 + t * frame_2)


def test_what_is_symmetric_stays():
    def shifted(frame_1, frame_2, ts):
        return [frame_1.roll(1, -1) / 2 + frame_2.roll(-1, -1) / 2 for _ in ts]

    frames = torch.rand(2, 1, 3, 5, 7, generator=torch.Generator().manual_seed(0))
    expected = shifted(*frames, [0.5])[0]
    torch.testing.assert_close(Averaged(shifted)(*frames, [0.5])[0], expected)


def test_best_quality_is_the_mean(small_generator):
    frames = torch.rand(2, 1, 3, 16, 24, generator=torch.Generator().manual_seed(0))
    options = {"device": "cpu", "dtype": torch.float32}
    standard = Interpolator(small_generator[0], **options)
    one, two = frames
    made = [
        standard(one, two, 0.3),
        standard(two.flip(-2, -1), one.flip(-2, -1), 0.7).flip(-2, -1),
        standard(two.flip(-1), one.flip(-1), 0.7).flip(-1),
        standard(one.flip(-2), two.flip(-2), 0.3).flip(-2),
    ]
    best = Interpolator(small_generator[0], quality="best", **options)
    torch.testing.assert_close(best(one, two, 0.3), sum(made) / 4)


def test_quality_is_checked():
    with pytest.raises(ValueError, match="'standard' or 'best', got 'better'"):
        Interpolator.from_pretrained("fast", quality="better")
    with pytest.raises(ValueError, match="needs a network; 'dis' is not one"):
        Interpolator.from_pretrained("dis", quality="best")
