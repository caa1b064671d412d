"""Whole jobs on files: what comes out, and that nothing else is lost."""

from fractions import Fraction as F
from itertools import pairwise

import av
import cv2
import numpy as np
import pytest

from zoomin_d2.video import JobOptions, StreamOptions, Target, interpolate_video
from zoomin_d2.video.errors import BadInputError, OutputError
from zoomin_d2.video.write.encoder import EncodeOptions

FILM, TELEVISION = F(24000, 1001), F(60000, 1001)


@pytest.fixture
def run(average, tmp_path):
    """(input, output name, target keywords) -> (report, output path)."""

    def call(source, name, options=None, model=average, **target):
        target = target or {"multi": 2}
        output = tmp_path / name
        sources = source if isinstance(source, list) else str(source)
        report = interpolate_video(sources, str(output), model, Target(**target), options)
        return report, output

    return call


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "mov"])
def test_film_to_television_with_sound(run, write_video, make_frames, read_video, packets, suffix):
    source = write_video(f"in.{suffix}", make_frames(600, 16, 32), FILM, audio="aac")
    report, output = run(source, f"out.{suffix}", fps=TELEVISION)
    assert report.source_frames == 600
    assert report.output_frames == 1500
    frames, times = read_video(output)
    assert len(frames) == 1500
    assert all(b > a for a, b in pairwise(times))
    assert all(abs(t - times[0] - n / TELEVISION) < F(1, 1000) for n, t in enumerate(times))
    assert packets(output, "audio") == packets(source, "audio")
    assert _sound_times(output) == _sound_times(source)
    with av.open(str(output)) as out:
        assert abs(out.duration / 1e6 - float(600 / FILM)) < 0.03  # AAC frames are 21 ms
        assert out.streams.video[0].average_rate in (TELEVISION, F(19001, 317))  # of .mkv


def _sound_times(path):
    """Of each packet of sound, after the first frame of the video, in milliseconds."""
    with av.open(str(path)) as container:
        times = [p.pts * p.time_base for p in container.demux(audio=0) if p.size]
        start = container.streams.video[0].start_time * container.streams.video[0].time_base
    return [round((t - start) * 1000) for t in times]


def test_source_frames_pass_unchanged(run, write_video, make_frames, read_video):
    source = write_video("in.mp4", make_frames(20), codec="libx264")
    before, _ = read_video(source)
    lossless = JobOptions(encode=EncodeOptions(crf=0))
    _, output = run(source, "out.mkv", lossless)
    after, _ = read_video(output)
    assert len(after) == 40
    for i in range(20):
        # one more trip through 4:2:0
        assert np.abs(after[2 * i].astype(int) - before[i]).max() <= 2
    middle = (before[3].astype(float) + before[4]) / 2
    assert np.abs(after[7] - middle).max() <= 2.5


def test_opencv_waits_for_no_other_core(run, write_video, make_frames):
    counts = []

    def model(frame_1, frame_2, ts):
        counts.append(cv2.getNumThreads())
        return [frame_1 for _ in ts]

    before = cv2.getNumThreads()
    run(write_video("in.mp4", make_frames(3)), "out.mp4", model=model)
    assert set(counts) == {1} and cv2.getNumThreads() == before


def test_flat_clip_does_not_flicker(run, write_video, read_video):
    flat = [np.full((48, 64, 3), (200, 90, 30), np.uint8)] * 16
    source = write_video("in.mp4", flat)
    _, output = run(source, "out.mp4", JobOptions(stream=StreamOptions(cut_threshold=None)))
    after, _ = read_video(output)
    values = np.stack(after).astype(int)
    assert (values.max(0) - values.min(0)).max() <= 1


