"""What the app does with clips and images, on a real clip, and what it refuses."""

import threading
from fractions import Fraction

import av
import cv2
import numpy as np
import pytest

from tests.cli.app.conftest import FRAMES
from zoomin_d2.cli.app import jobs
from zoomin_d2.cli.app.jobs import RATE, SLOWER, SMOOTHER, Choices, Limits
from zoomin_d2.video import Report, Target, VideoError, interpolate_source
from zoomin_d2.video.errors import InterruptedRunError

TWICE = Target(multi=2)


def run(clip, folder, choices, mask=None, limits=None, progress=lambda *_: None, stop=None):
    stop, limits = stop or threading.Event(), limits or Limits()
    return jobs.interpolate_clip(clip, mask, choices, limits, folder, progress, stop)


def frames_of(path) -> list[np.ndarray]:
    with av.open(str(path)) as video:
        return [f.to_ndarray(format="rgb24").astype(int) for f in video.decode(video=0)]


def test_a_clip_becomes_smoother(real_clip, tmp_path):
    seen = []
    result = run(real_clip, tmp_path, Choices(TWICE, "dis"), progress=lambda *x: seen.append(x))
    assert len(frames_of(result.output)) == 2 * FRAMES
    assert seen[-1] == (2 * FRAMES, 2 * FRAMES)
    facts, notes = jobs.describe(result.report)
    assert f"{FRAMES} \u2192 {2 * FRAMES} frames" in facts and "at 50 fps" in facts
    assert notes == []
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *("comparison.mp4", "real clip_dis.mp4")
    ]


