"""Encoders: rates that no video has."""

import pytest

from zoomin_d2.video import JobOptions, Target, interpolate_video
from zoomin_d2.video.errors import OutputError
from zoomin_d2.video.write.encoder import EncodeOptions


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
    with pytest.raises(OutputError, match=message):
        interpolate_video(source, tmp_path / "out.mkv", average, Target(multi=2), options)
    assert not list(tmp_path.glob("out*"))
