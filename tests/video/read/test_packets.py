"""Clocks that begin again, jump or wrap are carried on; reading begins at the right keyframe."""

from fractions import Fraction as F
from itertools import pairwise
from types import SimpleNamespace

import av
import numpy as np
import pytest

from tests.helpers.broken_clocks import shift_by
from zoomin_d2.video.read.packets import clock_origin, continuous_packets, from_keyframe
from zoomin_d2.video.read.reader import VideoReader

WRAP = F(2**33, 90_000)  # seconds; the clock of MPEG-TS


def _steps(path):
    with VideoReader(path) as reader:
        times = [frame.time for frame in reader.frames()]
        damage = reader.damage.describe()
    return times[0], {b - a for a, b in pairwise(times)}, len(times), damage


@pytest.fixture
def joined(write_video, make_frames):
    """The same 20 frames with sound, twice in one .ts, joined as `cat` does."""
    path = write_video("one.ts", make_frames(20, 64, 96), audio="aac")
    path.write_bytes(2 * path.read_bytes())
    return path


def test_a_clock_that_begins_again(joined):
    _, steps, count, damage = _steps(joined)
    assert (steps, count, damage) == ({F(1, 25)}, 40, "")


def test_sound_takes_the_turn_of_its_picture(joined):
    with av.open(str(joined)) as container:
        times = {"video": [], "audio": []}
        for packet in continuous_packets(container):
            if packet.dts is not None:
                times[packet.stream.type].append(packet.dts * packet.time_base)
    for found in times.values():
        assert all(b - a < F(1, 10) for a, b in pairwise(found))
        assert 1.5 < found[-1] - found[0] < 1.7


@pytest.mark.parametrize(
    "seconds, pause",
    [(60, F(1, 25)), (5, F(5) + F(1, 25))],
    ids=["leap", "pause"],
)
def test_a_leap_is_closed_a_pause_is_not(write_video, make_frames, remux, seconds, pause):
    one = write_video("one.ts", make_frames(20), encoder_options={"bf": "0"})
    later = remux(one, "later.ts", shift_by(F(20, 25) + seconds))
    one.write_bytes(one.read_bytes() + later.read_bytes())
    _, steps, count, _ = _steps(one)
    assert (steps, count) == ({F(1, 25), pause}, 40)


def test_a_clock_that_wraps(write_video, make_frames, remux):
    source = remux(
        write_video("one.mp4", make_frames(50)), "wraps.ts", shift_by(WRAP - F(1)), muxdelay="0"
    )
    start, steps, count, damage = _steps(source)
    assert (steps, count, damage) == ({F(1, 25)}, 50, "")
    assert start == 0


def test_one_stray_timestamp_is_no_turn(write_video, make_frames):
    def stray(packet):
        if packet.pts == 800:
            packet.pts, packet.dts = 810, 600

    source = write_video("in.mkv", make_frames(40), encoder_options={"bf": "0"})
    with av.open(str(source)) as container:
        packets = list(container.demux())
        times = [p.dts for p in packets if p.dts is not None]
        for packet in packets:
            stray(packet)
        strayed = SimpleNamespace(format=container.format, demux=lambda: iter(packets))
        found = [p.dts for p in continuous_packets(strayed) if p.dts is not None]
    assert found == [600 if t == 800 else t for t in times]


def test_the_origin_of_the_clock(write_video, make_frames, remux):
    late = remux(write_video("in.mp4", make_frames(10)), "late.mkv", shift_by(10))
    with av.open(str(late)) as container:
        assert 9.9 < clock_origin(container) <= 10


@pytest.mark.parametrize("frame", [0, 11, 12, 13, 29])
def test_reading_begins_at_the_last_keyframe(write_video, make_frames, frame):
    options = {"x264-params": "scenecut=0:bframes=0"}
    source = write_video("in.mkv", make_frames(30), gop=12, encoder_options=options)
    with av.open(str(source)) as container:
        packets = list(from_keyframe(container.demux(), 0, F(frame, 25)))
        first = packets[0]
        assert first.is_keyframe
        assert first.pts == frame // 12 * 12 * 40
        assert len([p for p in packets if p.size]) == 30 - frame // 12 * 12


RESUMED = {
    "h264.mp4": ("libx264", {}),
    "h264.mov": ("libx264", {}),
    "h264.mkv": ("libx264", {"x264-params": "open-gop=1:bframes=3:keyint=12"}),
    "h264.ts": ("libx264", {"x264-params": "open-gop=1:bframes=3:keyint=12"}),
    "h264.m2ts": ("libx264", {}),
    "h264.flv": ("libx264", {}),
    "h264.avi": ("libx264", {}),
    "h264.h264": ("libx264", {}),
    "h265.hevc": ("libx265", {"x265-params": "log-level=none:keyint=12"}),
    "mpeg2.ts": ("mpeg2video", {"bf": "2"}),
    "mpeg2.mpg": ("mpeg2video", {"bf": "2"}),
    "mpeg2.vob": ("mpeg2video", {"bf": "2"}),
    "mpeg2.m2v": ("mpeg2video", {"bf": "2"}),
    "mpeg2.mxf": ("mpeg2video", {}),
    "mpeg4.avi": ("mpeg4", {"bf": "2"}),
    "vp8.webm": ("libvpx", {}),
    "vp8.ivf": ("libvpx", {}),
    "wmv2.wmv": ("wmv2", {}),
    "raw.y4m": ("wrapped_avframe", {}),
    "ffv1.mkv": ("ffv1", {}),
}


@pytest.mark.parametrize("name", RESUMED)
def test_reading_on_is_reading_through(write_video, make_frames, name):
    codec, options = RESUMED[name]
    path = write_video(name, make_frames(60, 64, 96), codec=codec, encoder_options=options, gop=12)

    def read(*place):
        with VideoReader(path) as reader:
            return [
                (f.index, f.time, reader.to_rgb(f.picture)[::8, ::8].tobytes())
                for f in reader.frames(*place)
            ]

    whole = read()
    assert len(whole) == 60
    for place in (1, 17, 40, 59):
        index, time, _ = whole[place]
        assert read(time, index) == whole[place:]


def test_late_seeks_read_from_the_start(write_video, make_frames, monkeypatch):
    # packets that say "keyframe" and are none, as those of a damaged index
    path = write_video("in.mkv", make_frames(30), gop=30, encoder_options={"bf": "0"})

    def late(packets, stream_index, start):
        return (p for p in packets if p.pts is None or p.pts * p.time_base > start)

    with VideoReader(path) as reader:
        whole = [(f.index, f.time) for f in reader.frames()]
    monkeypatch.setattr("zoomin_d2.video.read.decoding.from_keyframe", late)
    with VideoReader(path) as reader:
        assert [(f.index, f.time) for f in reader.frames(whole[20][1], 20)] == whole[20:]
        assert not reader.damage


def test_avi_with_b_frames_in_order(write_video, make_frames):
    path = write_video("in.avi", make_frames(40, 64, 96), encoder_options={"bf": "2"})
    with VideoReader(path) as reader:
        frames = [(f.time, reader.to_rgb(f.picture)[:, 0].mean()) for f in reader.frames()]
        assert not reader.damage
    assert [time for time, _ in frames] == [F(i, 25) for i in range(40)]
    assert np.allclose([x for _, x in frames], [40 + 2 * i for i in range(40)], atol=3)
