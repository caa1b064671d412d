"""Damaged files: what is lost is counted and told, and time stays right."""

from fractions import Fraction as F
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from zoomin_d2.video import JobOptions, Target, interpolate_video
from zoomin_d2.video.errors import BadInputError, DamagedVideoError
from zoomin_d2.video.read.reader import VideoReader

MULTI = Target(multi=2)


@pytest.fixture
def make_clip(write_video, make_frames):
    """suffix -> 100 frames with sound."""

    def make(suffix, **keywords):
        return write_video(f"in.{suffix}", make_frames(100, 64, 96), audio="aac", **keywords)

    return make


def _truncate(path, share):
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])


def _overwrite_middle(path, share=0.5, length=3000):
    data = bytearray(path.read_bytes())
    first = int(len(data) * share)
    data[first : first + length] = bytes(length)
    path.write_bytes(bytes(data))


def test_a_file_cut_at_60_percent_is_told(tmp_path, make_clip, average):
    source = make_clip("mkv")
    _truncate(source, 0.6)
    output = tmp_path / "out.mkv"
    report = interpolate_video(str(source), str(output), average, MULTI)
    assert 40 < report.source_frames < 80
    assert report.output_frames == 2 * report.source_frames
    assert "before its container says" in report.damage
    options = JobOptions(on_damage="fail", overwrite=True)
    with pytest.raises(DamagedVideoError, match="before its container says"):
        interpolate_video(str(source), str(output), average, MULTI, options)


def test_mp4_without_index_is_no_video(tmp_path, make_clip, average):
    source = make_clip("mp4")
    _truncate(source, 0.6)
    with pytest.raises(BadInputError, match=r"an MP4 without its index .* stopped early"):
        interpolate_video(str(source), str(tmp_path / "out.mp4"), average, MULTI)


def test_what_is_no_video_is_named_once(tmp_path, average):
    (tmp_path / "notes.mp4").write_text("no video")
    with pytest.raises(BadInputError) as told:
        interpolate_video(str(tmp_path / "notes.mp4"), str(tmp_path / "out.mp4"), average, MULTI)
    reason = "is not a video, or is damaged (Invalid data found when processing input)"
    assert str(told.value) == f"{tmp_path / 'notes.mp4'}: {reason}"


def test_mp4_cut_at_60_percent(tmp_path, make_clip, average):
    source = make_clip("mp4", options={"movflags": "faststart"})
    _truncate(source, 0.6)
    report = interpolate_video(str(source), str(tmp_path / "out.mp4"), average, MULTI)
    assert 40 < report.source_frames < 90
    assert "before its container says" in report.damage


def test_a_fragmented_mp4_cut_at_60_percent(tmp_path, make_clip, average):
    source = make_clip("mp4", options={"movflags": "frag_keyframe+empty_moov"})
    _truncate(source, 0.6)
    report = interpolate_video(str(source), str(tmp_path / "out.mp4"), average, MULTI)
    assert 40 < report.source_frames < 90
    assert report.damage


