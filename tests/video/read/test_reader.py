"""The reader's own promise: damage is told, in every reading of the same file."""

import pytest

from zoomin_d2.video.errors import BadInputError
from zoomin_d2.video.read import decoding
from zoomin_d2.video.read.reader import VideoReader

READINGS = 25


@pytest.mark.parametrize("share", [0.3, 0.7])
def test_every_reading_tells_the_same_damage(tmp_path, real_clip, share):
    """20 bytes of a real clip. Frame threads tell of the first place in 4 of 5 readings, slice
    threads never of the second (tests/stress/check_damage_reports.py)."""
    data = bytearray(real_clip("carphone_pristine.mp4").read_bytes())
    first = int(share * len(data))
    data[first : first + 20] = b"\xff" * 20
    path = tmp_path / "damaged.mp4"
    path.write_bytes(data)
    reports = []
    for _ in range(READINGS):
        with VideoReader(path) as video:
            num_frames = sum(1 for _ in video.frames())
            damage = video.damage
        reports.append((num_frames, damage.describe()))
    assert len(set(reports)) == 1, set(reports)
    assert damage, "nothing was told"
    assert num_frames + damage.corrupt_frames + damage.lost_frames == 120


def test_too_large_frames_are_refused(tmp_path):
    path = tmp_path / "a.y4m"
    path.write_bytes(b"YUV4MPEG2 W16384 H8193 F25:1 C420\nFRAME\n")
    with pytest.raises(BadInputError, match=r"a\.y4m: has frames of 16384x8193 pixels"):
        VideoReader(path)


def test_stream_larger_than_its_header(write_video, make_frames, monkeypatch):
    path = write_video("a.mp4", make_frames(5))
    monkeypatch.setattr(decoding, "MAX_FRAME_PIXELS", 48 * 64 - 1)  # known to the decoder alone
    with pytest.raises(BadInputError, match="no frame can be decoded"):
        VideoReader(path)


def test_change_of_size_is_named(tmp_path, write_video, make_frames):
    parts = [write_video("a.ts", make_frames(5)), write_video("b.ts", make_frames(5, 64, 96))]
    path = tmp_path / "both.ts"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    with (
        VideoReader(path) as video,
        pytest.raises(BadInputError, match=r"changes at 0\.\d+ s, from 64x48 to 96x64"),
    ):
        list(video.frames())
