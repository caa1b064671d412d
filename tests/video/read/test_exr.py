"""EXR images in and out: half floats bit for bit, and what is refused or lost is said."""

import sys
from fractions import Fraction as F

import av
import cv2
import numpy as np
import pytest

from zoomin_d2.video import Target, interpolate_video, open_source
from zoomin_d2.video.errors import BadInputError, OutputError
from zoomin_d2.video.jobs.options import job_options
from zoomin_d2.video.read.exr import ExrFormat, read_exr, write_exr
from zoomin_d2.video.report import LOSSES

exr = pytest.importorskip("OpenEXR", reason="needs the package OpenEXR: pip install -e '.[vfx]'")
WIDE = (0.708, 0.292, 0.170, 0.797, 0.131, 0.046, 0.3127, 0.3290)


def _save(path, channels, **header):
    path.parent.mkdir(exist_ok=True)
    header = {"type": exr.scanlineimage, "compression": exr.PIZ_COMPRESSION, **header}
    exr.File(header, channels).write(str(path))
    return path


def _light(number, channels=3):
    """A highlight of 40 that moves, and a little below 0."""
    rng = np.random.default_rng(number)
    image = rng.normal(0.2, 0.1, (24, 32, channels)).astype(np.float16)
    image[4:8, 4 + number : 10 + number, :3] = 40
    return image


@pytest.fixture
def shot(tmp_path):
    def make(num_images=4, channels=3, first=997, **header):
        for i in range(num_images):
            image = _light(i, channels)
            if channels == 4:
                image[..., 3] = np.clip(image[..., 3], 0, 1)
            name = "RGBA"[:channels]
            _save(tmp_path / f"in/shot.{first + i:04d}.exr", {name: image}, **header)
        return tmp_path / "in"

    return make


@pytest.mark.parametrize("channels", [3, 4])
def test_passed_frames_are_bit_identical(shot, tmp_path, average, channels):
    source = shot(channels=channels)
    report = interpolate_video(str(source), tmp_path / "out", average, Target(multi=2))
    assert (report.exit_code, report.output_frames, report.made_frames) == (0, 7, 3)
    assert report.encoder == "exr"
    made = sorted((tmp_path / "out").iterdir())
    assert [f.name for f in made] == [f"shot.{997 + i:04d}.exr" for i in range(7)]
    for before, after in zip(sorted(source.iterdir()), made[::2]):
        a, b = read_exr(before)[0], read_exr(after)[0]
        assert a.shape == b.shape == (24, 32, channels)
        assert np.array_equal(a.view(np.uint16), b.view(np.uint16))


def test_made_frames_keep_light_above_one(shot, tmp_path, average):
    source = shot(2)
    interpolate_video(str(source), tmp_path / "out", average, Target(multi=2))
    middle = read_exr(tmp_path / "out/shot.0998.exr")[0]
    assert middle.dtype == np.float16
    assert np.abs(middle[4:8, 5:10].astype(float) / 40 - 1).max() < 2e-3  # in both highlights
    assert middle.min() < 0
    assert read_exr(tmp_path / "out/shot.0997.exr")[0].max() == 40


def test_transparency_is_premultiplied(tmp_path, average):
    for i, (light, alpha) in enumerate([(2.0, 1.0), (0.0, 0.0)]):
        image = np.full((16, 16, 4), light, np.float16)
        image[..., 3] = alpha
        _save(tmp_path / f"in/{i:02d}.exr", {"RGBA": image})
    interpolate_video(str(tmp_path / "in"), tmp_path / "out", average, Target(multi=2))
    middle = read_exr(tmp_path / "out/01.exr")[0]
    assert middle[0, 0, 3] == pytest.approx(0.5, abs=1e-3)
    assert 0.05 < middle[0, 0, 0] < 1.5  # the curve's middle of 0 and 2, not clipped