def test_frames_that_an_avi_lacks(write_video, make_frames):
    for is_cut in (True, False):
        source = write_video("in.avi", make_frames(60), codec="mjpeg", pix_fmt="yuvj420p")
        data = source.read_bytes()
        place = data.index(b"00dc", len(data) // 2)  # of a frame in the middle
        rest = b"" if is_cut else data[data.index(b"00dc", place + 4) :]
        source.write_bytes(data[:place] + rest)
        with VideoReader(source) as reader:
            read = len(list(reader.frames()))
            assert read == reader.count < 60
            assert reader.damage.lost_frames == 60 - read
        assert is_cut or read == 59


def test_a_streamed_avi_lists_no_frames(write_video, make_frames):
    source = write_video("in.avi", make_frames(6), codec="mjpeg", pix_fmt="yuvj420p")
    data = bytearray(source.read_bytes())
    place = data.index(b"strh") + 40
    assert data[place : place + 4] == (6).to_bytes(4, "little")
    data[place : place + 4] = (2**30).to_bytes(4, "little")
    source.write_bytes(data)
    with VideoReader(source) as reader:
        assert len(list(reader.frames())) == 6
        assert reader.damage.lost_frames == 0


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_damage_in_the_middle_is_held(tmp_path, make_clip, average, read_video, packets, suffix):
    source = make_clip(suffix)
    _overwrite_middle(source)
    output = tmp_path / f"out.{suffix}"
    report = interpolate_video(str(source), str(output), average, Target(fps=F(50)))
    assert "lost" in report.damage or "could not be decoded" in report.damage
    frames, times = read_video(output)
    assert abs(len(frames) - 200) <= 2  # the gap is filled: as long as before
    assert all(b - a == F(1, 50) for a, b in pairwise(times)) or suffix == "mkv"
    assert abs(times[-1] - F(199, 50)) < F(1, 20)
    options = JobOptions(on_damage="fail")
    with pytest.raises(DamagedVideoError):
        interpolate_video(str(source), str(tmp_path / "f.mp4"), average, MULTI, options)


def test_a_stop_at_damage_tells_the_way_on(tmp_path, make_clip, average):
    source = make_clip("mkv")
    _overwrite_middle(source)
    for output in (tmp_path / "out.mp4", tmp_path / "images/"):
        told = r"\S --resume without --on-damage fail holds the last good frame there$"
        with pytest.raises(DamagedVideoError, match=told):
            interpolate_video(source, output, average, MULTI, JobOptions(on_damage="fail"))
        report = interpolate_video(source, output, average, MULTI, JobOptions(resume=True))
        assert report.damage and report.output_frames == 2 * report.source_frames


def test_a_whole_file_has_no_damage(tmp_path, make_clip, average, real_clip):
    sources = [make_clip("mp4"), make_clip("mkv"), make_clip("ts"), make_clip("avi")]
    sources.append(make_clip("vp8.mkv", codec="libvpx", options={"auto-alt-ref": "1"}))
    for source in sources:
        report = interpolate_video(
            str(source), str(tmp_path / f"out.{source.name}.mkv"), average, MULTI
        )
        assert report.damage == ""
        assert report.source_frames == 100


def test_unknown_codecs_are_named(tmp_path, make_clip, average):
    source = make_clip("avi", codec="mpeg4")
    data = source.read_bytes().replace(b"FMP4", b"ZZZZ").replace(b"fmp4", b"zzzz")
    source.write_bytes(data)
    with pytest.raises(BadInputError, match=r"codec|decoded"):
        interpolate_video(str(source), str(tmp_path / "out.mp4"), average, MULTI)
    with av.open(str(source)) as container:
        assert container.streams.video


def test_a_lost_packet_is_not_the_end(make_clip, without_ts_packet):
    with VideoReader(without_ts_packet(make_clip("ts"))) as reader:
        assert len(list(reader.frames())) >= 98
        damage = reader.damage
    assert damage.read_error is None
    assert damage.damaged_packets == 1
    assert "1 packet lacks data" in damage.describe()


def test_theora_repeats_are_frames():
    with VideoReader(Path(__file__).with_name("theora_repeats.ogv")) as reader:
        frames = [(f.time, round(reader.to_rgb(f.picture).mean())) for f in reader.frames()]
        assert not reader.damage
    assert [time for time, _ in frames] == [F(i, 25) for i in range(11)]
    levels = [level for _, level in frames]
    assert levels == [levels[0]] * 5 + [levels[5]] * 5 + [levels[10]]
    assert levels[0] < levels[5] < levels[10]


def test_no_frame_is_whole(tmp_path, write_video, make_frames, average):
    frames = np.random.default_rng(0).integers(0, 255, (1, 64, 96, 3), dtype=np.uint8)
    source = write_video("in.mkv", frames)
    _overwrite_middle(source)
    for name in ("out.mp4", "out.gif"):
        with pytest.raises(BadInputError, match=r"no frame can be decoded \(1 frames lost"):
            interpolate_video(str(source), str(tmp_path / name), average, MULTI)
        assert not (tmp_path / name).exists()