def test_everything_else_is_kept(run, write_video, make_frames, packets):
    chapters = [
        {"id": 1, "start": 0, "end": 1000, "time_base": F(1, 1000), "metadata": {"title": "one"}},
        {
            "id": 2,
            "start": 1000,
            "end": 2000,
            "time_base": F(1, 1000),
            "metadata": {"title": "two"},
        },
    ]
    source = write_video(
        "in.mkv",
        make_frames(50),
        audio="libopus",
        subtitles="subrip",
        chapters=chapters,
        metadata={"title": "A film"},
        attachment=b"hello",
        aspect=F(4, 3),
    )
    report, output = run(source, "out.mkv")
    assert report.dropped == []
    with av.open(str(output)) as out, av.open(str(source)) as was:
        assert [s.type for s in out.streams] == [s.type for s in was.streams]
        assert out.metadata["title"] == "A film"
        assert [c["metadata"]["title"] for c in out.chapters()] == ["one", "two"]
        assert out.streams.subtitles[0].metadata["language"] == "eng"
        assert out.streams.video[0].sample_aspect_ratio == F(4, 3)
        assert bytes(out.streams.attachments[0].data) == b"hello"
    assert packets(output, "audio") == packets(source, "audio")
    assert packets(output, "subtitles") == packets(source, "subtitles")


def test_what_a_container_lacks_is_named(run, write_video, make_frames):
    source = write_video("in.mkv", make_frames(10), subtitles="subrip", audio="aac")
    with pytest.raises(OutputError, match=r"cannot hold aac sound: --audio encode"):
        run(source, "out.webm")
    report, output = run(source, "out.webm", JobOptions(audio="encode"))
    assert report.dropped == []
    with av.open(str(output)) as out:
        assert out.streams.audio[0].codec_context.codec.canonical_name == "opus"
        assert out.streams.subtitles[0].codec_context.name == "webvtt"


def test_sound_that_the_muxer_refuses(run, write_video, make_frames):
    # PCM in .avi has no channel layout, which .mp4 asks for, and only when it is closed
    source = write_video("in.avi", make_frames(30), codec="mjpeg", pix_fmt="yuvj420p", audio="pcm")
    made = []
    with pytest.raises(OutputError, match="cannot hold pcm_s16le sound"):
        run(source, "out.mp4", model=lambda *args: made.append(args))
    assert not made
    for name, options in [("out.mkv", None), ("a.mp4", JobOptions(audio="encode"))]:
        _, output = run(source, name, options)
        with av.open(str(output)) as out:
            samples = sum(f.samples for f in out.decode(audio=0))
        assert abs(samples - 1.2 * 48_000) <= 2048


def test_variable_frame_rate_stays_in_sync(run, write_video, make_frames, read_video):
    times = [0, 40, 80, 200, 240, 400, 433, 466, 600, 640]
    source = write_video("in.mkv", make_frames(10), times=times, time_base=F(1, 1000))
    report, output = run(source, "double.mkv", multi=2)
    _, after = read_video(output)
    assert report.output_frames == 20
    assert [round(t * 1000) for t in after[::2]] == times
    report, output = run(source, "even.mkv", fps=F(50))
    _, after = read_video(output)
    assert [round(t * 1000) for t in after] == [20 * n for n in range(len(after))]
    assert abs(len(after) * 20 - 680) <= 20 + 10


@pytest.mark.parametrize("name, codec, fps", [("out.mp4", "h264", 50), ("out.mov", "h265", 60)])
def test_constant_rates_are_exact(run, write_video, make_frames, name, codec, fps):
    # of 40 and 48 frames, the last one that is decoded is not the last one shown
    source = write_video("in.mp4", make_frames(24), 30)
    _, output = run(source, name, JobOptions(encode=EncodeOptions(codec)), fps=fps)
    with av.open(str(output)) as out:
        stream = out.streams.video[0]
        assert stream.average_rate == fps
        assert stream.duration * stream.time_base == F(4, 5)


def test_first_frame_longer_than_the_last(run, write_video, make_frames, read_video):
    """H.264 decodes the first frame two of its steps early, and has no time for that at the end."""
    times = [0, *range(9000, 90_000, 3000)]
    source = write_video("in.mkv", make_frames(28), times=times, time_base=F(1, 90_000))
    _, output = run(source, "out.mp4", multi=2)
    with av.open(str(output)) as out:
        stream = out.streams.video[0]
        ends = [p.pts + p.duration for p in out.demux(stream) if p.size]
        assert max(ends) * stream.time_base == stream.duration * stream.time_base == 1


