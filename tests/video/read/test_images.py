"""Images as a source: whatever their kind, RGB comes out, and losses are reported."""

import struct
import zlib
from fractions import Fraction as F

import cv2
import numpy as np
import pytest
from PIL import Image, ImageCms

from zoomin_d2.video import JobOptions, Target, interpolate_video
from zoomin_d2.video.errors import BadInputError, OutputError
from zoomin_d2.video.read.color_profile import color_profile
from zoomin_d2.video.read.images import ImageReader, list_images
from zoomin_d2.video.write.encoder import EncodeOptions


def _save(folder, *images, suffix=".png"):
    folder.mkdir(exist_ok=True)
    for i, image in enumerate(images):
        assert cv2.imwrite(str(folder / f"{i}{suffix}"), image)
    return list_images(folder)


def _read(files):
    with ImageReader(files) as reader:
        return [frame.picture for frame in reader.frames()], reader.info


@pytest.mark.parametrize("shape", [(1, 1), (17, 33), (20, 24)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_gray_images_have_three_channels(tmp_path, shape, dtype):
    image = np.random.default_rng(0).integers(0, np.iinfo(dtype).max, shape).astype(dtype)
    frames, info = _read(_save(tmp_path, image, image))
    assert (info.height, info.width) == shape
    assert all(np.array_equal(frame, np.repeat(image[..., None], 3, 2)) for frame in frames)


def test_transparency_is_dropped_and_told(tmp_path, average):
    image = np.full((8, 10, 4), (30, 20, 10, 128), np.uint8)
    _save(tmp_path / "glass", image, image)
    report = interpolate_video(
        str(tmp_path / "glass"), str(tmp_path / "out.mp4"), average, Target(multi=2)
    )
    assert report.dropped == ["transparency: the output has no alpha channel"]
    with ImageReader(list_images(tmp_path / "glass")) as reader:
        assert reader.info.has_alpha
        picture = next(reader.frames()).picture
        assert (reader.to_rgb(picture) == (10, 20, 30)).all()
        assert (reader.to_alpha(picture) == 128).all()
    image[..., 3] = 255
    with ImageReader(_save(tmp_path / "opaque", image, image)) as reader:
        assert not reader.info.has_alpha
        assert reader.to_alpha(next(reader.frames()).picture) is None


def test_transparency_that_begins_later(tmp_path, average):
    images = [np.full((8, 10, 4), 255, np.uint8) for _ in range(4)]
    images[2][..., 3] = 0
    with ImageReader(_save(tmp_path / "later", *images), F(4)) as reader:
        assert not reader.info.has_alpha  # of the first
        assert [reader.to_alpha(f.picture) is None for f in reader.frames()] == [1, 1, 0, 1]
        assert reader.first_alpha == F(1, 2)
    output = str(tmp_path / "out.mp4")
    report = interpolate_video(str(tmp_path / "later"), output, average, Target(multi=2), rate=F(4))
    assert report.dropped == ["transparency: the output has no alpha channel, first at 0.50 s"]


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["a_1.png", "a_2.png", "b_1.png", "b_2.png"], "are 2 sequences (a_1.png, b_1.png), shown"),
        (["f_1.jpg", "f_1.png", "f_2.jpg", "f_2.png"], "f_1.jpg and f_1.png are both shown"),
        (["f_1.jpg", "f_2.png", "f_3.jpg"], None),
        (["12-58-59.png", "12-59-00.png", "12-59-01.png", "13-00-00.png"], None),
        (["a.png", "b.png"], None),
        (["cover.png", "f_1.png", "f_2.png"], None),
    ],
    ids=["two", "twice", "kinds", "times", "plain", "cover"],
)
def test_mixed_sequences_are_told(tmp_path, names, words):
    for name in names:
        assert cv2.imwrite(str(tmp_path / name), np.zeros((8, 9, 3), np.uint8))
    with ImageReader(list_images(tmp_path)) as reader:
        told = [warning for warning in reader.info.warnings if "gap" not in warning]
    assert len(told) == (words is not None)
    assert words is None or words in told[0]


def test_hidden_files_are_no_images(tmp_path):
    image = np.zeros((8, 9, 3), np.uint8)
    files = _save(tmp_path, image, image)
    (tmp_path / "._0.png").write_bytes(b"\0\5\x16\7 what macOS leaves beside a file")
    (tmp_path / ".hidden.png").write_bytes(b"")
    assert list_images(tmp_path) == files == [tmp_path / "0.png", tmp_path / "1.png"]


