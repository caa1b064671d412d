"""Runs that stop: killed, interrupted, out of disk; and go on to the same frames."""

import errno
import json
import os
import resource
import signal
import threading
import time
from fractions import Fraction as F

import av
import numpy as np
import pytest

from zoomin_d2.video import Hooks, JobOptions, StreamOptions, Target, interpolate_video
from zoomin_d2.video.errors import (
    BadInputError,
    DiskFullError,
    InterruptedRunError,
    ModelError,
    OutputError,
)
from zoomin_d2.video.jobs.container_job import StopRequest
from zoomin_d2.video.jobs.output_files import partial_path
from zoomin_d2.video.read.reader import VideoReader
from zoomin_d2.video.time.pipeline import OutputFrame
from zoomin_d2.video.time.pixels import Pixels
from zoomin_d2.video.time.timeline import make_grid
from zoomin_d2.video.write import segment_writer
from zoomin_d2.video.write.encoder import EncodeOptions, choose_encoder
from zoomin_d2.video.write.segment_writer import SegmentWriter
from zoomin_d2.video.write.segments import SEGMENT_FRAMES, SegmentFolder

MULTI = Target(multi=2)


@pytest.fixture
def source(write_video, make_frames):
    """300 frames with a cut and repeats; doubled, they take 3 segments."""
    frames = make_frames(300, 32, 48)
    frames[131] = frames[130]
    frames[120:] = [255 - f for f in frames[120:]]
    return write_video("a clip.mp4", frames, audio="aac", gop=50)


def _stop_after(count):
    """Hooks that stop a run after `count` frames."""
    stop = StopRequest()

    def progress(done, total):
        if done >= count:
            stop.set()

    return Hooks(progress=progress, stop=stop)


def _alike(made, expected):
    """Same times, same frames, to the last bit."""
    (images, times), (expected_images, expected_times) = made, expected
    return times == expected_times and np.array_equal(images, expected_images)


def _folder(output):
    return output.with_name(output.name + ".segments")


# Of small frames x264 makes other bits every time where it uses macroblock trees (their assembly
# reads past the end of a row), given the very same frames; its fastest preset does without.
FASTEST = EncodeOptions(preset="ultrafast")
OPTIONS = JobOptions(stream=StreamOptions(dedupe=True), encode=FASTEST)
RESUME = JobOptions(stream=StreamOptions(dedupe=True), encode=FASTEST, resume=True)


@pytest.mark.parametrize("target", [MULTI, Target(fps=60)], ids=["multi", "fps"])
@pytest.mark.parametrize("stopped_at", [100, 250, 700])
def test_stopped_run_plays_and_resumes(
    tmp_path, source, average, read_video, packets, target, stopped_at
):
    whole, output = tmp_path / "whole.mp4", tmp_path / "out.mp4"
    expected = interpolate_video(str(source), str(whole), average, target, OPTIONS)
    stopped_at = min(stopped_at, expected.output_frames - 50)
    with pytest.raises(InterruptedRunError, match="--resume"):
        hooks = _stop_after(stopped_at)
        interpolate_video(str(source), str(output), average, target, OPTIONS, hooks)
    assert not output.exists()
    frames, _ = read_video(partial_path(output))
    assert stopped_at <= len(frames) <= stopped_at + 2

    report = interpolate_video(str(source), str(output), average, target, RESUME)
    assert _alike(read_video(output), read_video(whole))
    assert packets(output, "audio") == packets(source, "audio")
    assert not _folder(output).exists() and not partial_path(output).exists()
    for key in ("source_frames", "output_frames", "made_frames", "repeated_frames", "cuts"):
        assert getattr(report, key) == getattr(expected, key), key


def test_kill_9_keeps_finished_segments(tmp_path, source, average, read_video):
    whole, output = tmp_path / "whole.mp4", tmp_path / "out.mp4"
    interpolate_video(str(source), str(whole), average, MULTI, OPTIONS)
    calls = []

    def stuck(frame_1, frame_2, ts):
        calls.append(ts)
        if len(calls) > 160:
            time.sleep(60)
        return average(frame_1, frame_2, ts)

    child = os.fork()
    if child == 0:
        try:
            interpolate_video(str(source), str(output), stuck, MULTI, OPTIONS)
        finally:
            os._exit(1)
    journal = _folder(output) / "journal.json"
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if journal.exists() and json.loads(journal.read_text())["segments"]:
            break
        time.sleep(0.05)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    assert not output.exists()
    assert json.loads(journal.read_text())["segments"][-1]["end"] == SEGMENT_FRAMES

    made = []

    def count(frame_1, frame_2, ts):
        made.extend(ts)
        return average(frame_1, frame_2, ts)

    interpolate_video(str(source), str(output), count, MULTI, RESUME)
    assert len(made) <= 600 - SEGMENT_FRAMES
    assert _alike(read_video(output), read_video(whole))