def test_raw_streams_have_their_own_rate(run, write_video, make_frames):
    report, _ = run(write_video("in.h264", make_frames(30), fps=60), "out.mp4", multi=2)
    assert (report.fps, report.duration) == ("120", pytest.approx(0.5))


@pytest.mark.parametrize(("codec", "name"), [("vp9", "libvpx-vp9"), ("av1", "libsvtav1")])
def test_what_a_mov_cannot_hold_is_said(run, write_video, make_frames, codec, name):
    made = []
    with pytest.raises(OutputError, match=rf"A \.mov file cannot hold {name}; \.mkv can"):
        options = JobOptions(encode=EncodeOptions(codec=codec))
        run(write_video("in.mp4", make_frames(6)), "out.mov", options, lambda *x: made.append(x))
    assert not made


def test_preview_of_uneven_times_has_sound(run, write_video, make_frames):
    times = [*range(0, 1000, 20), *range(1000, 2000, 100)]
    source = write_video("in.mkv", make_frames(60), times=times, time_base=F(1, 1000), audio="aac")
    _, output = run(source, "out.mkv", JobOptions(limit=F(1)), multi=2)
    with av.open(str(output)) as out:
        sound = [p for p in out.demux(audio=0) if p.size]
    end = (sound[-1].pts + sound[-1].duration) * sound[-1].time_base
    assert float(end) == pytest.approx(1, abs=0.03)


def test_titles_of_tracks_are_kept(run, write_video, make_frames):
    source = write_video("in.mkv", make_frames(6), audio="aac", title="Commentary")
    for name in ("one.mp4", "two.mp4"):
        source = run(source, name, multi=2)[1]
        with av.open(str(source)) as out:
            assert out.streams.audio[0].metadata["name"] == "Commentary"


def test_uneven_times_without_a_clock(run, write_video, make_frames):
    times = [*range(0, 500, 50), *range(500, 700, 10)]
    source = write_video("in.mkv", make_frames(30), times=times, time_base=F(1, 1000))
    with pytest.raises(OutputError, match=r"0\.0050 s apart .* a tick of a \.gif \(1/100 s\)"):
        run(source, "out.gif")
    report, _ = run(source, "images/")
    assert "frames last unequally, 0.7" in report.warnings[-1]
    report, _ = run(source, "even/", fps=F(50))
    assert report.warnings == []


def test_uneven_times_of_the_same_length(run, write_video, make_frames):
    # half of the frames are over after 1 s of 3.89 s (the last one lasts 40 ms)
    times, straight = [*range(0, 1000, 50), *range(1000, 4000, 150)], {"bf": "0"}
    source = write_video(
        "in.mp4", make_frames(40), times=times, time_base=F(1, 1000), encoder_options=straight
    )
    report, _ = run(source, "images/")
    assert "frames last unequally, 3.890 s in all" in report.warnings[-1]
    assert "they come up to 0.945 s too early or too late" in report.warnings[-1]


@pytest.mark.parametrize("transfer, name", [(16, "PQ"), (18, "HLG"), (1, None)])
def test_lost_tags_of_hdr_are_told(run, write_video, make_frames, transfer, name):
    source = write_video("in.mkv", make_frames(3), tags=(9, transfer, 9, 1))
    told = [f"HDR ({name}): the output has no tags for it and is taken for SDR"]
    for output in ("images/", "out.gif"):
        assert run(source, output)[0].warnings == (told if name else [])
    assert run(source, "light/%d.exr")[0].warnings == []
    assert run(source, "out.mkv")[0].warnings == []


@pytest.mark.parametrize("pix_fmt", ["nv12", "yuyv422"])
def test_uncompressed_frames_pass_unchanged(run, write_video, pix_fmt):
    frames = list(np.random.default_rng(0).integers(0, 256, (3, 48, 64, 3), np.uint8))
    source = write_video("in.avi", frames, codec="rawvideo", pix_fmt=pix_fmt)
    _, output = run(source, "out.mkv", JobOptions(encode=EncodeOptions(codec="ffv1")))
    with av.open(str(source)) as before, av.open(str(output)) as after:
        made = list(after.decode(video=0))[::2]
        for old, new in zip(before.decode(video=0), made, strict=True):
            assert old.format.name == pix_fmt
            same = old.reformat(format=new.format.name)
            assert np.array_equal(same.to_ndarray(), new.to_ndarray())


