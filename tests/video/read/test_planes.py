"""Samples of YUV frames, plane by plane."""

import av
import numpy as np
import pytest

from zoomin_d2.video import open_source
from zoomin_d2.video.read.planes import luma_of, planes_of, put_samples, to_picture

FORMATS = ["yuv420p", "yuvj422p", "yuv444p10le", "nv12", "p010le", "gray", "yuva420p"]


def noise(pix_fmt: str, width: int = 50, height: int = 35, seed: int = 0) -> av.VideoFrame:
    """Random bits in every row; its rows are longer than they are wide."""
    frame = av.VideoFrame(width, height, pix_fmt)
    rng = np.random.default_rng(seed)
    for plane in frame.planes:
        plane.update(rng.integers(0, 256, plane.buffer_size, np.uint8))
    return frame


@pytest.mark.parametrize("pix_fmt", FORMATS)
def test_a_copy_has_the_same_samples(pix_fmt):
    frame = noise(pix_fmt)
    planes = planes_of(frame, "yuvj" in pix_fmt)
    assert planes.pix_fmt == pix_fmt.replace("yuvj", "yuv")
    copy = planes_of(to_picture(planes), False)
    for ours, theirs, plane in zip(copy.arrays, planes.arrays, frame.planes, strict=True):
        assert ours.shape == theirs.shape and ours.dtype == theirs.dtype
        assert ours.shape[0] == plane.height and np.array_equal(ours, theirs)
        assert plane.line_size > ours.shape[1] * ours.itemsize


def test_the_order_of_samples():
    image = np.arange(54 * 64).astype(np.uint16).reshape(54, 64) % 1024
    planes = planes_of(av.VideoFrame.from_ndarray(image, format="yuv420p10le"), False)
    assert np.array_equal(planes.arrays[0], image[:36])
    assert np.array_equal(planes.arrays[1].ravel(), image[36:45].ravel())


OTHERS = ["rgb24", "gbrp", "uyvy422", "gray10be", "grayf32le", "pal8", "monob"]


@pytest.mark.parametrize("pix_fmt", OTHERS)
def test_other_formats_have_no_planes(pix_fmt):
    assert planes_of(av.VideoFrame(16, 16, pix_fmt), False) is None


PACKED = [
    *(("nv12", "yuv420p"), ("nv21", "yuv420p"), ("p010le", "yuv420p10le"), ("nv24", "yuv444p")),
    *(("nv16", "yuv422p"), ("yuyv422", "yuv422p"), ("uyvy422", "yuv422p")),
]


@pytest.mark.parametrize(("packed", "planar"), PACKED)
def test_other_orders_of_the_same_samples(packed, planar):
    frame = noise(planar)
    if planar.endswith("10le"):
        for plane in frame.planes:
            samples = np.asarray(memoryview(plane)).view(np.uint16)
            plane.update(samples & 1023)
    expected = planes_of(frame, False)
    # One thread: where two meet, PyAV makes wrong samples of a few formats.
    found = planes_of(frame.reformat(format=packed, threads=1), False, stored_as=planar)
    assert found.pix_fmt == planar
    assert all(map(np.array_equal, found.arrays, expected.arrays))


def test_rows_do_not_overlap():
    """Eight samples at the start of the second thread's rows were wrong, in most calls."""
    for width in (130, 642, 1270):
        frame = noise("yuv420p10le", width, 70)
        for plane in frame.planes:
            plane.update(np.asarray(memoryview(plane)).view(np.uint16) & 1023)
        packed = frame.reformat(format="p010le", threads=1)
        for _ in range(5):
            found = planes_of(packed, False, stored_as="yuv420p10le").arrays
            assert all(map(np.array_equal, found, planes_of(frame, False).arrays))


def test_full_range_within_a_limited_video():
    """Its samples are converted, because the output's tags do not fit them."""
    frame = av.VideoFrame(16, 16, "yuvj420p")
    assert planes_of(frame, False) is None and planes_of(frame, True) is not None


def test_a_flipped_video_is_read(write_video, make_frames):
    """FFmpeg's vflip gives rows in reverse order, without a copy."""
    source = write_video("in.mkv", make_frames(2), codec="ffv1")
    with open_source(str(source), filters="vflip") as opened:
        picture = next(opened.frames()).picture
        assert picture.planes[0].line_size < 0 and planes_of(picture, False) is None


@pytest.mark.parametrize(
    ("pix_fmt", "full_range", "samples", "levels"),
    [
        ("yuv420p", False, [0, 16, 125, 235, 255], [0, 0, 127, 255, 255]),
        ("yuv420p", True, [0, 16, 125, 235, 255], [0, 16, 125, 235, 255]),
        ("yuv422p10le", False, [64, 500, 940], [0, 127, 255]),
        ("p010le", False, [64 << 6, 500 << 6, 940 << 6], [0, 127, 255]),
        ("gray16le", True, [0, 256, 65535], [0, 1, 255]),
    ],
)
def test_luma(pix_fmt, full_range, samples, levels):
    planes = planes_of(av.VideoFrame(16, 16, pix_fmt), full_range)
    planes.arrays[0][0, : len(samples)] = samples
    luma = luma_of(planes)
    assert luma.dtype == np.uint8 and luma[0, : len(levels)].tolist() == levels


@pytest.mark.parametrize("pix_fmt", FORMATS)
def test_samples_under_a_mask_are_put(pix_fmt):
    old, new = noise(pix_fmt, seed=1), planes_of(noise(pix_fmt), "yuvj" in pix_fmt)
    before = [array.copy() for array in planes_of(old, "yuvj" in pix_fmt).arrays]
    mask = np.zeros((35, 50), np.uint8)
    mask[4:9, 11:21] = 255
    put_samples(old, new, mask)
    for k, (plane, was, source) in enumerate(zip(old.planes, before, new.arrays, strict=True)):
        now = planes_of(old, "yuvj" in pix_fmt).arrays[k]
        high, wide = plane.height < 35, plane.width < 50
        # of halved rows 4 to 8, the last one has only one of two rows in the mask
        rows = slice(2, 4) if high else slice(4, 9)
        columns = slice(6, 10) if wide else slice(11, 21)
        if was.shape[1] > plane.width:  # u and v
            columns = slice(12, 20)
        expected = was.copy()
        expected[rows, columns] = source[rows, columns]
        assert np.array_equal(now, expected)
