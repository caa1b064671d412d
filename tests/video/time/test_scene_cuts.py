"""Cuts, repeats, and what the pipeline does with them."""

from fractions import Fraction as F
from itertools import pairwise

import cv2
import numpy as np
import pytest

from zoomin_d2.video import JobOptions, StreamOptions, Target, interpolate_video, open_source
from zoomin_d2.video.read.source import SourceFrame
from zoomin_d2.video.time.pipeline import CONTEXT, interpolate_frames
from zoomin_d2.video.time.scene_cuts import mark_steps
from zoomin_d2.video.time.step_detection import NEIGHBORHOOD, are_alike, is_gap, judge_step


def _frames(images):
    return [SourceFrame(i, F(i, 25), F(1, 25), image) for i, image in enumerate(images)]


def _grey(*values):
    return [np.full((32, 48, 3), value, np.uint8) for value in values]


@pytest.fixture
def shots(make_frames):
    """12 frames that move, then 10 inverted ones."""
    frames = make_frames(22)
    return frames[:12] + [255 - f for f in frames[12:]]


def test_the_rules_by_hand():
    assert judge_step(np.array([2.0, 2.0, 40.0, 2.0, 2.0]), 2).cut
    assert not judge_step(np.array([2.0, 2.0, 9.0, 2.0, 2.0]), 2).cut  # below CUT_MIN
    assert not judge_step(np.array([30.0, 30.0, 40.0, 30.0]), 2).cut  # everything moves
    assert judge_step(np.array([2.0, 2.0, 0.1, 2.0, 2.0]), 2).repeated
    still = judge_step(np.array([0.1, 0.1, 0.05, 0.1]), 2)
    assert still.still and not still.repeated


def _shot(seed, num_frames, speed=1, size=(90, 160)):
    """A blurred random picture that moves to the left by `speed` pixels a frame."""
    rng = np.random.default_rng(seed)
    height, width = size[0] // 10, (size[1] + num_frames * speed) // 10 + 2
    small = rng.integers(0, 255, (height, width, 3), np.uint8)
    wide = cv2.resize(small, (10 * width, size[0]), interpolation=cv2.INTER_CUBIC)
    return [wide[:, speed * i : speed * i + size[1]] for i in range(num_frames)]


def _mix(shot_1, shot_2, steps):
    """Both shots in full; they overlap in steps - 1 frames."""
    shares = [(k + 1) / steps for k in range(steps - 1)]
    over = zip(shot_1[-steps + 1 :], shot_2, shares)
    mixed = [np.rint((1 - p) * a + p * b).astype(np.uint8) for a, b, p in over]
    return [*shot_1[: -steps + 1], *mixed, *shot_2[steps - 1 :]]


def _marks(images):
    marked = list(mark_steps(_frames(images)))
    cuts = [m.frame.index for m in marked if m.cut_before]
    return cuts, [(m.frame.index, m.transition) for m in marked if m.transition]


def test_repeats_are_those_of_a_window():
    rng = np.random.default_rng(0)
    values = rng.integers(0, 4, 60).cumsum() % 256
    marked = list(mark_steps(_frames(_grey(*values))))
    d = np.abs(np.diff(values.astype(float)))
    assert len(marked) == 60
    for i, step in enumerate(marked[1:]):
        low = max(0, i - NEIGHBORHOOD)
        kind = judge_step(d[low : i + NEIGHBORHOOD + 1], i - low)
        assert (step.still, step.repeats) == (kind.still, kind.repeated), i


@pytest.mark.parametrize("steps", [8, 16])
def test_a_dissolve_is_found(steps):
    cuts, mixed = _marks(_mix(_shot(0, 40), _shot(1, 40), steps))
    assert cuts == []
    # frames 41 - steps to 40 are led to by its steps
    assert mixed == [(i, "dissolve") for i in range(41 - steps, 41)]


def test_fades_are_found():
    black = [np.zeros((90, 160, 3), np.uint8)] * 12
    out = _mix(_shot(0, 40), black, 12)
    cuts, mixed = _marks([*out, *_mix(black, _shot(1, 40), 12)])
    assert cuts == []
    assert mixed == [
        *((i, "fade out") for i in range(29, 41)),
        *((i, "fade in") for i in range(len(out) + 1, len(out) + 13)),
    ]


@pytest.mark.filterwarnings("error")  # NumPy's would stand among the command's messages
def test_plain_colors_change_into_others():
    cuts, mixed = _marks([np.full((90, 160, 3), 10 * i, np.uint8) for i in range(12)])
    assert cuts == []
    assert [i for i, _ in mixed] == list(range(1, 12))