def test_a_shutter_adds_up_light(shot, tmp_path, average):
    source = shot(3, first=1)
    options = job_options(shutter=360.0)
    interpolate_video(str(source), tmp_path / "out", average, Target(fps=24), options, rate=F(24))
    blurred = read_exr(tmp_path / "out/shot.0002.exr")[0]
    assert blurred.dtype == np.float16 and 0.5 < blurred[5, 4].max() < 20


def test_attributes_are_kept(shot, tmp_path, average):
    source = shot(
        2,
        pixelAspectRatio=2.0,
        chromaticities=WIDE,
        owner="the studio",
        framesPerSecond=F(24),
        timeCode=exr.TimeCode(1, 2, 3, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0),
    )
    report = interpolate_video(str(source), tmp_path / "out", average, Target(multi=2))
    for file in (tmp_path / "out").iterdir():
        header = exr.File(str(file)).header()
        assert header["compression"] == exr.PIZ_COMPRESSION
        assert header["owner"] == "the studio" and header["pixelAspectRatio"] == 2
        assert header["chromaticities"] == pytest.approx(WIDE)
        assert header["framesPerSecond"] == 48
    assert report.dropped == ["EXR attributes of single images: timeCode"]
    assert report.exit_code == LOSSES
    with open_source(str(source)) as opened:
        assert opened.info.sample_aspect_ratio == 2


def test_losses_are_said(tmp_path, average):
    for i in range(2):
        light = {"RGB": _light(i).astype(np.float32), "Z": np.ones((24, 32), np.float32)}
        _save(tmp_path / f"in/{i:02d}.exr", light)
    job = str(tmp_path / "in"), average, Target(multi=2)
    report = interpolate_video(job[0], tmp_path / "out", *job[1:])
    lost = ["EXR channels: Z", "EXR precision: float32 is rounded to half floats"]
    assert report.dropped == lost
    clipped = "light below 0 and above 1, and half floats: the output is not EXR"
    for name in ("out.mkv", "out.gif", "other/%03d.png"):
        report = interpolate_video(job[0], tmp_path / name, *job[1:], job_options(codec="ffv1"))
        assert report.dropped == [*lost, clipped]
        assert report.exit_code == LOSSES
    png = cv2.imread(str(tmp_path / "other/000.png"), cv2.IMREAD_UNCHANGED)
    assert png.dtype == np.uint16 and (png[5, 6] == 65535).all()


def test_gray_stays_gray(tmp_path, average):
    for i in range(2):
        _save(tmp_path / f"in/{i:02d}.exr", {"Y": _light(i)[..., 0].copy()})
    report = interpolate_video(str(tmp_path / "in"), tmp_path / "out", average, Target(multi=2))
    assert report.exit_code == 0
    channels = exr.File(str(tmp_path / "out/02.exr"), separate_channels=True).channels()
    assert list(channels) == ["Y"] and np.array_equal(channels["Y"].pixels, _light(1)[..., 0])


@pytest.mark.parametrize(
    "window, is_cut", [((2, 1, 5, 4), False), ((-2, 1, 3, 9), True), ((9, 9, 12, 12), True)]
)
def test_data_windows_are_placed(tmp_path, window, is_cut):
    left, top, right, bottom = window
    image = np.full((bottom - top + 1, right - left + 1, 3), 0.5, np.float16)
    header = {
        "dataWindow": (np.array([left, top], np.int32), np.array([right, bottom], np.int32)),
        "displayWindow": (np.array([0, 0], np.int32), np.array([7, 5], np.int32)),
    }
    picture, form = read_exr(_save(tmp_path / "a.exr", {"RGB": image}, **header))
    expected = np.zeros((6, 8, 3))
    expected[max(top, 0) : bottom + 1, max(left, 0) : right + 1] = 0.5
    assert np.array_equal(picture, expected)
    assert bool(form.lost) == is_cut


