"""What lies beside the video arrives whole, or the report says what does not."""

from fractions import Fraction as F
from types import SimpleNamespace

import av
import numpy as np
import pytest

from tests.helpers.streams import lose_ts_packet
from zoomin_d2.video import Hooks, JobOptions, Target, interpolate_video
from zoomin_d2.video.errors import OutputError
from zoomin_d2.video.write.assemble import moved_timecode
from zoomin_d2.video.write.encoder import EncodeOptions
from zoomin_d2.video.write.side_streams import describe

SOUND_PID = 0x101


@pytest.fixture
def run(average, tmp_path):
    """(input, output name, slow motion, options) -> (report, output path)."""

    def call(source, name, slowmo=1, **options):
        target = Target(multi=2) if slowmo == 1 else Target(slowmo=F(slowmo))
        output = tmp_path / name
        jobs = JobOptions(**options)
        return interpolate_video(str(source), str(output), average, target, jobs), output

    return call


@pytest.fixture
def small(write_video, make_frames):
    """(name, further arguments of write_video) -> a clip of 16 frames of 48x32."""
    return lambda name, **more: write_video(name, make_frames(16, 32, 48), **more)


def _frames(path, kind, index=0):
    with av.open(str(path)) as container:
        stream = getattr(container.streams, kind)[index]
        return [f.to_ndarray() for f in container.decode(stream)]


@pytest.mark.parametrize("suffix", ["mkv", "mp4"])
def test_second_video_is_copied_whole(run, small, join_streams, suffix, packets):
    source = join_streams(f"two.{suffix}", small("a.mp4"), small("b.mp4"))
    with av.open(str(source)) as two:  # the case: packets without a decoding time
        times = [p.dts for p in two.demux(two.streams.video[1]) if p.size]
    assert (None in times) == (suffix == "mkv")
    report, output = run(source, f"out.{suffix}")
    assert (report.dropped, report.exit_code) == ([], 0)
    assert packets(output, "video", 1) == packets(source, "video", 1)
    assert np.array_equal(_frames(output, "video", 1), _frames(source, "video", 1))


@pytest.mark.parametrize("source_suffix", ["mkv", "mp4"])
@pytest.mark.parametrize("suffix", ["mkv", "mp4"])
def test_cover_pictures_are_kept(run, small, add_cover, packets, source_suffix, suffix):
    source = add_cover(f"in.{source_suffix}", small("a.mp4"))
    report, output = run(source, f"out.{suffix}")
    assert report.dropped == []
    with av.open(str(output)) as out:
        cover = out.streams.video[1]
        assert cover.disposition & av.stream.Disposition.attached_pic
    assert packets(output, "video", 1) == packets(source, "video", 1)


def test_a_cover_that_is_lost_is_reported(run, small, add_cover):
    report, _ = run(add_cover("in.mp4", small("a.mp4")), "out.mov")
    assert report.dropped == ["cover picture 1 (png): .mov cannot hold it; an .mkv output might"]
    assert report.exit_code == 9


def test_a_growing_input_gets_no_more_sound(small, average, tmp_path):
    source, output = small("in.ts", audio="aac"), tmp_path / "out.mkv"
    data = source.read_bytes()

    def record(done, _total):
        if done == 32:  # all frames of the 0.64 s that were there
            source.write_bytes(data * 3)

    report = interpolate_video(
        source, output, average, Target(multi=2), hooks=Hooks(progress=record)
    )
    told = "changed while it was read: the output ends with the last frame read"
    assert report.warnings == [f"{source} {told}"]
    with av.open(str(output)) as out:
        assert out.duration / 1e6 == pytest.approx(0.64, abs=0.03)  # AAC frames are 21 ms


@pytest.mark.parametrize("slowmo, samples", [(1, None), (2, 61_440)])
def test_damaged_sound_costs_no_picture(run, small, slowmo, samples):
    source = small("in.ts", audio="aac")
    lose_ts_packet(source, SOUND_PID)
    report, output = run(source, "out.mp4", slowmo)
    assert report.output_frames == 32
    assert "audio stream 1 (aac)" in report.damage
    assert report.exit_code == 4
    if samples:  # as long as whole sound, so that what follows is in time
        assert abs(sum(f.shape[1] for f in _frames(output, "audio")) - samples) < 4096


