"""Animated images last exactly as long as their frames."""

from fractions import Fraction as F

import numpy as np
import pytest
from PIL import Image

from zoomin_d2.video import JobOptions, StreamOptions, Target, interpolate_video


@pytest.fixture
def moving():
    """12 pictures of a disk that goes round in a circle."""
    y, x = np.mgrid[:48, :64]
    pictures = []
    for i in range(12):
        angle = 2 * np.pi * i / 12
        disk = (x - 32 - 15 * np.cos(angle)) ** 2 + (y - 24 - 12 * np.sin(angle)) ** 2 < 64
        pictures.append(np.where(disk[..., None], (230, 120, 60), (40, 40, 60)).astype(np.uint8))
    return pictures


def _delays(path):
    with Image.open(path) as image:
        delays = []
        for i in range(image.n_frames):
            image.seek(i)
            image.load()
            delays.append(image.info["duration"])
        return delays, image.info.get("loop")


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".apng"])
@pytest.mark.parametrize("target", [{"multi": 2}, {"fps": 30}, {"fps": 24, "slowmo": F(3, 2)}])
def test_a_loop_has_the_exact_length(tmp_path, moving, average, suffix, target):
    images = [Image.fromarray(picture) for picture in moving]
    delays = [70] * 5 + [110] + [70] * 6
    source = tmp_path / f"in{suffix}"
    images[0].save(
        source,
        format="PNG" if suffix == ".apng" else None,
        save_all=True,
        append_images=images[1:],
        duration=delays,
        loop=0,
    )
    output = tmp_path / f"out{suffix}"
    options = JobOptions(stream=StreamOptions(loop=True))
    report = interpolate_video(source, output, average, Target(**target), options)
    wanted = 880 * float(target.get("slowmo", 1))
    found, loop = _delays(output)
    assert sum(found) == pytest.approx(wanted, abs=1e-6)
    assert max(found) - min(found) <= (30 if "multi" in target else 10)
    assert loop == 0
    assert report.duration == pytest.approx(wanted / 1000)
    if "multi" in target:
        assert len(found) == 24 and report.made_frames == 12


def test_the_last_delay_need_not_be_usual(tmp_path, moving, average):
    # 70 ms each, but the last picture stays for 300 ms
    images = [Image.fromarray(picture) for picture in moving]
    source, output = tmp_path / "in.webp", tmp_path / "out.webp"
    delays = [70] * 11 + [300]
    images[0].save(source, save_all=True, append_images=images[1:], duration=delays, loop=0)
    interpolate_video(source, output, average, Target(multi=2))
    found, _ = _delays(output)
    assert sum(found) == sum(delays)
