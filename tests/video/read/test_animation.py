"""Animated WebP is a clip, each frame as long as the file says."""

from fractions import Fraction as F

import numpy as np
import pytest
from PIL import Image

from zoomin_d2.video.errors import BadInputError
from zoomin_d2.video.read.animation import AnimationReader, is_animated
from zoomin_d2.video.read.open_source import open_source


@pytest.fixture
def webp(tmp_path):
    """(alphas, durations) -> an animation of 12x10 pixels, lossless."""

    def make(alphas=(255, 255, 255), durations=(100, 40, 300)):
        path = tmp_path / "in.webp"
        frames = [Image.new("RGBA", (12, 10), (50 * i, 9, 8, a)) for i, a in enumerate(alphas)]
        frames[0].save(
            path, save_all=True, append_images=frames[1:], duration=list(durations), lossless=True
        )
        return path

    return make


def test_frames_and_their_times(webp):
    with open_source(webp()) as source:
        frames = list(source.frames())
        assert isinstance(source, AnimationReader)
        assert [f.time for f in frames] == [F(0), F(1, 10), F(14, 100)]
        assert source.end == source.info.duration == F(44, 100)
        assert [source.to_rgb(f.picture)[0, 0].tolist() for f in frames] == [
            [0, 9, 8],
            [50, 9, 8],
            [100, 9, 8],
        ]
        assert source.info.rate == 3 / F(44, 100)
        rest = list(source.frames(F(1, 10), 1))
    assert [(f.index, f.time) for f in rest] == [(1, F(1, 10)), (2, F(14, 100))]


def test_alpha_of_an_animation(webp):
    with AnimationReader(webp(alphas=(255, 128, 255))) as source:
        alphas = [source.to_alpha(f.picture) for f in source.frames()]
        assert source.first_alpha == F(1, 10)
    assert alphas[0] is None
    assert (alphas[1] == 128).all()


def test_what_is_no_animation(tmp_path):
    path = tmp_path / "still.webp"
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(path)
    assert not is_animated(path)
    with pytest.raises(BadInputError, match="a single image cannot be interpolated"):
        open_source([path])
    path.write_bytes(b"RIFF nothing")
    assert not is_animated(path)
    with pytest.raises(BadInputError, match="is not an image"):
        AnimationReader(path)