@pytest.mark.parametrize("codec", ["h264", "ffv1"])
def test_smallest_video_is_two_by_two(tmp_path, average, read_video, codec):
    options = JobOptions(encode=EncodeOptions(codec=codec))
    for side in (1, 2):
        _save(tmp_path / f"{side}", *(np.full((side, side, 3), v, np.uint8) for v in (100, 120)))
    job = str(tmp_path / "out.mkv"), average, Target(multi=2), options
    with pytest.raises(OutputError, match="at least 2x2 pixels, but the video has 1x1"):
        interpolate_video(str(tmp_path / "1"), *job)
    interpolate_video(str(tmp_path / "2"), *job)
    assert [image.shape for image in read_video(job[0])[0]] == [(2, 2, 3)] * 4


def _header(width: int, height: int) -> bytes:
    """A PNG that promises a size and holds no pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    "content, words",
    [
        (b"", "is not an image"),
        (b"no image", "is not an image"),
        (_header(16384, 8193), "16384x8193 pixels; the limit is 134217728 pixels"),
        (_header(2**31 - 1, 2**31 - 1), "exceeds limit"),
    ],
    ids=["empty", "text", "large", "bomb"],
)
def test_files_that_are_no_images(tmp_path, content, words):
    files = _save(tmp_path, np.zeros((8, 9, 3), np.uint8))
    (tmp_path / "1.png").write_bytes(content)
    with pytest.raises(BadInputError, match=rf"1\.png: .*{words}"):
        _read([*files, tmp_path / "1.png"])


def test_different_images_are_named(tmp_path):
    files = _save(tmp_path / "a", np.zeros((8, 9, 3), np.uint8), np.zeros((8, 10, 3), np.uint8))
    with pytest.raises(BadInputError, match=r"1\.png: 10x8 uint8, but the first image is 9x8"):
        _read(files)
    files = _save(tmp_path / "b", np.zeros((8, 9, 3), np.float32), suffix=".tiff")
    with pytest.raises(BadInputError, match="float32 values; only 8-bit and 16-bit images"):
        _read(files)


@pytest.mark.parametrize(
    "names, warnings",
    [
        (["f1", "f2", "f3"], []),
        (["f10", "f20", "f30"], []),
        (["a", "b"], []),
        (["a1", "b7"], []),
        (["f8", "f9", "f12", "f13", "f20"], ["image numbers have 2 gaps, the first after f9.png"]),
    ],
)
def test_gaps_in_image_numbers_are_said(tmp_path, names, warnings):
    for name in names:
        cv2.imwrite(str(tmp_path / f"{name}.png"), np.zeros((8, 8, 3), np.uint8))
    with ImageReader(list_images(tmp_path)) as reader:
        assert [w.partition(":")[0] for w in reader.info.warnings] == warnings


@pytest.mark.parametrize("suffix", ["png", "tif", "jpg"])
@pytest.mark.parametrize("name", ["sRGB", "LAB"])
def test_lost_color_profiles_are_named(tmp_path, average, suffix, name):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile(name)).tobytes()
    for i in range(2):
        image = Image.fromarray(np.zeros((16, 16, 3), np.uint8))
        image.save(tmp_path / f"{i}.{suffix}", icc_profile=profile)
    report = interpolate_video(list_images(tmp_path), tmp_path / "out", average, Target(multi=2))
    expected = [] if name == "sRGB" else ["color profile (ICC): Lab identity built-in"]
    assert report.dropped == expected


def test_a_profile_in_16_bits_is_found(tmp_path):
    """Of a TIFF that Pillow does not open: its tags stand after the pixels."""
    cv2.imwrite(str(tmp_path / "a.tif"), np.zeros((8, 8, 3), np.uint16))
    assert color_profile(tmp_path / "a.tif") is None
    data = bytearray((tmp_path / "a.tif").read_bytes())
    place = int.from_bytes(data[4:8], "little")
    count = int.from_bytes(data[place : place + 2], "little")
    entries = data[place + 2 : place + 2 + 12 * count]
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    begin = len(data) + 2 + 12 * (count + 1) + 4
    entry = struct.pack("<HHII", 34675, 7, len(profile), begin)
    data[4:8] = struct.pack("<I", len(data))
    data += struct.pack("<H", count + 1) + entries + entry + struct.pack("<I", 0) + profile
    (tmp_path / "b.tif").write_bytes(data)
    assert color_profile(tmp_path / "b.tif") == "Lab identity built-in"
