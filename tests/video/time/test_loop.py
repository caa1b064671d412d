"""Clips that repeat: the frames between the last one and the first one."""

from fractions import Fraction as F

import numpy as np
import pytest

from zoomin_d2.video import JobOptions, StreamOptions, Target, interpolate_video, open_source
from zoomin_d2.video.errors import BadInputError, OutputError
from zoomin_d2.video.read.reader import VideoReader
from zoomin_d2.video.read.source import SourceFrame
from zoomin_d2.video.time.loop import close_grid, closed
from zoomin_d2.video.time.pipeline import CONTEXT, interpolate_frames
from zoomin_d2.video.time.timeline import make_grid

LOOP = StreamOptions(loop=True)
LOOP_JOB = JobOptions(stream=LOOP)


@pytest.fixture
def clip(write_video, make_frames):
    """10 frames of 25 per second, without loss."""
    return write_video("in.mkv", make_frames(10), codec="ffv1", pix_fmt="yuv444p")


def _run(source, average, target, options=LOOP, **place):
    with open_source(source) as opened:
        return list(interpolate_frames(opened, average, target, options, **place))


def test_the_first_frame_comes_once_more():
    frames = [SourceFrame(i, F(i, 25), F(1, 25), f"picture {i}") for i in range(3)]
    *rest, last = closed(frames)
    assert rest == frames
    assert (last.index, last.time, last.picture) == (3, F(3, 25), "picture 0")
    assert last.closes_loop and not last.duration
    assert list(closed([])) == []


def test_the_seam_is_interpolated(clip, average):
    out = _run(clip, average, Target(multi=2))
    assert [f.kind for f in out] == ["source", "made"] * 10
    mean = (out[18].image.astype(float) + out[0].image) / 2
    assert np.abs(out[19].image - mean).max() <= 0.5
    assert out[-1].time + out[-1].duration == F(10, 25)
    plain = _run(clip, average, Target(multi=2), StreamOptions())
    assert plain[-1].kind == "held"
    assert all((a.image == b.image).all() for a, b in zip(out[:19], plain[:19]))


@pytest.mark.parametrize("fps, count", [(50, 20), (60, 24), (30, 12), (36, 14), (35, 14)])
def test_frames_divide_the_loop(clip, average, fps, count):
    with open_source(clip) as source:
        grid = make_grid(Target(fps=fps), source.info)
        grids = {keep: close_grid(grid, source, keep) for keep in (True, False)}
    by_length = _run(clip, average, grids[True])
    assert [f.time for f in by_length] == [F(2 * i, 5 * count) for i in range(count)]
    assert by_length[-1].time + by_length[-1].duration == F(2, 5)
    by_rate = _run(clip, average, grids[False])
    assert [f.time for f in by_rate] == [F(i, fps) for i in range(count)]
    assert all((a.image == b.image).all() for a, b in zip(by_length, by_rate))


def test_a_seam_that_is_a_cut_is_held(tmp_path, write_video, make_frames, average, read_video):
    frames = make_frames(30)
    frames = [*frames[:15], *(255 - f for f in frames[15:])]
    source = write_video("in.mkv", frames, codec="ffv1", pix_fmt="yuv444p")
    output = tmp_path / "out.mkv"
    report = interpolate_video(source, output, average, Target(multi=4), LOOP_JOB)
    assert report.cuts == [0.6]
    assert [w for w in report.warnings if "does not close" in w]
    out = _run(source, average, Target(multi=4))
    assert [f.kind for f in out[-4:]] == ["source", "held", "held", "held"]
    assert all((f.image == out[-4].image).all() for f in out[-3:])


def test_a_loop_resumes_exactly(write_video, make_frames, average):
    source = write_video("long.mkv", make_frames(90), codec="ffv1", pix_fmt="yuv444p")
    whole = _run(source, average, Target(multi=2))
    place = whole[150].read_on
    assert place[1] > 75 - CONTEXT
    rest = _run(source, average, Target(multi=2), first=151, start=place)
    assert [f.index for f in rest] == list(range(151, 180))
    assert all((a.image == b.image).all() for a, b in zip(rest, whole[151:]))
    assert rest[-1].kind == "made"


def test_repeats_at_the_seam(write_video, make_frames, average):
    # drawings on twos, the first one once more at the end: the seam repeats it
    drawings = [frame for frame in make_frames(8) for _ in range(2)]
    drawings.append(drawings[0])
    source = write_video("in.mkv", drawings, codec="ffv1", pix_fmt="yuv444p")
    out = _run(source, average, Target(multi=2), StreamOptions(loop=True, dedupe=True))
    assert [f.index for f in out] == list(range(34))
    assert out[-1].time + out[-1].duration == F(17, 25)


def test_a_pipe_needs_whole_factors(clip):
    with open(clip, "rb") as file, VideoReader(file) as pipe:
        grid = make_grid(Target(multi=2), pipe.info)
        assert close_grid(grid, pipe, True) is grid
        with pytest.raises(BadInputError, match=r"length is unknown.*--multi"):
            close_grid(make_grid(Target(fps=60), pipe.info), pipe, True)


def test_headers_are_not_believed(tmp_path, write_video, make_frames, average):
    """The frames are uneven, so the last one lasts longer than the header says."""
    source = write_video("vfr.mp4", make_frames(9), times=[0, 3, 4, 6, 9, 12, 15, 18, 21])
    report = interpolate_video(source, tmp_path / "o.mp4", average, Target(fps=50), LOOP_JOB)
    with open_source(source) as opened:
        assert opened.info.duration < F(22, 25) < report.duration
        list(opened.frames())
    assert abs(report.duration - float(opened.end)) <= 0.01


@pytest.mark.parametrize("kind", ["longer sound", "slower by a filter"])
def test_the_pictures_alone_decide(tmp_path, write_video, make_frames, average, kind):
    rate, filters, length = F(25), "setpts=2*PTS", 0.8
    if kind == "longer sound":  # .mkv files tell only the length of the whole
        rate, filters, length = F(25, 2), "", 0.4
    images = make_frames(10)
    source = write_video("in.mkv", images, rate, time_base=F(1, 25), audio="aac")
    for output in (tmp_path / "o.mkv", tmp_path / "o.gif"):
        report = interpolate_video(
            source, output, average, Target(fps=36), LOOP_JOB, filters=filters
        )
        assert report.output_frames == round(36 * length)
    assert report.duration == pytest.approx(length, abs=0.001)


def test_a_preview_has_no_loop(clip, average, tmp_path):
    options = JobOptions(stream=LOOP, limit=F(1))
    with pytest.raises(OutputError, match="preview has no loop"):
        interpolate_video(clip, tmp_path / "o.mkv", average, Target(multi=2), options)


def test_images_close_without_a_copy(tmp_path, make_frames, average):
    from zoomin_d2.video.write.sinks import write_image

    (tmp_path / "in").mkdir()
    for i, image in enumerate(make_frames(5)):
        write_image(tmp_path / "in" / f"{i}.png", image)
    folders = tmp_path / "in", tmp_path / "out"
    report = interpolate_video(*folders, average, Target(multi=3), LOOP_JOB)
    assert report.output_frames == 15 and report.made_frames == 10


def test_sound_stays_as_it_is(tmp_path, write_video, make_frames, average, packets):
    source = write_video("in.mp4", make_frames(20), audio="aac")
    output = tmp_path / "out.mp4"
    report = interpolate_video(source, output, average, Target(fps=50), LOOP_JOB)
    assert (report.output_frames, report.duration) == (40, 0.8)  # as long as the source
    assert packets(output, "audio") == packets(source, "audio")
