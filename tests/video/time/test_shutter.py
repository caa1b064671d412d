"""Motion blur: which moments are shown, how they are added up, and what is left out of them."""

from fractions import Fraction as F
from itertools import pairwise

import cv2
import numpy as np
import pytest

from zoomin_d2.video import (
    StreamOptions,
    Target,
    interpolate_frames,
    interpolate_video,
    open_source,
)
from zoomin_d2.video.jobs.options import job_options
from zoomin_d2.video.read.light import LINEAR, to_code
from zoomin_d2.video.time.shutter import ShutterGrid, mean_light
from zoomin_d2.video.time.timeline import SubdivisionGrid, UniformGrid

BT709 = 1
BLURRED = job_options(shutter=180.0, overwrite=True)


def _run(source, model, angle=180, first=0, start=None, options=None, **target):
    options = options or StreamOptions(shutter=angle)
    with open_source(str(source)) as opened:
        return list(interpolate_frames(opened, model, Target(**target), options, first, start))


def _exposures(grid, times, tail):
    """index -> the source times that it shows."""
    samples = {}
    for i, pair in enumerate(pairwise(times)):
        for moment in grid.between(i, pair):
            samples.setdefault(moment.index // grid.samples, []).append(moment.source_time)
    for moment in grid.tail(len(times) - 1, times[-1], tail):
        samples.setdefault(moment.index // grid.samples, []).append(moment.source_time)
    return samples


@pytest.mark.parametrize("angle, samples", [(10, 4), (90, 8), (180, 16), (360, 32)])
def test_exposures_are_centered(angle, samples):
    grid = ShutterGrid(UniformGrid(F(60), F(1), F(0), F(0)), angle)
    assert grid.samples == samples
    found = _exposures(grid, [F(i, 24) for i in range(25)], F(1, 24))
    open_for = F(angle, 360) / 60
    for index in range(1, 60):
        times = found[index]
        assert len(times) == samples and times == sorted(times)
        assert sum(times) / samples == F(index, 60)
        assert times[-1] - times[0] == open_for * F(samples - 1, samples)
    assert all(time >= 0 for time in found[0]) and len(found[0]) == samples // 2


def test_uneven_sources_keep_their_middle():
    times = [F(0), F(1), F(3), F(4)]
    grid = ShutterGrid(SubdivisionGrid(2, F(1), F(1), F(1, 100)), 360)
    found = _exposures(grid, times, F(1))
    assert sorted(found) == list(range(8))  # what would be shown after the end is left out
    assert min(found[2]) > F(1, 2) + F(1, 4) and max(found[2]) < F(3, 2)  # around 1
    assert sum(found[3]) / grid.samples == 2
    assert max(found[7]) < 5


def test_light_is_averaged_not_code_values():
    black, white = np.zeros((1, 1, 3), np.uint8), np.full((1, 1, 3), 255, np.uint8)
    # 255 * (1.0993 * 0.5 ** 0.45 - 0.0993) = 179.9
    assert mean_light([black, white], BT709).ravel().tolist() == [180] * 3
    assert mean_light([black, white], LINEAR)[0, 0, 0] in (127, 128)
    deep = mean_light([black.astype(np.uint16), white * np.uint16(257)], BT709)
    assert deep.dtype == np.uint16
    assert abs(int(deep[0, 0, 0]) - 46228) <= 2


def test_transparent_colors_do_not_count():
    red = np.array([[[255, 0, 0, 255]]], np.uint8)
    nothing = np.array([[[0, 255, 0, 0]]], np.uint8)
    assert mean_light([red, nothing], BT709).tolist() == [[[255, 0, 0, 128]]]
    assert mean_light([nothing, nothing], BT709)[0, 0, 3] == 0


def test_blur_at_the_same_rate(write_video, make_frames, average):
    source = write_video("in.mp4", make_frames(12, 32, 48), F(24))
    plain = _run(source, average, options=StreamOptions(), fps=24)
    blurred = _run(source, average, fps=24)
    assert [(f.time, f.duration) for f in blurred] == [(f.time, f.duration) for f in plain]
    assert {f.kind for f in plain} == {"source"} and {f.kind for f in blurred} == {"made"}
    for a, b in zip(plain[1:-1], blurred[1:-1]):  # brightness grows evenly, the mean is the middle
        assert np.abs(a.image.astype(int) - b.image).max() <= 1
    # the first opens at its time, the last closes at its: a quarter of a shutter of 2 levels
    assert 0 <= blurred[0].image.mean() - plain[0].image.mean() < 1
    assert 0 <= plain[-1].image.mean() - blurred[-1].image.mean() < 1


def test_a_moving_edge_is_a_ramp(write_video):
    """A white half moves by 8 pixels per frame; the model knows."""
    images = []
    for i in range(6):
        image = np.zeros((16, 96, 3), np.uint8)
        image[:, : 16 + 8 * i] = 255
        images.append(image)
    source = write_video("in.mkv", images, codec="ffv1", pix_fmt="bgr0")

    def moving(frame_1, frame_2, ts):
        begin = float(frame_1[0, 0, 0].sum())
        columns = np.arange(96)
        made = []
        for t in ts:
            light = np.clip(begin + 8 * t - columns, 0, 1)
            frame = frame_1.clone()
            frame[:] = frame.new_tensor(1.055 * light ** (1 / 2.4) - 0.055).clamp(0, 1)
            made.append(frame)
        return made

    out = _run(source, moving, 360, fps=25)
    row = out[2].image[8, :, 0].astype(float) / 255
    light = ((row + 0.055) / 1.055) ** 2.4
    # open from 4 pixels before its place at 32 to 4 after it
    assert light[:28] == pytest.approx(1, abs=0.02) and light[36:] == pytest.approx(0, abs=0.02)
    assert light[28:36] == pytest.approx(1 - (np.arange(8) + 0.5) / 8, abs=0.03)


def test_no_exposure_reaches_across_a_cut(write_video, average):
    shots = [np.full((32, 48, 3), 20 + i, np.uint8) for i in range(8)]
    shots += [np.full((32, 48, 3), 220 + i, np.uint8) for i in range(8)]
    source = write_video("in.mp4", shots, F(24))
    for target in ({"fps": 60}, {"multi": 2}, {"fps": 24}, {"fps": 12}):
        out = _run(source, average, 360, **target)
        levels = np.array([f.image.mean() for f in out])
        assert (np.diff(levels) > -0.6).all(), target
        assert not ((levels > 30) & (levels < 215)).any(), target
        assert [c for f in out for c in f.cuts] == [pytest.approx(1 / 3, abs=1e-3)]


def test_ends_and_counts_are_those_without(write_video, make_frames, average, tmp_path):
    source = write_video("in.mp4", make_frames(10, 32, 48), F(24), audio="aac")
    for target in ({"fps": F(60)}, {"multi": 3}, {"slowmo": F(5, 2)}, {"fps": F(10)}):
        plain, blurred = [
            interpolate_video(source, tmp_path / "out.mkv", average, Target(**target), options)
            for options in (job_options(overwrite=True), BLURRED)
        ]
        assert blurred.output_frames == plain.output_frames
        assert blurred.duration == plain.duration


def test_images_end_with_the_last_one(tmp_path, average):
    (tmp_path / "in").mkdir()
    for i in range(4):
        cv2.imwrite(str(tmp_path / f"in/{i}.png"), np.full((16, 16, 3), 10 * i, np.uint8))
    for name, options in (("plain", None), ("blur", BLURRED)):
        report = interpolate_video(
            str(tmp_path / "in"), str(tmp_path / name), average, Target(multi=2), options
        )
        assert report.output_frames == 7
    last = cv2.imread(str(sorted((tmp_path / "blur").iterdir())[-1]))
    assert 27 <= last.mean() < 30  # its shutter closes at the last image, none is repeated


@pytest.mark.parametrize("target", [{"fps": F(60)}, {"multi": 2}, {"fps": F(9)}], ids=str)
def test_reading_on_gives_the_same(write_video, make_frames, average, target):
    frames = make_frames(90, 16, 32)
    frames[50:] = [255 - f for f in frames[50:]]
    source = write_video("in.mp4", frames, F(24), gop=10)
    whole = _run(source, average, **target)
    first = len(whole) * 3 // 4
    rest = _run(source, average, first=first, start=whole[first - 1].read_on, **target)
    assert [f.index for f in rest] == [f.index for f in whole[first:]]
    for a, b in zip(whole[first:], rest):
        assert (a.time, a.kind, a.cuts) == (b.time, b.kind, b.cuts)
        assert np.array_equal(a.image, b.image)


@pytest.mark.parametrize("angle", [0, -1, 361, float("nan"), "x"])
def test_impossible_angles(angle):
    with pytest.raises(ValueError, match="above 0 and at most 360"):
        ShutterGrid(UniformGrid(F(60), F(1), F(0), F(0)), angle)


@pytest.mark.parametrize(
    "samples, length, apart", [(16, 20, 2), (16, 40, 14), (8, 20, 28), (8, 40, 39)]
)
def test_how_many_moments_are_enough(samples, length, apart):
    """Of 255 levels, for a white edge on black that moves so many pixels; docs/video.md."""

    def exposure(samples):
        columns = np.arange(100)
        images = []
        for k in range(samples):
            light = np.clip(20 + length * (k + 0.5) / samples - columns, 0, 1)
            images.append(to_code(np.repeat(light[None, :, None], 3, 2), BT709, False))
        return mean_light(images, BT709).astype(int)

    assert np.abs(exposure(samples) - exposure(512)).max() == apart


LOOPED = StreamOptions(shutter=360, loop=True)


@pytest.mark.parametrize("target", [{"multi": 2}, {"fps": 25}, {"fps": 60}, {"slowmo": 2}], ids=str)
def test_the_last_exposure_sees_the_first(write_video, make_frames, average, target):
    """Brightness grows by 2 levels a frame, and falls by 22 from the last frame to the first."""
    source = write_video("in.mkv", make_frames(12, 32, 48), codec="ffv1", pix_fmt="yuv444p")
    plain = _run(source, average, options=StreamOptions(loop=True), **target)
    looped = _run(source, average, options=LOOPED, **target)
    open_end = _run(source, average, 360, **target)
    assert [(f.index, f.time, f.duration) for f in looped] == [
        (f.index, f.time, f.duration) for f in plain
    ]
    step = 1 / len(plain) * 12  # source frames of an exposure
    levels = [float(f.image.mean()) for f in (looped[-1], open_end[-1])]
    # half of it lies on the way down; without the loop it ends with the last frame
    assert levels[0] < levels[1] - 22 * step / 16


@pytest.mark.parametrize("target", [{"multi": 2}, {"fps": 25}, {"fps": 75}], ids=str)
def test_the_first_exposure_sees_the_last(write_video, make_frames, average, target):
    """Turned by half of its length, a loop has the same exposures, in another order."""
    frames = make_frames(12, 32, 48)
    sources = [
        write_video(f"{k}.mkv", frames[k:] + frames[:k], codec="ffv1", pix_fmt="yuv444p")
        for k in (0, 6)
    ]
    options = StreamOptions(shutter=360, loop=True, cut_threshold=None)
    plain, turned = (_run(source, average, options=options, **target) for source in sources)
    half = len(plain) // 2
    assert [f.index for f in plain] == [f.index for f in turned] == list(range(2 * half))
    for a, b in zip(plain, turned[half:] + turned[:half]):
        assert np.abs(a.image.astype(int) - b.image).max() <= 1


def test_a_blurred_loop_resumes(write_video, make_frames, average):
    source = write_video("in.mkv", make_frames(12, 32, 48), codec="ffv1", pix_fmt="yuv444p")
    whole = _run(source, average, options=LOOPED, multi=8)
    assert whole[40].read_on[1] == -1  # near the start of what is read
    rest = _run(source, average, first=41, start=whole[40].read_on, options=LOOPED, multi=8)
    assert [f.index for f in rest] == list(range(41, 96))
    assert all(np.array_equal(a.image, b.image) for a, b in zip(whole[41:], rest))


@pytest.mark.parametrize("name, fps, count", [("o.gif", 35, 14), ("o.mp4", 36, 14)])
def test_a_blurred_loop_keeps_its_length(
    tmp_path, write_video, make_frames, average, name, fps, count
):
    source = write_video("in.mkv", make_frames(10), codec="ffv1", pix_fmt="yuv444p")
    options = job_options(shutter=180.0, loop=True)
    report = interpolate_video(source, tmp_path / name, average, Target(fps=fps), options)
    assert (report.output_frames, F(report.fps)) == (count, fps)
    assert report.duration == pytest.approx(count / fps, abs=1e-3)
