"""The names of written images: those of the input carry over."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from zoomin_d2.video import JobOptions, Target, interpolate_video, open_source
from zoomin_d2.video.errors import BadInputError, OutputError
from zoomin_d2.video.read.images import is_pattern, list_sequence
from zoomin_d2.video.write.numbering import numbering_for


def _images(*names):
    return [Path("in") / name for name in names]


@pytest.mark.parametrize(
    "images, output, first, hundredth",
    [
        ((), "out", "000000.png", "000100.png"),
        (("a.png", "b.png"), "out", "000000.png", "000100.png"),
        (("0.png", "1.png"), "out", "000000.png", "000100.png"),
        (("shot.0997.exr", "shot.0998.exr"), "out", "shot.0997.exr", "shot.1097.exr"),
        (("p_00998.tif", "p_00999.tif"), "out", "p_00998.tif", "p_01098.tif"),
        (("shot99.TIFF", "shot100.TIFF"), "out", "shot99.TIFF", "shot199.TIFF"),
        (("f0010.jpg", "f0011.jpg"), "out", "f0010.png", "f0110.png"),
        (("a01.png", "b01.png"), "out", "000000.png", "000100.png"),
        (("s.0997.exr", "s.0998.exr"), "out/x_%06d.png", "x_000997.png", "x_001097.png"),
        ((), "out/x.####.tif", "x.0000.tif", "x.0100.tif"),
        ((), "out/%d.png", "0.png", "100.png"),
    ],
)
def test_names(images, output, first, hundredth):
    numbering = numbering_for(output, _images(*images))
    assert numbering.path(0) == Path("out") / first
    assert numbering.path(100) == Path("out") / hundredth


def test_patterns():
    assert is_pattern("out/shot.%04d.exr") and is_pattern("####.tif") and is_pattern("a%d.png")
    assert not is_pattern("out/100%.png") and not is_pattern("a#1/shot.png")
    assert not is_pattern("video.%04d.mp4")
    with pytest.raises(OutputError, match=r"sequences are written as \.png"):
        numbering_for("out/%04d.jpg", [])


def test_a_pattern_picks_one_sequence(tmp_path):
    for name in ("a.0999", "a.1000", "a.10001", "mask.0999", "b.1000"):
        cv2.imwrite(str(tmp_path / f"{name}.png"), np.zeros((16, 16, 3), np.uint8))
    names = [f.name for f in list_sequence(tmp_path / "a.%04d.png")]
    assert names == ["a.0999.png", "a.1000.png", "a.10001.png"]
    with open_source(str(tmp_path / "a.####.png")) as opened:
        assert opened.info.num_frames == 3
    with pytest.raises(BadInputError, match="holds no images"):
        open_source(str(tmp_path / "c.####.png"))


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_16_bits_and_numbers_are_kept(tmp_path, average, suffix):
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 65536, (16, 24, 3)).astype(np.uint16) for _ in range(3)]
    (tmp_path / "in").mkdir()
    for i, image in enumerate(images):
        cv2.imwrite(str(tmp_path / f"in/plate.{998 + i:05d}.{suffix}"), image)
    report = interpolate_video(str(tmp_path / "in"), tmp_path / "out", average, Target(multi=2))
    files = sorted((tmp_path / "out").iterdir())
    assert [f.name for f in files] == [f"plate.{998 + i:05d}.{suffix}" for i in range(5)]
    assert report.encoder == suffix
    for image, file in zip(images, files[::2]):
        assert np.array_equal(cv2.imread(str(file), cv2.IMREAD_UNCHANGED), image)
    middle = cv2.imread(str(files[1]), cv2.IMREAD_UNCHANGED).astype(float)
    assert np.abs(middle - (images[0].astype(float) + images[1]) / 2).max() <= 1


def test_old_images_are_not_mixed(tmp_path, average):
    (tmp_path / "in").mkdir()
    (tmp_path / "out").mkdir()
    for i in range(2):
        cv2.imwrite(str(tmp_path / f"in/p.{10 + i}.tif"), np.zeros((16, 16, 3), np.uint8))
    (tmp_path / "out/p.77.tif").write_bytes(b"old")
    with pytest.raises(OutputError, match="holds images"):
        interpolate_video(str(tmp_path / "in"), tmp_path / "out", average, Target(multi=2))
    with pytest.raises(OutputError, match="holds the input"):
        interpolate_video(
            str(tmp_path / "in"), tmp_path / "in/q.%04d.png", average, Target(multi=2)
        )
    options = JobOptions(overwrite=True)
    others = ("p.7.tif", "p.077.tif", "q.77.tif", "p.77.png")
    for name in others:
        (tmp_path / "out" / name).write_bytes(b"other")
    interpolate_video(str(tmp_path / "in"), tmp_path / "out", average, Target(multi=2), options)
    names = {f.name for f in (tmp_path / "out").iterdir()}
    assert names == {"p.10.tif", "p.11.tif", "p.12.tif", *others}