def test_slow_motion_stretches_sound(run, write_video, make_frames):
    parts = [(0, 500), (500, 2000)]
    chapters = [
        {"id": i, "start": a, "end": b, "time_base": F(1, 1000), "metadata": {"title": str(i)}}
        for i, (a, b) in enumerate(parts)
    ]
    source = write_video("in.mp4", make_frames(50), audio="aac", chapters=chapters)
    report, output = run(source, "slow.mp4", slowmo=F(4))
    assert report.output_frames == 200
    with av.open(str(output)) as out:
        sound = np.concatenate([f.to_ndarray()[0] for f in out.decode(audio=0)])
        assert abs(len(sound) / 48_000 - 8.0) < 0.1
        spectrum = np.abs(np.fft.rfft(sound[48_000:96_000]))
        assert abs(int(spectrum.argmax()) - 440) <= 8  # the pitch stays
        assert [c["start"] * c["time_base"] for c in out.chapters()] == [0, 2]
    report, output = run(source, "mute.mp4", JobOptions(audio="drop"), slowmo=F(4))
    with av.open(str(output)) as out:
        assert not out.streams.audio


@pytest.mark.parametrize("size, codec", [((49, 65), None), ((47, 63), "av1"), ((3, 5), "vp9")])
def test_odd_sizes_are_kept(run, write_video, make_frames, read_video, size, codec):
    source = write_video("in.mkv", make_frames(6, *size), codec="ffv1", pix_fmt="yuv444p")
    _, output = run(source, "out.mp4", JobOptions(encode=EncodeOptions(codec=codec)))
    frames, _ = read_video(output)
    assert frames[0].shape == (*size, 3)
    assert len(frames) == 12


def test_sizes_that_x265_dies_of_are_refused(run, write_video, make_frames):
    source = write_video("in.mkv", make_frames(6, 80, 40), codec="ffv1", pix_fmt="yuv420p10le")
    with pytest.raises(OutputError, match=r"libx265 needs at least 64x32 pixels.* 40x80"):
        run(source, "out.mkv")  # 10 bits: x265 by default


def test_a_rotated_video_comes_out_upright(run, write_video, make_frames, read_video):
    source = write_video("in.mp4", make_frames(6, 32, 64), rotation=90, aspect=F(2))
    before, _ = read_video(source)
    assert before[0].shape == (64, 32, 3)
    _, output = run(source, "out.mp4")
    after, _ = read_video(output)
    assert after[0].shape == (64, 32, 3)
    assert np.abs(after[0].astype(int) - before[0]).max() <= 6
    with av.open(str(output)) as out:
        assert out.streams.video[0].sample_aspect_ratio == F(1, 2)


@pytest.mark.parametrize("codec", ["h264", "h265", "av1", "vp9", "prores", "ffv1"])
def test_encoders(run, write_video, make_frames, read_video, codec):
    source = write_video("in.mp4", make_frames(8, 64, 64))
    before, _ = read_video(source)
    suffix = {"prores": "mov", "vp9": "webm", "ffv1": "mkv"}.get(codec, "mp4")
    _, output = run(source, f"out.{suffix}", JobOptions(encode=EncodeOptions(codec=codec)))
    after, times = read_video(output)
    assert len(after) == 16
    assert all(abs(t - F(n, 50)) < F(1, 500) for n, t in enumerate(times))
    error = np.abs(np.stack(after[::2]).astype(float) / (257 if codec == "prores" else 1) - before)
    assert error.mean() < 2


def test_empty_names_are_no_folders(write_video, make_frames, average, tmp_path, monkeypatch):
    source = write_video("in.mp4", make_frames(3))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OutputError, match="No output given"):
        interpolate_video(source, "", average, Target(multi=2))
    with pytest.raises(BadInputError, match="No input given"):
        interpolate_video("", "out.mp4", average, Target(multi=2))
    assert [path.name for path in tmp_path.iterdir()] == ["in.mp4"]