def test_the_comparison_holds_the_source(real_clip, tmp_path):
    result = run(real_clip, tmp_path, Choices(TWICE, "average"))
    shown, source = frames_of(result.comparison), frames_of(real_clip)
    assert shown[0].shape == (96, 320, 3) and len(shown) == 2 * FRAMES
    for k in range(2 * FRAMES - 1):
        left, right = shown[k][:, :160], shown[k][:, 160:]
        held = source[k // 2]
        assert np.abs(left - held).mean() < 2
        between = (held + source[(k + 1) // 2]) / 2
        assert np.abs(right - between).mean() < 2
    # The 8th of 16 frames is made; at 50 fps its middle is at 0.15 s.
    assert result.still == pytest.approx(0.15)


def test_proposals_are_drawn(real_clip, tmp_path):
    frames = []
    for draw in (False, True):
        (tmp_path / str(draw)).mkdir()
        choices = Choices(TWICE, "average", draw=draw)
        frames.append(frames_of(run(real_clip, tmp_path / str(draw), choices).output)[0])
    assert (np.abs(frames[0] - frames[1]).max(axis=2) > 60).sum() > 100


def test_a_white_mask_shows_source_frames(real_clip, tmp_path):
    cv2.imwrite(str(tmp_path / "mask.png"), np.full((96, 160), 255, np.uint8))
    result = run(real_clip, tmp_path, Choices(TWICE, "average"), tmp_path / "mask.png")
    made, source = frames_of(result.output)[1], frames_of(real_clip)
    assert min(np.abs(made - source[k]).mean() for k in (0, 1)) < 2
    assert np.abs(source[0] - source[1]).mean() > 2


def test_cuts_can_be_left_unfound(tmp_path, write_video):
    images = [np.full((48, 64, 3), level, np.uint8) for level in [20] * 6 + [230] * 6]
    clip = write_video("cut.mp4", images)
    found = []
    for cuts in (True, False):
        (tmp_path / str(cuts)).mkdir()
        choices = Choices(TWICE, "average", cuts=cuts)
        found.append(run(clip, tmp_path / str(cuts), choices).report.cuts)
    assert len(found[0]) == 1 and found[1] == []


@pytest.mark.parametrize(
    ("sound", "heard"), [("pcm_mulaw", "aac"), ("ac3", "aac"), ("mp3", "mp3float"), ("aac", "aac")]
)
def test_browsers_play_the_sound(tmp_path, write_video, make_frames, sound, heard):
    clip = write_video("in.mov", make_frames(6), audio=sound)
    (tmp_path / "out").mkdir()
    result = run(clip, tmp_path / "out", Choices(TWICE, "average"))
    with av.open(str(result.output)) as container:
        assert [stream.codec_context.name for stream in container.streams.audio] == [heard]
    assert result.report.dropped == []


def test_stop_ends_a_job_early(real_clip, tmp_path):
    stop = threading.Event()
    seen = []

    def progress(done, total):
        seen.append(done)
        if done == 5:
            stop.set()

    with pytest.raises(InterruptedRunError):
        run(real_clip, tmp_path, Choices(TWICE, "dis"), progress=progress, stop=stop)
    assert seen == [1, 2, 3, 4, 5]


def test_stop_while_the_model_loads(real_clip, tmp_path):
    stop = threading.Event()
    stop.set()
    with pytest.raises(InterruptedRunError):
        run(real_clip, tmp_path, Choices(TWICE, "average"), stop=stop)
    assert list(tmp_path.iterdir()) == []


def test_stop_after_the_last_frame(real_clip, tmp_path, monkeypatch):
    stop = threading.Event()

    def until_written(*arguments):
        report = interpolate_source(*arguments)
        stop.set()
        return report

    monkeypatch.setattr(jobs, "interpolate_source", until_written)
    with pytest.raises(InterruptedRunError):
        run(real_clip, tmp_path, Choices(TWICE, "average"), stop=stop)


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        (Limits(seconds=0.1), r"lasts 0\.3 s; this page accepts at most 0\.1 s"),
        (Limits(pixels=1000), r"has 160 x 96 pixels; this page accepts at most 1,000"),
        (Limits(frames=12), r"would have 16 frames; this page makes at most 12"),
    ],
)
def test_limits_are_told_before_any_work(real_clip, limits, words):
    with pytest.raises(ValueError, match=words):
        jobs.check_clip(real_clip, limits, TWICE)


@pytest.mark.parametrize("limits", [Limits(frames=12), Limits(seconds=0.2)])
def test_limits_hold_for_unknown_lengths(real_clip, limits, tmp_path):
    """As of a recording that a browser streams."""
    clip = tmp_path / "streamed.mkv"
    with av.open(str(real_clip)) as source, open(clip, "wb") as file:
        sink = type("Sink", (), {"write": lambda self, data: file.write(data)})()  # cannot seek
        with av.open(sink, "w", format="matroska") as out:
            video = source.streams.video[0]
            stream = out.add_stream_from_template(video)
            for packet in source.demux(video):
                if packet.dts is not None:
                    packet.stream = stream
                    out.mux(packet)
    jobs.check_clip(clip, limits, TWICE)  # it cannot know
    with pytest.raises(ValueError, match="does not say how long it is"):
        run(clip, tmp_path, Choices(TWICE, "average"), limits=limits)
    run(clip, tmp_path, Choices(TWICE, "average"))


def test_length_of_result_is_open_at_first(real_clip):
    jobs.check_clip(real_clip, Limits(frames=12))


def test_what_is_no_video_is_refused(tmp_path):
    (tmp_path / "notes.mp4").write_text("no video")
    with pytest.raises(VideoError):
        jobs.check_clip(tmp_path / "notes.mp4", Limits())


def test_choices_become_targets():
    assert jobs.make_target(SMOOTHER, "3") == Target(multi=3)
    assert jobs.make_target(RATE, "59.94").fps == Fraction(60000, 1001)
    assert jobs.make_target(RATE, 47.5).fps == Fraction(95, 2)
    assert jobs.make_target(SLOWER, "2.5") == Target(slowmo=Fraction(5, 2))


@pytest.mark.parametrize(
    ("kind", "value", "words"),
    [
        (SMOOTHER, "1.5", "whole number from 2 to 16, not 1.5"),
        (SMOOTHER, "many", "“many” is not a number"),
        (SMOOTHER, None, "not a number"),
        (RATE, "1000", "from 1 to 240, not 1000"),
        (RATE, "fast", "not a frame rate: 'fast'"),
        (SLOWER, "1", "above 1 and at most 16 times, not 1"),
        (SLOWER, "1/0", "not a number"),
    ],
)
def test_numbers_out_of_range_are_refused(kind, value, words):
    with pytest.raises(ValueError, match=words):
        jobs.make_target(kind, value)


def test_choices_that_do_not_fit_the_model():
    with pytest.raises(ValueError, match="cannot tell where it is unsure"):
        Choices(TWICE, "average", unsure="blend")
    with pytest.raises(ValueError, match="has no best quality"):
        Choices(TWICE, "dis", quality="best")
    Choices(TWICE, "dis", unsure="blend")
    Choices(TWICE, "fast", quality="best", unsure="nearest")


def test_choices_in_a_few_words():
    assert str(Choices(TWICE)) == "2x, fast"
    assert str(Choices(Target(fps=60), "dis", cuts=False)) == "60 fps, dis, no cuts"
    slow = Choices(Target(slowmo=4), quality="best", keep_still=False, unsure="blend")
    assert str(slow) == "4x slow motion, fast, best quality, text moves, unsure: blend"


def test_what_a_result_lacks_is_said():
    report = Report("a", "b", 8, 16, 8, fps="50", width=64, height=48, duration=0.32, seconds=1)
    report.cuts, report.overlay_frames, report.dropped = [0.1, 0.2], 3, ["1 subtitle"]
    report.unsure_frames, report.unsure_area = 4, 0.125
    report.damage, report.warnings = "1 frame lost", ["interlaced"]
    facts, notes = jobs.describe(report)
    assert facts == (
        "8 \u2192 16 frames, 8 made, 0.32 s at 50 fps, 64 x 48, took 1.0 s, 2 scene cuts kept, "
        "still parts kept in 3 frames, unsure pixels replaced in 4 frames (12.5% of each)"
    )
    assert notes == [
        *("Missing in the result: 1 subtitle", "The clip is damaged: 1 frame lost", "interlaced")
    ]


@pytest.mark.parametrize(
    "path", ["/srv/app/in.mp4", "C:\\Users\\me\\in.mp4", "D:/clips/in.mp4", "in.mp4"]
)
def test_no_server_paths_are_shown(path):
    assert jobs.for_a_visitor(f"'{path}': no video, 3/4 of 5 s") == "'in.mp4': no video, 3/4 of 5 s"


def test_frames_between_two_images():
    first, second = (np.full((48, 64, 3), value, dtype=np.uint8) for value in (40, 80))
    shown = jobs.interpolate_images(first, second, 3, "average", False, Limits())
    assert [caption for _, caption in shown] == [
        *("frame 1", "t = 0.25", "t = 0.5", "t = 0.75", "frame 2")
    ]
    assert [int(picture.mean()) for picture, _ in shown] == [40, 50, 60, 70, 80]
    for images, words in (((first, None), "two images"), ((first, first[1:]), "64 x 48 and 64 x")):
        with pytest.raises(ValueError, match=words):
            jobs.interpolate_images(*images, 1, "average", False, Limits())