def test_unfinished_run_is_not_mixed(tmp_path, source, average):
    output = tmp_path / "out.mp4"
    with pytest.raises(InterruptedRunError):
        interpolate_video(str(source), str(output), average, MULTI, OPTIONS, _stop_after(300))
    with pytest.raises(OutputError, match="--resume continues it, --overwrite starts over"):
        interpolate_video(str(source), str(output), average, MULTI, OPTIONS)
    with pytest.raises(OutputError, match=r"other settings or another input \(multi"):
        interpolate_video(str(source), str(output), average, Target(multi=3), RESUME)
    options = JobOptions(overwrite=True)
    report = interpolate_video(str(source), str(output), average, MULTI, options)
    assert report.output_frames == 600


def test_stopped_animation_replaces_nothing(tmp_path, source, average):
    output, partial = tmp_path / "out.gif", tmp_path / "out.partial.gif"
    output.write_bytes(b"an older one")
    again = JobOptions(overwrite=True, limit=F(1, 2))
    with pytest.raises(InterruptedRunError, match=r"which are in .*out\.partial\.gif"):
        interpolate_video(str(source), str(output), average, MULTI, again, _stop_after(1))
    assert output.read_bytes() == b"an older one"
    av.open(str(partial)).close()
    interpolate_video(str(source), str(output), average, MULTI, again)
    av.open(str(output)).close()
    assert not partial.exists()


def test_two_runs_at_once(tmp_path, source, average):
    output = tmp_path / "out.mp4"
    seen = []

    def progress(done, total):
        if done == 5:
            with pytest.raises(OutputError, match="Another run is writing"):
                options = JobOptions(overwrite=True)
                interpolate_video(str(source), str(output), average, MULTI, options)
            other = interpolate_video(str(source), str(tmp_path / "b.mp4"), average, MULTI)
            seen.append(other.output_frames)

    report = interpolate_video(
        str(source), str(output), average, MULTI, OPTIONS, Hooks(progress=progress)
    )
    assert seen == [600] and report.output_frames == 600


@pytest.fixture
def file_size_limit():
    """Set the largest file that this process may write; undone at the end."""
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    def limit(num_bytes):
        resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, old[1]))

    yield limit
    resource.setrlimit(resource.RLIMIT_FSIZE, old)
    signal.signal(signal.SIGXFSZ, handler)


def test_a_full_disk_keeps_what_was_finished(
    tmp_path, write_video, average, read_video, file_size_limit
):
    rng = np.random.default_rng(0)
    calm = [np.full((64, 64, 3), 100, np.uint8)] * 140
    noise = list(rng.integers(0, 255, (60, 64, 64, 3), dtype=np.uint8))
    source = write_video("in.mkv", calm + noise, codec="ffv1", pix_fmt="yuv444p")
    whole, output = tmp_path / "whole.mkv", tmp_path / "out.mkv"
    interpolate_video(str(source), str(whole), average, MULTI, OPTIONS)
    file_size_limit(100_000)
    with pytest.raises(DiskFullError, match=r"disk is full.*kept"):
        interpolate_video(str(source), str(output), average, MULTI, OPTIONS)
    assert not output.exists()
    assert len(json.loads((_folder(output) / "journal.json").read_text())["segments"]) == 1
    file_size_limit(resource.RLIM_INFINITY)
    interpolate_video(str(source), str(output), average, MULTI, RESUME)
    assert _alike(read_video(output), read_video(whole))


def test_too_small_disk_is_seen_before(tmp_path, source, average, monkeypatch):
    import shutil

    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage._replace(free=1000))
    with pytest.raises(DiskFullError, match="0 MiB are free"):
        interpolate_video(str(source), str(tmp_path / "out.mp4"), average, MULTI)
    assert not _folder(tmp_path / "out.mp4").exists()


def test_failing_model_is_named_and_resumed(tmp_path, source, average):
    output = tmp_path / "out.mp4"

    def nan(frame_1, frame_2, ts):
        return [frame_1 * float("nan") for _ in ts]

    def wrong_size(frame_1, frame_2, ts):
        return [frame_1[..., 1:] for _ in ts]

    def as_8bit(frame_1, frame_2, ts):
        return [(frame_1 * 255).byte() for _ in ts]

    cases = [(nan, "not finite"), (wrong_size, "The model returned"), (as_8bit, "uint8")]
    for model, words in cases:
        with pytest.raises(ModelError, match=words):
            interpolate_video(str(source), str(output), model, MULTI)
        assert not output.exists() and not _folder(output).exists()
    interpolate_video(str(source), str(output), average, MULTI)


def test_a_preview_is_short(tmp_path, source, average, read_video):
    output = tmp_path / "out.mp4"
    options = JobOptions(limit=2)
    report = interpolate_video(str(source), str(output), average, MULTI, options)
    frames, _ = read_video(output)
    assert len(frames) == report.output_frames == 100