def test_text_subtitles_are_converted(run, small, packets):
    source = small("in.mkv", subtitles="subrip")
    report, there = run(source, "there.mp4")
    assert report.dropped == []
    with av.open(str(there)) as out:
        assert out.streams.subtitles[0].codec_context.name == "mov_text"
    report, back = run(there, "back.mkv")
    assert report.dropped == []
    assert packets(back, "subtitles") == packets(source, "subtitles") == [b"line 0"]
    with av.open(str(back)) as out:
        line = next(p for p in out.demux(out.streams.subtitles[0]) if p.size)
        assert (line.pts, line.duration) == (0, 900)


def test_slow_motion_stretches_subtitles(run, small):
    _, output = run(small("in.mkv", subtitles="subrip"), "out.mp4", 3)
    with av.open(str(output)) as out:
        line = next(p for p in out.demux(out.streams.subtitles[0]) if p.size > 2)
        assert line.duration * line.time_base == F(27, 10)


@pytest.mark.parametrize("suffix", ["mkv", "mp4"])
def test_subtitles_end_with_a_preview(run, small, suffix):
    source = small("in.mkv", subtitles="subrip")  # a line from 0 s to 0.9 s
    _, output = run(source, f"out.{suffix}", limit=F(2, 5))
    with av.open(str(output)) as out:
        line = next(p for p in out.demux(out.streams.subtitles[0]) if p.size > 2)
        assert line.duration * line.time_base == F(2, 5)
        assert out.duration == 400_000


def test_codecs_ffmpegs_table_lacks(run, small, join_streams, write_sound, packets):
    sound = write_sound("s.asf", "wmav2")
    source = join_streams("in.wmv", small("v.asf", codec="wmv2"), sound)
    _, output = run(source, "out.mkv")
    assert packets(output, "audio") == packets(source, "audio")
    assert np.array_equal(_frames(output, "audio"), _frames(source, "audio"))
    with pytest.raises(OutputError, match="cannot hold wmav2 sound: --audio encode"):
        run(source, "out.mp4")


def test_early_chapters_begin_at_0(run, small):
    chapters = [
        {"id": i, "start": a, "end": b, "time_base": F(1, 1000), "metadata": {"title": str(i)}}
        for i, (a, b) in enumerate([(0, 600), (600, 1000)])
    ]
    times = [i + 10 for i in range(16)]  # the file begins at 0.4 s
    source = small("in.mkv", times=times, chapters=chapters)
    _, output = run(source, "out.mkv")
    with av.open(str(output)) as out:
        moved = [(c["start"] * c["time_base"], c["end"] * c["time_base"]) for c in out.chapters()]
    assert moved == [(0, F(1, 5)), (F(1, 5), F(3, 5))]


def test_a_time_code_is_written_anew(run, small):
    source = small("in.mov", metadata={"timecode": "01:00:00:12"})
    with av.open(str(source)) as was:
        assert [s.type for s in was.streams] == ["video", "data"]
    report, output = run(source, "out.mov")
    assert report.dropped == []
    with av.open(str(output)) as out:
        assert out.streams.data[0].metadata["timecode"] == "01:00:00:24"  # at 50 fps


NTSC = F(30_000, 1001)


@pytest.mark.parametrize(
    ("text", "old", "new", "expected"),
    [
        ("01:00:00:50", F(60), F(24), "01:00:00:20"),
        ("10:00:00:24", F(25), F(60), "10:00:00:57"),
        ("00:10:00;15", NTSC, 2 * NTSC, "00:10:00;30"),
        ("00:10:00;15", NTSC, F(24), "00:10:00:12"),
        ("00:00:01:12", None, F(24), "00:00:01:12"),
        ("noon", F(25), F(50), "noon"),
    ],
)
def test_time_codes_at_another_rate(text, old, new, expected):
    assert moved_timecode(text, old, new) == expected


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_when_it_was_recorded(run, small, suffix):
    recorded = "2024-05-01T10:00:00.000000Z"
    source = small("in.mp4", metadata={"creation_time": recorded})
    _, output = run(source, f"out.{suffix}")
    with av.open(str(output)) as out:
        assert out.metadata["creation_time"] == recorded