@pytest.mark.parametrize("speed", [1, 4, 10])
def test_a_pan_is_no_transition(speed):
    assert _marks(_shot(0, 50, speed)) == ([], [])


def test_a_dark_cut_is_found():
    dark = [(image // 12).astype(np.uint8) for image in [*_shot(0, 20), *_shot(1, 20)]]
    assert _marks(dark) == ([20], [])


def test_a_cut_in_chroma_is_found():
    # luma goes on, the color planes are another shot's
    luma, colors = (
        [cv2.cvtColor(image, cv2.COLOR_RGB2YCrCb) for image in shot]
        for shot in (_shot(0, 40), [*_shot(1, 20), *_shot(2, 20)])
    )
    ycc = [np.dstack([(64 + y[..., 0] // 2), c[..., 1:] // 2 + 64]) for y, c in zip(luma, colors)]
    images = [cv2.cvtColor(image.astype(np.uint8), cv2.COLOR_YCrCb2RGB) for image in ycc]
    assert _marks(images) == ([20], [])


@pytest.mark.parametrize("num_frames", [1, 2, 3])
def test_a_flash_is_no_cut(num_frames):
    images = _shot(0, 40)
    for i in range(20, 20 + num_frames):
        images[i] = 255 - (255 - images[i]) // 8
    assert _marks(images) == ([], [])


def test_a_tint_is_no_cut():
    # a white balance that jumps: the same picture, tinted
    images = _shot(0, 40)
    images[20:] = [np.clip(x * np.array([1.15, 1.0, 0.85]), 0, 255) for x in images[20:]]
    assert _marks([image.astype(np.uint8) for image in images]) == ([], [])


def test_marks_are_the_same_from_the_middle():
    images = _mix(_mix(_shot(0, 50), _shot(1, 60), 16), _shot(2, 50), 8) + _shot(3, 30)
    whole = [(m.cut_before, m.transition, m.still) for m in mark_steps(_frames(images))]
    assert sum(bool(kind) for _, kind, _ in whole) == 24 and sum(c for c, *_ in whole) == 1
    for first in range(0, 100, 7):
        rest = list(mark_steps(_frames(images)[first:]))[CONTEXT:]
        found = [(m.cut_before, m.transition, m.still) for m in rest]
        assert found == whole[first + CONTEXT :], first


@pytest.mark.parametrize("num_frames", [0, 1, 2, 3, 8])
def test_short_clips(num_frames):
    marked = list(mark_steps(_frames(_grey(*range(num_frames)))))
    assert [m.frame.index for m in marked] == list(range(num_frames))


def _run(source, interpolate, options, **target):
    with open_source([str(source)]) as opened:
        return list(interpolate_frames(opened, interpolate, Target(**target), options))


def test_nothing_is_made_across_a_cut(write_video, shots, average):
    source = write_video("in.mp4", shots)
    out = _run(source, average, StreamOptions(), multi=4)
    assert [f.cuts for f in out if f.cuts] == [(0.48,)]
    around = [f.kind for f in out[44:49]]
    assert around == ["source", "held", "held", "held", "source"]
    first, last = out[44].image, out[48].image
    assert [bool((f.image == first).all()) for f in out[45:48]] == [True, True, False]
    assert (out[47].image == last).all()


def test_a_cut_may_be_blended(write_video, shots, average):
    source = write_video("in.mp4", shots)
    out = _run(source, average, StreamOptions(on_cut="blend"), multi=2)
    assert out[23].kind == "blended"
    mean = (out[22].image.astype(float) + out[24].image) / 2
    assert np.abs(out[23].image - mean).max() <= 0.5


def test_a_dissolve_is_blended(write_video, average):
    images = _mix(_shot(0, 30), _shot(1, 30), 8)
    source = write_video("in.mkv", images, codec="ffv1", pix_fmt="yuv444p")
    out = _run(source, average, StreamOptions(), multi=2)
    # steps 22 to 29 lead from shot to shot
    kinds = [frame.kind for frame in out]
    assert [i for i, kind in enumerate(kinds) if kind == "blended"] == [*range(45, 60, 2)]
    mean = (out[50].image.astype(float) + out[52].image) / 2
    assert np.abs(out[51].image - mean).max() <= 0.5
    plain = _run(source, average, StreamOptions(cut_threshold=None), multi=2)
    assert {frame.kind for frame in plain[:-1]} == {"source", "made"}


def test_the_threshold_decides(write_video, shots, average):
    source = write_video("in.mp4", shots)
    for threshold in (None, 250.0):
        out = _run(source, average, StreamOptions(cut_threshold=threshold), multi=2)
        assert out[23].kind == "made"


def test_cuts_of_a_real_clip_are_reported(tmp_path, real_clip, average):
    report = interpolate_video(
        str(real_clip("bikes.mp4")), str(tmp_path / "o.mp4"), average, Target(fps=F(30))
    )
    assert report.cuts == [1.2, 5.48, 7.48, 9.68]


def _ramp(i):
    """A square at x = 4 i."""
    image = np.full((48, 160, 3), 60, np.uint8)
    image[10:40, 4 * i : 4 * i + 30] = 200
    return image


def test_dedupe_spreads_motion_over_repeats(write_video, average):
    # on twos: every drawing is shown twice
    drawings = [_ramp(i // 2 * 2) for i in range(24)]
    source = write_video("in.mkv", drawings, codec="ffv1", pix_fmt="yuv444p")
    plain = _run(source, average, StreamOptions(), multi=2)
    smooth = _run(source, average, StreamOptions(dedupe=True), multi=2)
    assert len(plain) == len(smooth) == 48  # as long as before
    assert [f.time for f in plain] == [f.time for f in smooth]

    def moving(frames):
        return sum(bool((a.image != b.image).any()) for a, b in pairwise(frames[:45]))

    assert moving(plain) == 22  # frame 3 is half way, frame 4 is the next drawing: twice per 4
    assert moving(smooth) == 44
    assert sum(f.repeats for f in smooth) == 12
    middle = (drawings[0].astype(float) + drawings[2]) / 2
    assert np.abs(smooth[2].image - middle).max() <= 2


def test_a_pause_is_not_spread(write_video, average):
    values = [_ramp(i) for i in range(8)] + [_ramp(7)] * 10 + [_ramp(i) for i in range(8, 14)]
    source = write_video("in.mkv", values, codec="ffv1", pix_fmt="yuv444p")
    out = _run(source, average, StreamOptions(dedupe=True), multi=2)
    assert len(out) == 2 * len(values)
    pause = [f.image for f in out[14:35]]
    assert all((image == pause[0]).all() for image in pause)


def test_the_dedupe_option_reaches_the_file(tmp_path, write_video, average, read_video):
    source = write_video("in.mkv", [_ramp(i // 2 * 2) for i in range(16)], codec="ffv1")
    options = JobOptions(stream=StreamOptions(dedupe=True))
    report = interpolate_video(
        str(source), str(tmp_path / "o.mkv"), average, Target(fps=F(50)), options
    )
    assert report.repeated_frames == 8
    assert report.output_frames == 32


def test_the_rule_of_gaps_by_hand():
    usual = [F(1, 25)] * 5
    assert is_gap([*usual, F(2)], 5, 0.5)
    assert not is_gap([*usual, F(2, 5)], 5, 0.5)  # shorter than max_gap
    assert not is_gap([F(1)] * 6, 3, 0.5)  # slides: every step is long
    assert is_gap([F(1)] * 5 + [F(5)], 5, 0.5)
    assert not is_gap([F(2)], 0, 0.5)  # nothing to compare it with


def test_a_long_gap_is_held(write_video, make_frames, average):
    # 10 frames, a pause of 2 s, 10 frames
    times = [*range(10), *range(60, 70)]
    path = write_video("in.mkv", make_frames(20), times=times)

    def kinds(max_gap):
        options = StreamOptions(max_gap=max_gap, cut_threshold=None)
        with open_source(path) as source:
            frames = list(interpolate_frames(source, average, Target(fps=50), options))
        return [f.kind for f in frames if F(9, 25) < f.time < F(60, 25)]

    assert set(kinds(0.5)) == {"held"}
    assert set(kinds(None)) == set(kinds(3)) == {"made"}
    assert len(kinds(0.5)) == 2 * 51 - 1


def test_plain_colors_are_not_alike():
    black, white, gray = (np.full(3 * 32 * 18, level, np.float32) for level in (16, 235, 128))
    assert not are_alike(black, white)
    rows = np.tile(np.linspace(0, 100, 32, dtype=np.float32), (18, 1))
    picture = np.stack([rows, np.full_like(rows, 128), np.full_like(rows, 128)]).ravel()
    assert are_alike(picture, picture + 20) and not are_alike(picture, gray)