def test_outputs_are_not_overwritten_unasked(run, write_video, make_frames):
    source = write_video("in.mp4", make_frames(6))
    _, output = run(source, "out.mp4")
    with pytest.raises(OutputError, match="exists: --overwrite"):
        run(source, "out.mp4")
    run(source, "out.mp4", JobOptions(overwrite=True))
    assert [p.name for p in output.parent.iterdir() if "out" in p.name] == ["out.mp4"]


@pytest.mark.parametrize(
    "name, words",
    [
        ("out.xyz", "unknown kind"),
        ("absent/out.mp4", "no such folder"),
        ("folder.mp4", "is a folder, not a file"),
        ("folder.gif", "is a folder, not a file"),
        ("ü" * 125 + ".mp4", "longer than 242 bytes"),
        ("n" * 300 + ".gif", "longer than 242 bytes"),
    ],
)
def test_outputs_that_cannot_be(run, tmp_path, write_video, make_frames, name, words):
    source = write_video("in.mp4", make_frames(6))
    for folder in ("folder.mp4", "folder.gif"):
        (tmp_path / folder).mkdir()
    before = sorted(tmp_path.iterdir())
    with pytest.raises(OutputError, match=words):
        run(source, name, JobOptions(overwrite=True))
    assert sorted(tmp_path.iterdir()) == before


def test_inputs_that_are_no_videos(run, tmp_path, write_video):
    empty = tmp_path / "empty.mp4"
    empty.touch()
    loop = tmp_path / "loop.mp4"
    loop.symlink_to(loop)
    text = tmp_path / "text.mp4"
    text.write_text("not a video " * 100)
    sound = tmp_path / "sound.wav"
    with av.open(str(sound), "w") as out:
        stream = out.add_stream("pcm_s16le", rate=8000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.int16), "s16", "mono")
        frame.sample_rate = 8000
        out.mux(stream.encode(frame))
    for file, words in [
        (empty, "is empty: the recording or the copy wrote nothing"),
        (text, "is not a video"),
        (sound, r"no video stream \(it holds: audio\)"),
        (tmp_path / "absent.mp4", "no such file"),
        (tmp_path / ("n" * 300 + ".mp4"), "File name too long"),
        (loop, "Too many levels of symbolic links"),
    ]:
        with pytest.raises(BadInputError, match=words):
            run(file, "out.mp4")
    assert not (tmp_path / "out.mp4").exists()


def test_names_of_all_kinds(run, write_video, make_frames):
    source = write_video('it\'s a "näme" 映画.mp4', make_frames(6), audio="aac")
    report, output = run(source, "aus gäbe 'x'.mkv")
    assert output.exists()
    assert report.output_frames == 12


def test_late_start_stays_in_sync(run, write_video, make_frames, read_video):
    times = [i + 10 for i in range(20)]
    source = write_video("in.mkv", make_frames(20), times=times, audio="aac")
    _, before = read_video(source)
    assert before[0] == F(400, 1000)
    _, output = run(source, "out.mkv")
    _, after = read_video(output)
    assert after[0] == before[0]


@pytest.mark.parametrize("name", ["out.mp4", "out.partial.mp4", "out.failed.mp4", "out.mp4.part"])
def test_an_output_is_never_an_input(run, write_video, make_frames, name):
    """Not under any of the names that a job writes or deletes."""
    source = write_video("in.mp4", make_frames(6))
    source = source.rename(source.with_name(name))
    before = source.read_bytes()
    with pytest.raises(OutputError, match="is an input and would be replaced"):
        run(source, "out.mp4", JobOptions(overwrite=True))
    assert source.read_bytes() == before


@pytest.mark.parametrize("output", ["out.gif", "images", "images/1.png"])
def test_images_and_gifs_are_never_replaced(run, tmp_path, write_video, make_frames, output):
    run(write_video("in.mp4", make_frames(6)), "out.gif")
    (tmp_path / "images").mkdir()
    images = [tmp_path / "images" / f"{i}.png" for i in range(2)]
    for i, path in enumerate(images):
        cv2.imwrite(str(path), np.full((8, 8, 3), 9 * i, np.uint8))
    source = {"out.gif": tmp_path / "out.gif", "images": tmp_path / "images"}.get(
        output, [str(path) for path in images]
    )
    with pytest.raises(OutputError, match=r"input(, which| and) would be replaced"):
        run(source, output, JobOptions(overwrite=True))
    assert cv2.imread(str(images[1])).max() == 9


