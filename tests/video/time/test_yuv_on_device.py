"""Frames go to a GPU, and come back, as planes; the GPU is made up, all stays on the CPU."""

import threading

import av
import cv2
import numpy as np
import pytest

from tests.video.time.test_pipeline import OnGpu, Recorder
from zoomin_d2.video import StreamOptions, Target, interpolate_frames, open_source
from zoomin_d2.video.read.color import ColorPath, ColorTags
from zoomin_d2.video.read.planes import planes_of
from zoomin_d2.video.read.reader import VideoReader
from zoomin_d2.video.time import model_calls, yuv_on_device
from zoomin_d2.video.write.encoder_input import encoder_input


@pytest.fixture
def log(monkeypatch):
    monkeypatch.setattr(model_calls, "Transfer", Recorder)
    monkeypatch.setattr(Recorder, "log", [])
    return Recorder.log


def run(source, model, stored_as, **options):
    with open_source(str(source)) as opened:
        stream = StreamOptions(stored_as=stored_as, **options)
        frames = list(interpolate_frames(opened, model, Target(multi=2), stream))
        return frames, opened.info.color


def smooth(make_frames, count=5):
    """Colored frames with edges, so that chroma counts."""
    frames = make_frames(count)
    for i, frame in enumerate(frames):
        frame[10:30, 8 + 4 * i : 24 + 4 * i] = (200, 30, 60)
    return frames


@pytest.mark.parametrize(("stored_as", "limit"), [("yuv420p", 2), ("yuv420p10le", 6)])
def test_planes_go_up_and_come_back(write_video, make_frames, average, log, stored_as, limit):
    """What the GPU gives is what swscale gives on a CPU, within a level or two of 255."""
    source = write_video("in.mkv", smooth(make_frames), codec="ffv1", pix_fmt="yuv420p")
    made, color = run(source, OnGpu(), stored_as)
    # Three planes of every frame, once.
    assert len([x for x in log if x.startswith("up torch.uint8")]) == 3 * 5
    plain, _ = run(source, average, stored_as)
    assert [f.kind for f in made] == [f.kind for f in plain]
    for ours, theirs in zip(made, plain):
        if ours.kind == "made":
            assert ours.pixels.planes.pix_fmt == stored_as
        pictures = [encoder_input(f.pixels, color, stored_as) for f in (ours, theirs)]
        pairs = zip(*(planes_of(picture, False).arrays for picture in pictures), strict=True)
        distance = max(int(np.abs(a.astype(int) - b).max()) for a, b in pairs)
        assert distance <= (limit if ours.kind == "made" else 0)
        # and as RGB, for whoever asks: chroma was halved once more
        assert np.abs(ours.image.astype(int) - theirs.image).mean() < 1


def test_images_come_back_as_rgb(write_video, make_frames, log):
    source = write_video("in.mkv", smooth(make_frames), codec="ffv1", pix_fmt="yuv420p")
    made, _ = run(source, OnGpu(), None)
    assert made[1].pixels.planes is None and made[1].image.dtype == np.uint8


@pytest.mark.parametrize("size", [(47, 64), (48, 63)])
def test_odd_sizes_go_through_rgb(write_video, make_frames, average, log, size):
    source = write_video("in.mkv", make_frames(3, *size), codec="ffv1", pix_fmt="yuv420p")
    made, _ = run(source, OnGpu(), "yuv420p")
    plain, _ = run(source, average, "yuv420p")
    assert all(np.array_equal(a.image, b.image) for a, b in zip(made, plain, strict=True))


