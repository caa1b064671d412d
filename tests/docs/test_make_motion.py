"""docs/tools/make_motion.py on a clip whose brightness grows by 20 levels a frame."""

import make_motion
import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def clip(write_video):
    frames = [np.full((48, 64, 3), 20 * i, np.uint8) for i in range(8)]
    return write_video("in.mkv", frames, codec="ffv1", pix_fmt="bgr0")


def make(*words) -> None:
    make_motion.main(make_motion.parse_args([str(word) for word in words]))


def test_one_in_stride_frames_is_read(clip):
    frames, rate = make_motion.read_frames(clip, start=1, num=3, stride=2)
    assert rate == 12.5
    assert [frame[0, 0, 0] for frame in frames] == [20, 60, 100]
    with pytest.raises(ValueError, match="has 3 of the 4 frames asked for"):
        make_motion.read_frames(clip, start=2, num=4, stride=2)


def test_the_model_fills_each_pair():
    frames = [np.full((8, 8, 3), value, np.uint8) for value in (10, 18, 26)]
    pairs = make_motion.interpolate(frames, "average", multi=2)
    assert [[int(x.mean()) for x in pair] for pair in pairs] == [[10, 14], [18, 22]]


def test_the_input_is_held_beside_the_result(clip, tmp_path):
    output = tmp_path / "motion.webp"
    make(clip, "--output", output, "--model", "average", "--num", 3, "--width", 64)
    with Image.open(output) as image:
        assert image.n_frames == 8  # two pairs, four frames each
        halves = []
        for i in range(8):
            image.seek(i)
            picture = np.asarray(image.convert("RGB")).astype(float)[-48:]
            assert image.info["duration"] == 40
            halves.append((picture[:, :64].mean(), picture[:, 68:].mean()))
    left, right = np.array(halves).T
    assert left == pytest.approx([0] * 4 + [40] * 4, abs=2)  # lossy
    assert right == pytest.approx([0, 10, 20, 30, 40, 50, 60, 70], abs=2)


def test_what_makes_no_picture_is_named(clip, tmp_path):
    with pytest.raises(ValueError, match=r"should end in \.webp"):
        make(clip, "--output", tmp_path / "motion.gif")
    with pytest.raises(ValueError, match="must be at least 2"):
        make(clip, "--output", tmp_path / "motion.webp", "--multi", 1)