def test_rates_that_a_clock_cannot_hold(run, write_video, make_frames):
    source = write_video("in.mp4", make_frames(6))
    made = []
    with pytest.raises(
        OutputError, match=r"2000 fps is too fast: the clock of a \.mkv .* at most 1000 fps"
    ):
        run(source, "out.mkv", model=lambda *args: made.append(args), fps=F(2000))
    assert not made
    for name, fps in [("out.mkv", 1000), ("out.mp4", 2000)]:
        report, _ = run(source, name, fps=F(fps))
        assert report.output_frames == 6 * fps / 25


def test_frames_closer_than_a_tick(run, write_video, make_frames):
    times = [0, 57, 58, 97, 131, 179]
    source = write_video("in.mkv", make_frames(6), times=times, time_base=F(1, 1000))
    with pytest.raises(OutputError, match=r"less than a tick of the output's clock \(0\.001 s\)"):
        run(source, "out.mkv", multi=4)
    assert run(source, "out.mp4", multi=4)[0].output_frames == 24


@pytest.mark.parametrize(
    "pix_fmt, codec, written",
    [
        ("bgr0", "h264", "yuv444p"),
        ("yuv440p", "h264", "yuv444p"),
        ("yuv440p", "vp9", "yuv444p"),
        ("yuv411p", "h264", "yuv422p"),
        ("yuv410p", "h264", "yuv420p"),
        ("gray", "h264", "yuv420p"),
    ],
)
def test_chroma_is_kept(run, write_video, make_frames, pix_fmt, codec, written):
    source = write_video("in.mkv", make_frames(4), codec="ffv1", pix_fmt=pix_fmt)
    report, _ = run(source, "out.mkv", JobOptions(encode=EncodeOptions(codec=codec)))
    assert report.encoder.split()[1] == written
    assert report.warnings == []


@pytest.mark.parametrize("pix_fmt, chroma", [("bgr0", 444), ("yuv440p", 440), ("yuv422p", 422)])
def test_chroma_that_is_lost_is_told(run, write_video, make_frames, pix_fmt, chroma):
    source = write_video("in.mkv", make_frames(4), codec="ffv1", pix_fmt=pix_fmt)
    report, _ = run(source, "out.mkv", JobOptions(encode=EncodeOptions(codec="av1")))
    assert report.warnings == [f"libsvtav1 has no {chroma} chroma; writing 420"]


def test_paths_and_lists_of_paths(write_video, make_frames, average, tmp_path):
    source = write_video("in.mp4", make_frames(6))
    multi = Target(multi=2)
    assert interpolate_video(source, tmp_path / "out.mp4", average, multi).output_frames == 12
    assert interpolate_video(source, tmp_path / "images", average, multi).output_frames == 12
    pair = [tmp_path / "images/000000.png", tmp_path / "images/000001.png"]
    interpolate_video(pair, tmp_path / "middle.png", average, multi)
    assert (tmp_path / "middle.png").exists()


@pytest.mark.parametrize("codec", ["h264", "h265", "av1", "vp9", "prores", "ffv1"])
def test_every_encoder_writes_color_tags(run, write_video, make_frames, codec):
    frames = make_frames(12, 64, 64)  # of one or two, x265 writes random decoding times
    source = write_video(
        "in.mp4", frames, tags=(9, 16, 9, 1), pix_fmt="yuv420p10le", codec="libx265"
    )
    suffix = {"prores": "mov"}.get(codec, "mkv")
    _, output = run(source, f"out.{suffix}", JobOptions(encode=EncodeOptions(codec=codec)))
    with av.open(str(output)) as out:
        context = out.streams.video[0].codec_context
        found = context.color_primaries, context.color_trc, context.colorspace
    assert found == (9, 16, 9)