def test_what_is_not_supported_is_refused(tmp_path):
    plane = np.ones((6, 8), np.float16)
    parts = [exr.Part({"name": n}, {"RGB": np.ones((6, 8, 3), np.float16)}) for n in "ab"]
    exr.File(parts).write(str(tmp_path / "parts.exr"))
    _save(tmp_path / "layer.exr", {f"beauty.{c}": plane for c in "RGB"})
    whole = _save(tmp_path / "whole.exr", {"RGB": np.ones((64, 64, 3), np.float16)}).read_bytes()
    (tmp_path / "cut.exr").write_bytes(whole[:-30])
    (tmp_path / "text.exr").write_text("no image")
    for name, words in {
        "parts": "has 2 parts; images of one part are needed",
        "layer": r"has the channels beauty\.B, .* R, G, and B \(or Y\) are needed",
        "cut": "damaged",
        "text": "is not an EXR image",
        "missing": "is not an EXR image",
    }.items():
        with pytest.raises(BadInputError, match=words) as error:
            read_exr(tmp_path / f"{name}.exr")
        assert "\n" not in str(error.value)


def test_video_becomes_light(write_video, tmp_path, average):
    gray = [np.full((32, 48, 3), 128, np.uint8)] * 3
    source = write_video("in.mp4", gray, tags=(9, 13, 9, 1), aspect=F(4, 3))
    output = tmp_path / "out/shot.####.exr"
    report = interpolate_video(str(source), output, average, Target(multi=2))
    files = sorted((tmp_path / "out").iterdir())
    assert report.exit_code == 0 and [f.name for f in files][-1] == "shot.0005.exr"
    picture, form = read_exr(files[1])
    assert np.abs(picture.astype(float) - 0.2158).max() < 0.01
    assert form.attributes["chromaticities"] == pytest.approx(WIDE)
    assert form.aspect == F(4, 3) and form.attributes["framesPerSecond"] == 50


def test_two_images_and_their_middle(shot, tmp_path, average):
    files = [str(f) for f in sorted(shot(2).iterdir())]
    interpolate_video(files, tmp_path / "middle.exr", average, Target(multi=2))
    assert read_exr(tmp_path / "middle.exr")[0].max() == pytest.approx(40, rel=2e-3)
    report = interpolate_video(files, tmp_path / "middle.png", average, Target(multi=2))
    assert len(report.dropped) == 1


def test_a_stopped_sequence_is_resumed(shot, tmp_path, average):
    source = str(shot(6))
    for name in ("whole", "parts"):
        interpolate_video(source, tmp_path / name, average, Target(multi=2))
    files = sorted((tmp_path / "parts").iterdir())
    for file in files[5:]:
        file.unlink()
    with pytest.raises(OutputError, match="--resume continues"):
        interpolate_video(source, tmp_path / "parts", average, Target(multi=2))
    options = job_options(resume=True)
    interpolate_video(source, tmp_path / "parts", average, Target(multi=2), options)
    assert sorted((tmp_path / "parts").iterdir()) == files
    for file in files:
        other = tmp_path / "whole" / file.name
        assert np.array_equal(read_exr(file)[0], read_exr(other)[0])


def test_filters_take_no_exr(shot):
    with pytest.raises(Exception, match="--filter hflip: takes no EXR images"):
        open_source(str(shot(2)), filters="hflip")


def test_a_missing_package_is_named(shot, tmp_path, monkeypatch, average):
    source = str(shot(2))
    monkeypatch.setitem(sys.modules, "OpenEXR", None)
    with pytest.raises(BadInputError, match=r"pip install 'zoomin_d2\[vfx\]'"):
        open_source(source)
    with pytest.raises(OutputError, match=r"pip install 'zoomin_d2\[vfx\]'"):
        write_exr(tmp_path / "a.exr", np.zeros((2, 2, 3), np.float16), ExrFormat())


def test_ffmpeg_reads_what_is_written(shot, tmp_path, average):
    interpolate_video(str(shot(2)), tmp_path / "out", average, Target(multi=2))
    with av.open(str(tmp_path / "out/shot.0998.exr")) as container:
        frame = next(container.decode(video=0))
    assert (frame.width, frame.height) == (32, 24)