def test_a_folder_of_images_goes_on(tmp_path, source, average):
    output = tmp_path / "frames"
    with pytest.raises(InterruptedRunError):
        interpolate_video(str(source), f"{output}/", average, MULTI, None, _stop_after(50))
    assert len(list(output.glob("*.png"))) >= 50
    with pytest.raises(OutputError, match="holds images"):
        interpolate_video(str(source), f"{output}/", average, MULTI)
    report = interpolate_video(str(source), f"{output}/", average, MULTI, JobOptions(resume=True))
    assert report.output_frames == 600
    assert len(list(output.glob("*.png"))) == 600
    assert not list(output.glob("*.part"))


def test_images_of_another_size_end_the_run(tmp_path, average):
    import cv2

    folder = tmp_path / "images"
    folder.mkdir()
    for i, size in enumerate([(20, 30), (20, 30), (20, 31)]):
        cv2.imwrite(str(folder / f"{i}.png"), np.zeros((*size, 3), np.uint8))
    with pytest.raises(BadInputError, match=r"2\.png: 31x20 uint8, but the first image is 30x20"):
        interpolate_video(str(folder), str(tmp_path / "out.mp4"), average, MULTI)


def test_unconvertible_frame_is_named(tmp_path, source, average, monkeypatch):
    def fail(self, image, pix_fmt):
        raise OSError(12, "Cannot allocate memory")

    monkeypatch.setattr("zoomin_d2.video.read.color.ColorPath.from_rgb", fail)
    with pytest.raises(OutputError, match="Cannot convert frame 1"):
        interpolate_video(str(source), str(tmp_path / "out.mp4"), average, MULTI, OPTIONS)
    assert not (tmp_path / "out.mp4").exists()


H265 = EncodeOptions(codec="h265", preset="ultrafast")


def _written(writer, grid, num_frames):
    black = Pixels(np.zeros((64, 64, 3), np.uint8))
    for i in range(num_frames):
        frame = OutputFrame(i, i / grid.fps, black, "held", 0, (F(0), 0), black)
        writer.write(writer.convert(frame))


@pytest.fixture
def begun(request, tmp_path, write_video, make_frames):
    """A run of 64x64 frames before its first one: folder, writer, grid. The parameter is the
    codec."""
    video = VideoReader(write_video("in.mp4", make_frames(3)))
    grid = make_grid(MULTI, video.info)
    encode = EncodeOptions(codec=getattr(request, "param", None))
    settings = choose_encoder("out.mp4", encode, video.info, grid.fps, grid.time_base, (64, 64))
    folder = SegmentFolder(tmp_path / "out.mp4", {}, resume=False, overwrite=False)
    return folder, SegmentWriter(folder, settings, video), grid


@pytest.mark.parametrize(
    ("begun", "codec"), [(x, x) for x in ("libx264", "libsvtav1")], indirect=["begun"]
)
def test_a_segment_closes_beside_the_next(monkeypatch, begun, codec):
    """But not beside an encoder that takes gigabytes."""
    folder, writer, grid = begun
    first_closed, next_filled, opened = threading.Event(), threading.Event(), []

    def closed(file):
        if file.name.endswith("000000.mp4"):
            if codec == "libx264":
                assert next_filled.wait(60)
            first_closed.set()

    def is_opened(url, mode, options):
        opened.append(first_closed.is_set())
        return av_open(url, mode, options=options)

    av_open = av.open
    monkeypatch.setattr(segment_writer, "SEGMENT_FRAMES", 4)
    monkeypatch.setattr(segment_writer, "sync_file", closed)
    monkeypatch.setattr(segment_writer.av, "open", is_opened)
    _written(writer, grid, 7)
    next_filled.set()
    writer.finish(complete=True)
    assert opened == [False, codec == "libsvtav1"]
    assert [s["end"] for s in folder.segments] == [4, 7]
    folder.release(remove=True)


def test_a_segment_that_cannot_be_closed(monkeypatch, begun):
    """The run fails with its name, and the segment is not noted."""
    folder, writer, grid = begun

    def full(file):
        raise OSError(errno.ENOSPC, "no space left")

    monkeypatch.setattr(segment_writer, "SEGMENT_FRAMES", 4)
    monkeypatch.setattr(segment_writer, "sync_file", full)
    with pytest.raises(DiskFullError, match="Cannot write"):
        _written(writer, grid, 6)
        writer.finish(complete=True)
    writer.close()
    assert folder.segments == []
    assert [file.name for file in folder.path.iterdir() if "part" in file.name] == []
    folder.release(remove=True)


