"""Encoders: rates that no video has, and what each needs to show the picture as it was."""

import io
from fractions import Fraction as F

import av
import numpy as np
import pytest

from zoomin_d2.video import JobOptions, Target, interpolate_video
from zoomin_d2.video.errors import DiskFullError, OptionError, OutputError
from zoomin_d2.video.read.color import path_for_images
from zoomin_d2.video.time.pipeline import OutputFrame
from zoomin_d2.video.time.pixels import Pixels
from zoomin_d2.video.write.encoder import EncodeOptions
from zoomin_d2.video.write.sinks import Y4mPipe


def test_a_rate_has_an_upper_limit(write_video, make_frames, average, tmp_path):
    source = write_video("in.mp4", make_frames(2))
    with pytest.raises(OutputError, match="10025 fps is too fast: a video has at most 10000"):
        interpolate_video(source, tmp_path / "out.mp4", average, Target(multi=401))
    assert not list(tmp_path.glob("out*"))


@pytest.mark.parametrize("num_frames", [1, 5])
def test_a_low_rate_shows_one_frame(write_video, make_frames, average, tmp_path, num_frames):
    source = write_video("in.mp4", make_frames(num_frames))
    for name in ("out.mp4", "out.gif"):
        report = interpolate_video(source, tmp_path / name, average, Target(fps=1))
        assert (report.output_frames, report.duration) == (1, 1.0)


@pytest.mark.parametrize(
    ("codec", "crf", "message"),
    [
        ("h264", 52, r"libx264 takes --crf 0 \(best\) to 51 \(worst\), not 52"),
        ("av1", 64, r"to 63 \(worst\), not 64"),
        ("h265", -1, r"not -1"),
        ("ffv1", 20, "ffv1 is lossless: leave out --crf"),
    ],
)
def test_crf_has_a_range(codec, crf, message, write_video, make_frames, average, tmp_path):
    source = write_video("in.mp4", make_frames(2))
    options = JobOptions(encode=EncodeOptions(codec=codec, crf=crf))
    with pytest.raises(OptionError, match=message):
        interpolate_video(source, tmp_path / "out.mkv", average, Target(multi=2), options)
    assert not list(tmp_path.glob("out*"))


def test_x264_works_on_whole_frames(write_video, make_frames, average, tmp_path):
    """Cut into slices, one for each core, frames are larger and cores wait for each other. Frames
    with fewer rows, and one core, get no slices in any case."""
    source = write_video("in.mp4", make_frames(2, 128, 96))
    interpolate_video(source, tmp_path / "out.mp4", average, Target(multi=2))
    assert b" sliced_threads=0 " in (tmp_path / "out.mp4").read_bytes()


@pytest.mark.parametrize("name", ["vp9.mp4", "av1.mp4", "prores.mov", "h264.mkv"])
def test_pixel_aspect_is_kept(write_video, make_frames, average, tmp_path, name):
    source = write_video("in.mp4", make_frames(2, 64, 64), aspect=F(16, 11))
    options = JobOptions(encode=EncodeOptions(codec=name.split(".")[0]))
    report = interpolate_video(source, tmp_path / name, average, Target(multi=2), options)
    with av.open(str(tmp_path / name)) as out:
        assert out.streams.video[0].sample_aspect_ratio == F(16, 11)
    assert not any("pixel aspect" in warning for warning in report.warnings)


@pytest.mark.parametrize("name", ["vp9.webm", "ffv1.mkv"])
def test_a_lost_pixel_aspect_is_named(write_video, make_frames, average, tmp_path, name):
    source = write_video("in.mp4", make_frames(2, 64, 64), aspect=F(16, 11))
    options = JobOptions(encode=EncodeOptions(codec=name.split(".")[0]))
    report = interpolate_video(source, tmp_path / name, average, Target(multi=2), options)
    assert any("cannot hold the pixel aspect of 16/11" in x for x in report.warnings)


def test_full_range_in_prores(write_video, make_frames, average, read_video, tmp_path):
    """Players take ProRes for limited range, whatever its tag says."""
    tags = (1, 1, 1, 2)
    source = write_video("in.mov", make_frames(2), tags=tags, pix_fmt="yuv422p10le")
    options = JobOptions(encode=EncodeOptions(codec="prores"))
    interpolate_video(source, tmp_path / "out.mov", average, Target(multi=2), options)
    before, after = read_video(source)[0], read_video(tmp_path / "out.mov")[0]
    assert np.abs(before[0].astype(int) - after[0]).mean() / 257 < 2
    with av.open(str(tmp_path / "out.mov")) as out:
        frame = next(out.decode(video=0))
    assert frame.color_range != 2


def test_gray_tagged_as_rgb(write_video, make_frames, average, tmp_path):
    source = write_video("in.mov", make_frames(2), codec="png", pix_fmt="gray")
    interpolate_video(source, tmp_path / "out.mp4", average, Target(multi=2))
    with av.open(str(tmp_path / "out.mp4")) as out:
        assert next(out.decode(video=0)).colorspace == 6  # BT.601, as for RGB of this size


def test_a_deeper_source_is_named(write_video, make_frames, average, tmp_path):
    source = write_video("in.mov", make_frames(2, 64, 64), codec="png", pix_fmt="gray16be")
    report = interpolate_video(source, tmp_path / "out.mp4", average, Target(multi=2))
    assert "libx265 has no 16-bit format here; writing 12 bits" in report.warnings


def test_y4m_has_the_pixel_aspect():
    file, color = io.BytesIO(), path_for_images(16, False)
    pipe = Y4mPipe(F(24), (16, 16), color, file, aspect=F(16, 11))
    black = Pixels(np.zeros((16, 16, 3), np.uint8))
    pipe.write(OutputFrame(0, F(0), black, "source", 0, (F(0), 0), black))
    pipe.finish()
    assert file.getvalue().startswith(b"YUV4MPEG2 W16 H16 F24:1 Ip A16:11 ")


def test_animations_on_a_full_disk(write_video, make_frames, average, tmp_path):
    source = write_video("in.mp4", make_frames(4))
    with pytest.MonkeyPatch.context() as context:
        context.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError(28, "no space")))
        with pytest.raises(DiskFullError) as error:
            interpolate_video(source, tmp_path / "out.gif", average, Target(multi=2))
    assert "Finished work" not in str(error.value) and not list(tmp_path.glob("out*"))
