"""A finished file that is not what it must be never stands under the final name."""

from dataclasses import replace

import av
import pytest

from zoomin_d2.video import Hooks, JobOptions, Target, interpolate_video
from zoomin_d2.video.errors import VerificationError
from zoomin_d2.video.write.verify import _Ends

MULTI = Target(multi=2)


@pytest.fixture
def source(write_video, make_frames):
    return str(write_video("in.mp4", make_frames(10, 32, 48)))


def _late_end(frame):
    """The last of 20 frames comes a second too late."""
    return replace(frame, time=frame.time + 1) if frame.index == 19 else frame


def test_a_failed_check_leaves_another_name(tmp_path, source, average, read_video):
    output = tmp_path / "out.mp4"
    hooks = Hooks(decorate=_late_end)
    with pytest.raises(VerificationError, match=r"lasts 1\.\d+ s.* kept as .*out\.failed\.mp4"):
        interpolate_video(source, str(output), average, MULTI, hooks=hooks)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in.mp4", "out.failed.mp4"]
    assert len(read_video(tmp_path / "out.failed.mp4")[0]) == 20
    interpolate_video(source, str(output), average, MULTI)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in.mp4", "out.mp4"]


def test_a_failed_check_keeps_what_was_there(tmp_path, source, average):
    output = tmp_path / "out.mp4"
    output.write_text("an older file")
    with pytest.raises(VerificationError):
        hooks, options = Hooks(decorate=_late_end), JobOptions(overwrite=True)
        interpolate_video(source, str(output), average, MULTI, options, hooks)
    assert output.read_text() == "an older file"


@pytest.mark.parametrize("hurt, words", [((), None), ((0, 1, 2), "first"), ((2,), "last")])
def test_ends_that_do_not_decode(write_video, make_frames, hurt, words):
    file = write_video("in.mkv", make_frames(3, 32, 48), codec="ffv1", pix_fmt="yuv420p")
    with av.open(str(file)) as container:
        stream = container.streams.video[0]
        ends = _Ends(stream)
        for place, packet in enumerate(p for p in container.demux(stream) if p.size):
            noise = av.Packet(b"\xff" * 40)
            noise.is_keyframe = True
            ends.add(noise if place in hurt else packet)
        assert ends.broken() == words


@pytest.mark.parametrize("hurt", [False, True])
def test_the_last_of_a_long_group_is_checked(write_video, make_frames, hurt):
    file = write_video("in.mp4", make_frames(30, 32, 48), gop=30)
    with av.open(str(file)) as container:
        stream = container.streams.video[0]
        ends, packets = _Ends(stream), [p for p in container.demux(stream) if p.size]
        assert sum(p.is_keyframe for p in packets) == 1
        last = max(packets, key=lambda p: p.pts)
        for packet in packets:
            if hurt and packet is last:
                packet = av.Packet(bytes(packet.size))
                packet.pts, packet.dts, packet.time_base = last.pts, last.dts, last.time_base
            ends.add(packet)
        assert ends.broken() == ("last" if hurt else None)