def test_the_old_encoder_is_not_named():
    tags = {"ENCODER": "Lavc60 libx264", "language": "eng"}
    old = SimpleNamespace(metadata=tags, disposition=0)
    copied, made = (SimpleNamespace(metadata={}, disposition=0) for _ in range(2))
    describe(old, copied)
    describe(old, made, is_copy=False)
    assert (copied.metadata, made.metadata) == (tags, {"language": "eng"})


def test_a_lost_stereo_layout_is_named(run, write_video, make_frames):
    options = {"x264-params": "frame-packing=3"}
    report, _ = run(write_video("in.mp4", make_frames(3), encoder_options=options), "out.mp4")
    assert "the layout of a stereo video" in report.dropped


def test_names_with_colons(run, small, tmp_path, monkeypatch):
    small("10:30.mp4", audio="aac")
    monkeypatch.chdir(tmp_path)
    for output in ("10:31.mkv", "10:31.gif"):
        report = run("10:30.mp4", tmp_path / output)[0]
        monkeypatch.chdir(tmp_path)
        assert report.output_frames == 32


def test_what_is_missing_afterward_is_told(run, small, monkeypatch):
    import zoomin_d2.video.write.side_streams as side_streams

    whole = side_streams._copies

    def loses_one(*arguments):
        for number, entry in enumerate(whole(*arguments)):
            if number == 5:  # written, as far as anybody knows
                entry.side.packets += 1
                entry.side.size += 1
            else:
                yield entry

    monkeypatch.setattr(side_streams, "_copies", loses_one)
    source = small("in.mkv", audio="aac")
    report, _ = run(source, "out.mkv")
    assert "audio stream 1 (aac)" in report.dropped[0]
    assert "packets are in the finished file" in report.dropped[0]


def test_metadata_that_is_lost_is_told(run, small, add_cover):
    metadata = {"title": "A film", "SCANNER": "a name that only .mkv and plain .mp4 hold"}
    source = add_cover("in.mkv", small("a.mkv", metadata=metadata))
    assert run(source, "out.mkv")[0].dropped == []
    report, output = run(source, "out.mp4")
    assert report.dropped == ["metadata: SCANNER"]
    with av.open(str(output)) as out:
        assert out.metadata["title"] == "A film"


def test_pictures_alone_are_told(run, small):
    source = small("in.mkv", audio="aac", subtitles="subrip")
    report, _ = run(source, "out.gif")
    said = "the output holds only pictures, without audio stream 1 (aac), subtitle stream 2"
    assert report.warnings[0].startswith(said)
    assert report.exit_code == 0
    report, _ = run(small("quiet.mp4", audio="aac"), "quiet.gif", audio="drop")
    assert report.warnings == []


def test_no_alpha_mode_on_an_opaque_video(run, tmp_path):
    source = tmp_path / "in.webm"
    with av.open(str(source), "w") as out:
        stream = out.add_stream("libvpx-vp9", rate=25, options={"cpu-used": "8"})
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuva420p"
        stream.metadata["alpha_mode"] = "1"
        for shade in (0, 80, 160):
            image = np.full((64, 64, 4), (shade, shade, shade, 128), np.uint8)
            out.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgba")))
        out.mux(stream.encode())
    for name, codec in [("out.webm", "av1"), ("out.mkv", "h264")]:
        report, output = run(source, name, encode=EncodeOptions(codec=codec))
        assert "transparency" in report.dropped[0]
        with av.open(str(output)) as out:
            assert "alpha_mode" not in {key.lower() for key in out.streams.video[0].metadata}


def test_sound_before_the_cut_stays_behind(run, small, tmp_path):
    source = small("whole.mp4", audio="aac")
    cut = tmp_path / "cut.mp4"
    with av.open(str(source)) as whole, av.open(str(cut), "w") as out:
        targets = [out.add_stream_from_template(s, opaque=True) for s in whole.streams]
        for packet in whole.demux():
            if packet.size:  # 0.32 s earlier, as if cut in the middle: an edit list begins at 0
                shift = round(F(8, 25) / packet.time_base)
                packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
                packet.stream = targets[packet.stream_index]
                out.mux(packet)
    _, output = run(cut, "out.mkv")
    with av.open(str(output)) as out:
        start = out.streams.video[0].start_time * out.streams.video[0].time_base
        sound = [p.pts * p.time_base for p in out.demux(audio=0) if p.size]
    assert start - min(sound) < F(1, 8)