def test_an_overlay_on_the_device(write_video, make_frames, average, log):
    frames = smooth(make_frames, 12)
    for frame in frames:
        frame[36:44, 8:56:4] = frame[36:44, 9:56:4] = 235  # text
    source = write_video("in.mkv", frames, codec="ffv1", pix_fmt="yuv444p")
    made, _ = run(source, OnGpu(), "yuv420p")
    plain, _ = run(source, average, "yuv420p")
    assert [f.has_overlay for f in made] == [f.has_overlay for f in plain]


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "nv12", "yuv420p10le", "p010le"])
def test_every_layout_there_and_back(pix_fmt):
    """Gray survives to the bit; u and v are not mixed up."""
    color = ColorPath(ColorTags(), av.video.reformatter.Colorspace.ITU709, False, "10" in pix_fmt)
    frame = av.VideoFrame(16, 8, pix_fmt)
    planes = planes_of(frame, False)
    unit = {"yuv420p": 1, "nv12": 1, "yuv420p10le": 4, "p010le": 256}[pix_fmt]
    planes.arrays[0][:] = (np.arange(128).reshape(8, 16) % 100 + 60) * unit
    if len(planes.arrays) == 3:
        planes.arrays[1][:], planes.arrays[2][:] = 120 * unit, 140 * unit
    else:
        planes.arrays[1][:, 0::2], planes.arrays[1][:, 1::2] = 120 * unit, 140 * unit
    rgb = yuv_on_device.to_rgb(planes, color, lambda x: x)
    assert rgb.shape == (1, 3, 8, 16) and rgb[0, 0].mean() > rgb[0, 1].mean()  # v: red
    there = yuv_on_device.from_rgb([rgb, rgb.flip(3)], color, pix_fmt)
    first, second = yuv_on_device.to_pixels(there, color, pix_fmt)
    for ours, theirs in zip(first.planes.arrays, planes.arrays, strict=True):
        assert ours.dtype == theirs.dtype and np.array_equal(ours, theirs)
    assert np.array_equal(second.planes.arrays[0], planes.arrays[0][:, ::-1])
    assert np.abs(first.image.astype(int) - second.image[:, ::-1]).max() <= 2 * unit


@pytest.mark.parametrize("option", ["light", "alpha"])
def test_light_and_alpha_go_through_rgb(write_video, make_frames, average, log, option):
    """Of a source without alpha, for an output with it, or for EXR images."""
    source = write_video("in.mkv", smooth(make_frames, 3), codec="ffv1", pix_fmt="yuv420p")
    made, _ = run(source, OnGpu(), None, **{option: True})
    plain, _ = run(source, average, None, **{option: True})
    for ours, theirs in zip(made, plain, strict=True):
        assert np.array_equal(ours.image, theirs.image)


@pytest.fixture
def conversions(monkeypatch):
    """The names of the threads that convert frames to RGB."""
    threads, to_rgb = [], VideoReader.to_rgb

    def record(reader, picture):
        threads.append(threading.current_thread().name)
        return to_rgb(reader, picture)

    monkeypatch.setattr(VideoReader, "to_rgb", record)
    return threads


def test_a_phones_video_is_converted_ahead(write_video, make_frames, log, conversions):
    """Turned frames do not go to the GPU as planes: threads convert them, not the model's."""
    source = write_video("in.mp4", make_frames(4), rotation=90)
    run(source, OnGpu(), "yuv420p")
    assert len(conversions) == 4 and all(name.startswith("convert") for name in conversions)


@pytest.mark.parametrize("stored_as", ["yuv420p", "yuv422p10le"])
def test_planes_are_not_converted_too(write_video, make_frames, log, conversions, stored_as):
    """Full range under the name yuvj420p, and outputs of other formats."""
    source = write_video("in.avi", make_frames(4), codec="mjpeg", pix_fmt="yuvj420p")
    made, _ = run(source, OnGpu(), stored_as)
    assert [f.kind for f in made[:2]] == ["source", "made"] and not conversions


@pytest.mark.parametrize("pix_fmt", ["yuv420p10le", "yuv422p10le"])
@pytest.mark.parametrize("stored_as", ["yuv420p10le", "yuv444p10le"])
def test_deep_frames_are_as_bright(write_video, log, pix_fmt, stored_as):
    """Swscale's white is 65280 of 65535: frames that pass it, and others, must not alternate."""
    ramp = np.linspace(0, 255, 64).astype(np.uint8)
    still = np.broadcast_to(ramp[None, :, None], (48, 64, 3)).copy()
    source = write_video("in.mkv", 3 * [still], codec="ffv1", pix_fmt=pix_fmt)
    made, color = run(source, OnGpu(), stored_as, keep_still=False)
    assert [f.kind for f in made[:2]] == ["source", "made"] and color.deep
    pictures = [encoder_input(f.pixels, color, stored_as) for f in made[:2]]
    first, second = (planes_of(x, False).arrays[0].astype(int) for x in pictures)
    assert first.max() == 940 and np.abs(first - second).max() <= 1
    first, second = (f.image.astype(int) for f in made[:2])
    assert np.abs(first - second).max() <= 96  # 1.5 of 1023 levels


def test_deep_images_are_as_bright(tmp_path, log):
    image = np.full((16, 16, 3), 65535, np.uint16)
    for k in range(2):
        cv2.imwrite(str(tmp_path / f"{k}.png"), image)
    made, color = run(tmp_path, OnGpu(), "yuv420p10le", keep_still=False)
    pictures = [encoder_input(f.pixels, color, "yuv420p10le") for f in made[:2]]
    assert len({int(planes_of(x, False).arrays[0].max()) for x in pictures}) == 1
