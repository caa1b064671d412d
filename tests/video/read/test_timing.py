"""Rates and durations are those that the timestamps bear out."""

from fractions import Fraction as F
from types import SimpleNamespace

import av
import numpy as np
import pytest
from PIL import Image

from zoomin_d2.video import Target, interpolate_video
from zoomin_d2.video.read.reader import VideoReader
from zoomin_d2.video.read.timing import measure_timing

DELAYS = [100, 20, 500, 30, 100, 100, 40, 1000]  # ms; they sum up to 1,890


def _timing(declared, ticks, tick=F(1, 1000), durations=None):
    rates = [*declared, None, None, None]
    stream = SimpleNamespace(
        average_rate=rates[0],
        guessed_rate=rates[1],
        base_rate=rates[2],
        time_base=tick,
        codec_context=SimpleNamespace(name="h264"),
    )
    durations = durations or [0] * len(ticks)
    packets = [
        SimpleNamespace(pts=t, duration=d, is_discard=False) for t, d in zip(ticks, durations)
    ]
    return measure_timing(stream, packets, "matroska,webm")


FILM = [0, 42, 83, 125, 167, 209, 250, 292, 334, 375, 417, 459]  # 23.976 fps in ms
NTSC = [round(k * 1001 / 30) for k in range(30)]  # 29.97 fps in ms
RATES = [
    ("declared", [F(25)], range(0, 400, 40), 25),
    ("film in milliseconds", [F(24000, 1001)], FILM, F(24000, 1001)),
    ("1000 fps of a recorder", [F(1000), F(60)], [67, 100, 134, 167, 200, 234, 267], 30),
    ("the second is right", [F(50), F(25)], range(0, 400, 40), 25),
    ("one a second", [F(1)], range(0, 400, 20), 50),
    ("nothing declared", [], range(0, 400, 20), 50),
    ("a pause", [F(50, 3)], [*range(0, 400, 40), *range(2400, 2800, 40)], 25),
    ("uneven", [F(20)], [0, 10, 80, 100, 190, 200, 280, 300], 20),
    ("two frames", [F(30)], [0, 33], 30),
    ("one frame", [F(24)], [0], 24),
    ("nothing known", [], [0], 25),
    ("an average of rounded times", [F(989, 33), F(30000, 1001)], NTSC, F(30000, 1001)),
]


@pytest.mark.parametrize("declared, ticks, rate", [r[1:] for r in RATES], ids=[r[0] for r in RATES])
def test_rates(declared, ticks, rate):
    assert _timing(declared, list(ticks)).rate == rate


def test_durations_that_steps_bear_out():
    ticks = [0, 100, 120, 620]
    timing = _timing([F(5)], ticks, durations=[100, 20, 500, 1000])
    assert timing.true_durations
    assert timing.duration(F(62, 100), F(1), None, False) == 1
    timing = _timing([F(25)], [0, 40, 80, 120], durations=[1, 1, 1, 1])
    assert not timing.true_durations


@pytest.mark.parametrize("own, exact", [(41, F(1, 24)), (42, F(1, 24)), (43, F(43, 1000))])
def test_a_rounded_last_duration(own, exact):
    durations = [42, 41, 42, own]
    timing = _timing([F(24)], [0, 42, 83, 125], durations=durations)
    assert timing.true_durations
    assert timing.duration(F(1, 8), F(own, 1000), None, False) == exact


@pytest.mark.parametrize("target", [Target(multi=2), Target(slowmo=3)], ids=["multi", "slowmo"])
def test_the_last_of_rounded_times(write_video, make_frames, average, target):
    source = write_video("in.mkv", make_frames(12, 32, 48), fps=24)
    output = source.with_name("out.mp4")
    report = interpolate_video(str(source), str(output), average, target)
    step = 1 / F(report.fps)
    assert report.duration == float(report.output_frames * step)
    with av.open(str(output)) as container:
        times = sorted(p.pts * p.time_base for p in container.demux(video=0) if p.size)
    assert [time - times[0] for time in times] == [i * step for i in range(len(times))]


def test_the_end_of_a_wmv(write_video, make_frames):
    source = write_video("in.wmv", make_frames(12), fps=24, codec="wmv2", times=range(1, 13))
    with VideoReader(source) as reader:
        last = list(reader.frames())[-1]
        assert last.duration == F(1, 24)  # the header's end is that of the file, and a preroll late
        assert not reader.damage


