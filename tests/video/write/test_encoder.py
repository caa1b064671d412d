"""Encoders: rates that no video has."""

import pytest

from zoomin_d2.video import Target, interpolate_video
from zoomin_d2.video.errors import OutputError


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