@pytest.mark.parametrize(
    ("codec", "size", "can"),
    [("h264", (1080, 1920), True), ("h264", (2160, 3840), False), ("av1", (64, 64), False)],
)
def test_two_encoders_where_memory_is_small(tmp_path, write_video, make_frames, codec, size, can):
    video = VideoReader(write_video("in.mp4", make_frames(3)))
    grid = make_grid(MULTI, video.info)
    encode = EncodeOptions(codec=codec)
    settings = choose_encoder("out.mp4", encode, video.info, grid.fps, grid.time_base, size)
    assert settings.can_overlap is can


def test_a_thread_cannot_outlive_its_job(begun):
    folder, writer, grid = begun
    writer.close()
    with pytest.raises(OutputError, match="has ended"):
        _written(writer, grid, 1)
    folder.release(remove=True)
    assert not folder.path.exists()


@pytest.mark.parametrize("num_frames", [1, 2])
def test_decoding_times_of_short_segments(tmp_path, write_video, make_frames, num_frames):
    """x265 leaves them to chance: 4 of 10 such segments were refused by the muxer, others were
    decoded hours before they were shown."""
    video = VideoReader(write_video("in.mp4", make_frames(3)))
    grid = make_grid(MULTI, video.info)
    settings = choose_encoder("out.mp4", H265, video.info, grid.fps, grid.time_base, (32, 64))
    black = Pixels(np.zeros((32, 64, 3), np.uint8))
    step = 1 / (grid.fps * grid.time_base)
    for attempt in range(20):
        folder = SegmentFolder(tmp_path / f"{attempt}.mp4", {}, resume=False, overwrite=False)
        writer = SegmentWriter(folder, settings, video)
        for i in range(num_frames):
            frame = OutputFrame(i, i / grid.fps, black, "held", 0, (F(0), 0), black)
            writer.write(writer.convert(frame))
        writer.finish(complete=True)
        with av.open(str(folder.files()[0])) as segment:
            times = [(p.pts, p.dts) for p in segment.demux() if p.size]
        folder.release(remove=True)
        assert times == [(step * i, step * i) for i in range(num_frames)]


@pytest.mark.parametrize("rest", [1, 2])
def test_a_short_last_segment_joins(tmp_path, write_video, make_frames, average, rest):
    total = SEGMENT_FRAMES + rest
    source = write_video("in.mkv", make_frames(total, 32, 64), codec="mjpeg", pix_fmt="yuvj420p")
    output = tmp_path / "out.mp4"
    options = JobOptions(encode=H265)
    interpolate_video(str(source), str(output), average, Target(fps=25), options)
    with av.open(str(output)) as out:
        stream = out.streams.video[0]
        tick = 1 / (25 * stream.time_base)
        packets = [p for p in out.demux(stream) if p.size]
        assert stream.duration == total * tick
    assert sorted(p.pts for p in packets) == [i * tick for i in range(total)]
    delays = {p.pts - p.dts for p in (packets[0], packets[SEGMENT_FRAMES], packets[-1])}
    assert delays == {packets[0].pts - packets[0].dts}


def test_a_short_last_frame_ends_in_time(write_video, make_frames, average, tmp_path):
    """Of 5 frames a second the last one is shown for 0.16 s; encoders reorder the frames made."""
    source = write_video("in.mp4", make_frames(24))
    for name in ("out.mp4", "out.mov", "out.mkv"):
        report = interpolate_video(
            source, tmp_path / name, average, Target(multi=2), filters="fps=5"
        )
        assert report.duration == pytest.approx(0.96, abs=0.001)


def test_what_differs_is_named(tmp_path):
    def folder(settings, resume=False):
        return SegmentFolder(tmp_path / "out.mp4", settings, resume, False)

    folder({"model": "fast", "frames": {"loop": False, "shutter": None}}).release(remove=False)
    with pytest.raises(OutputError, match=r"\(loop: False then, True now\)"):
        folder({"model": "fast", "frames": {"loop": True, "shutter": None}}, resume=True)
    journal = tmp_path / "out.mp4.segments/journal.json"
    journal.write_text(journal.read_text().replace('"version": 2', '"version": 1'))
    with pytest.raises(OutputError, match=r"another version of zoomin_d2.*--overwrite"):
        folder({"model": "fast", "frames": {"loop": False, "shutter": None}}, resume=True)


def test_steps_are_even_across_segments(tmp_path, write_video, make_frames, average):
    """A segment begins at a time that is no whole number of milliseconds."""
    source = write_video("in.mp4", make_frames(SEGMENT_FRAMES // 3 + 2, 32, 64), fps=24)
    interpolate_video(source, tmp_path / "out.mp4", average, Target(multi=3))
    with av.open(str(tmp_path / "out.mp4")) as out:
        times = sorted(p.pts * p.time_base for p in out.demux(video=0) if p.size)
    assert times == [F(k, 72) for k in range(SEGMENT_FRAMES + 6)]