@pytest.mark.parametrize("num_frames", [1, 3])
@pytest.mark.parametrize("suffix", ["mkv", "mp4"])
def test_a_picture_with_a_long_sound(
    write_video, make_frames, write_sound, join_streams, average, num_frames, suffix
):
    picture = write_video("picture.mkv", make_frames(num_frames, 32, 48))
    source = join_streams("in.mkv", picture, write_sound("sound.flac", seconds=3))
    with VideoReader(source) as reader:
        assert reader.info.num_frames <= 75  # the sound's end, for want of a better one
    output = source.with_name(f"out.{suffix}")
    report = interpolate_video(str(source), str(output), average, Target(multi=2))
    assert (report.output_frames, report.damage) == (2 * num_frames, "")
    assert abs(report.duration - num_frames / 25) < 0.002
    with av.open(str(output)) as container:
        assert abs(container.duration / av.time_base - 3) < 0.1


@pytest.mark.parametrize(
    "promised, is_complete, duration",
    [
        (F(13), False, F(1)),
        (F(12501, 1000), True, F(1, 2)),
        (F(16), False, F(1, 2)),
        (F(16), True, F(4)),
        (None, True, F(1, 2)),
    ],
)
def test_the_end_that_a_header_promises(promised, is_complete, duration):
    timing = _timing([F(2)], [0, 500, 1000], durations=[1, 1, 1])
    assert timing.duration(F(12), F(1, 1000), promised, is_complete) == duration


@pytest.fixture
def slides(tmp_path):
    """suffix -> an animation of 8 frames, each as long as DELAYS says."""

    def make(suffix):
        path = tmp_path / f"slides{suffix}"
        pictures = [Image.new("RGB", (64, 48), (30 * i, 40, 200 - 20 * i)) for i in range(8)]
        options = {"lossless": True} if suffix == ".webp" else {}
        pictures[0].save(
            path, save_all=True, append_images=pictures[1:], duration=DELAYS, loop=0, **options
        )
        return path

    return make


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png"])
@pytest.mark.parametrize("output", ["out.mp4", "out.mkv"])
def test_slides_last_as_long_as_they_did(tmp_path, slides, average, suffix, output):
    output = str(tmp_path / output)
    report = interpolate_video(str(slides(suffix)), output, average, Target(multi=2))
    assert (report.source_frames, report.output_frames, report.damage) == (8, 16, "")
    with VideoReader(output) as reader:
        times = [frame.time for frame in reader.frames()]
        assert abs(reader.end - F(189, 100)) < F(1, 500)
    expected = np.cumsum([0, *DELAYS])[:8] / 1000
    assert np.allclose([float(t) for t in times[::2]], expected, atol=0.006)


def test_a_gif_lasts_as_long_as_its_source(tmp_path, slides, average):
    output = str(tmp_path / "out.gif")
    report = interpolate_video(str(slides(".gif")), output, average, Target(multi=2))
    assert report.damage == ""
    with Image.open(output) as image:
        durations = []
        for i in range(image.n_frames):
            image.seek(i)
            durations.append(image.info["duration"])
    assert sum(durations) == 1890
    assert durations[-1] == 500


def test_a_phone_with_odd_durations(write_video, make_frames, remux):
    # as slow-motion clips have them: groups decoded within 9 ticks of 1/90000 s each
    source = write_video("in.mp4", make_frames(32), encoder_options={"bf": "3"}, time_base=F(1, 25))
    last = [None]

    def crowd(packet):
        if last[0] is not None and packet.dts % 4:
            packet.dts = last[0] + 1
        last[0] = packet.dts

    with VideoReader(remux(source, "out.mp4", crowd)) as reader:
        times = [frame.time for frame in reader.frames()]
        assert times == [F(i, 25) for i in range(32)]
        assert reader.end == F(32, 25)


def test_a_late_start_is_not_a_missing_end(write_video, make_frames):
    source = write_video("in.mkv", make_frames(40), times=range(250, 290))
    with VideoReader(source) as reader:
        assert len(list(reader.frames())) == 40
        assert not reader.damage
        assert reader.info.duration == F(40, 25)


@pytest.mark.parametrize("suffix", ["mkv", "flv"])
def test_a_recorder_that_declares_1000_fps(write_video, make_frames, average, suffix):
    times = [67 + round(i * 100 / 3) for i in range(30)]
    source = write_video(
        f"in.{suffix}", make_frames(30), fps=1000, times=times, time_base=F(1, 1000)
    )
    output = source.with_name("out.mp4")
    report = interpolate_video(str(source), str(output), average, Target(multi=2))
    assert (report.fps, report.output_frames) == ("60", 60)
    with av.open(str(output)) as container:
        assert abs(container.duration / av.time_base - 1) < 0.002


def test_frames_a_tick_apart(write_video, make_frames):
    """FFmpeg's .mp4 muxer writes such steps for frames of equal times."""
    ticks = [0, 3000, 6000, 6001, 12000, 15000, 18000]
    source = write_video("in.mp4", make_frames(7), fps=30, times=ticks, time_base=F(1, 90_000))
    with VideoReader(source) as reader:
        times = [frame.time for frame in reader.frames()]
    assert times == [F(tick, 90_000) for tick in ticks]
    assert not reader.damage
