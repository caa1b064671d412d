"""The video that the page shows with a divider: sizes, times, depth."""

import av
import numpy as np
import pytest

from zoomin_d2.cli.app.comparison import MAX_SIDE, ComparisonVideo
from zoomin_d2.video import Target, open_source
from zoomin_d2.video.jobs.container_job import Hooks
from zoomin_d2.video.jobs.run import interpolate_source


@pytest.fixture
def compare(tmp_path, average):
    """Interpolates a clip, 2 frames for 1; returns its comparison and the times of its frames."""

    def make(clip, target=Target(multi=2)):  # noqa: B008
        path = tmp_path / "comparison.mp4"
        with open_source([clip]) as source, ComparisonVideo(path, source.info) as comparison:

            def decorate(frame):
                comparison.add(frame)
                return frame

            hooks = Hooks(decorate=decorate)
            interpolate_source(source, tmp_path / "out.mp4", average, target, hooks=hooks)
        with av.open(str(comparison.path)) as video:
            frames = list(video.decode(video=0))
        return comparison, frames

    return make


def test_odd_sizes_become_even(compare, write_video, make_frames):
    clip = write_video("odd.mp4", make_frames(4, 47, 63), pix_fmt="yuv444p")
    _, frames = compare(clip)
    assert (frames[0].width, frames[0].height) == (2 * 62, 46)


def test_large_frames_become_smaller(compare, write_video, make_frames):
    clip = write_video("large.mp4", make_frames(2, 48, 2 * MAX_SIDE))
    _, frames = compare(clip)
    assert (frames[0].width, frames[0].height) == (2 * MAX_SIDE, 24)


def test_times_are_those_of_the_result(compare, write_video, make_frames):
    clip = write_video("in.mp4", make_frames(6), fps=25)
    comparison, frames = compare(clip, Target(slowmo=2))
    assert [f.time for f in frames] == pytest.approx([k / 25 for k in range(12)])
    # Of 12 frames the odd ones are made; the 6th is the one nearest to the middle from there on.
    assert comparison.still == pytest.approx(5.5 / 25)


def test_ten_bits(compare, write_video, make_frames):
    clip = write_video("deep.mkv", make_frames(4), codec="libx265", pix_fmt="yuv420p10le")
    _, frames = compare(clip)
    shown = frames[0].to_ndarray(format="rgb24").astype(int)
    assert np.abs(shown[:, :64] - make_frames(1)[0]).mean() < 3


def test_nothing_made_has_a_still_as_well(tmp_path, write_video, make_frames):
    clip = write_video("in.mp4", make_frames(2))
    with open_source([clip]) as source:
        comparison = ComparisonVideo(tmp_path / "comparison.mp4", source.info)
    assert comparison.still == 0.0
    with comparison:
        pass


def test_the_first_error_is_the_one_raised(tmp_path, write_video, make_frames):
    clip = write_video("in.mp4", make_frames(2))
    with (
        open_source([clip]) as source,
        pytest.raises(KeyError, match="first"),
        ComparisonVideo(tmp_path / "comparison.mp4", source.info) as comparison,
    ):
        comparison._worker.put("no frame")
        raise KeyError("first")
