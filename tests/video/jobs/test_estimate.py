"""What a job would take: the arithmetic, by hand; and on clips, against the job itself."""

import tempfile
import threading

import numpy as np
import pytest

from zoomin_d2.video import (
    Hooks,
    JobOptions,
    StreamOptions,
    Target,
    VideoError,
    interpolate_source,
    open_source,
)
from zoomin_d2.video.errors import InterruptedRunError
from zoomin_d2.video.jobs.estimate import Estimate, Run, estimate_source, predict


def test_the_slower_side_decides():
    warm = Run(3, 8, first=2.0, feeding=9.0, closing=9.0, cpu=9.0, sizes=[])
    sizes = [(1000, True), *[(100, False)] * 9]

    def seconds(feeding, closing, cpu):
        runs = [Run(11, 24, 0.1, feeding, closing, cpu, sizes)] * 2
        return predict(warm, runs, num_source=102, num_frames=481, cores=2)[0]

    # 2 s at the start, 100 more intervals, each a tenth of an excerpt's time; 0.5 s at the end
    assert seconds(feeding=3.0, closing=0.5, cpu=4.0) == pytest.approx(2 + 100 * 0.3 + 0.5)
    # encoding takes longer than what it waits for
    assert seconds(feeding=3.0, closing=5.0, cpu=4.0) == pytest.approx(2 + 100 * 0.5 + 5)
    # both together use all cores
    assert seconds(feeding=3.0, closing=0.5, cpu=8.0) == pytest.approx(2 + 100 * 0.4 + 0.5)
    # three keyframes in 481 frames: every 240
    runs = [Run(11, 24, 0.1, 1.0, 1.0, 1.0, sizes)]
    assert predict(warm, runs, 102, 481, 2)[1] == 3 * 1000 + 478 * 100
    images = [Run(11, 24, 0.1, 1.0, 1.0, 1.0, [(700, True)] * 24)]
    assert predict(warm, images, 102, 481, 2)[1] == 481 * 700


@pytest.fixture
def moving():
    """Frames with some motion and noise, so that their size is not that of nothing."""
    rng = np.random.default_rng(0)
    texture = rng.integers(0, 256, (72, 300, 3), dtype=np.uint8)
    texture = np.repeat(np.repeat(texture[::4, ::4], 4, 0), 4, 1)
    return [np.ascontiguousarray(texture[:, 2 * i : 2 * i + 96]) for i in range(90)]


def test_titles_in_old_encodings(write_video, moving, average, tmp_path):
    clip = write_video("in.mkv", moving[:30])
    data = clip.read_bytes()
    writer = b"Lavf"  # the name of the program that wrote it, in the same places as a title
    assert writer in data
    clip.write_bytes(data.replace(writer, b"L\xe9vf"))  # Latin-1
    with open_source(clip) as source:
        assert estimate_source(source, str(tmp_path / "out.mkv"), average, Target(multi=2)).seconds


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", "/"])
def test_the_size_of_real_outputs(write_video, moving, average, tmp_path, suffix, monkeypatch):
    clip = write_video("in.mkv", moving, audio="aac" if suffix == ".mkv" else None)
    output = tmp_path / f"out{suffix}"
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    before = sorted(tmp_path.iterdir())
    with open_source(clip) as source:
        found = estimate_source(source, f"{tmp_path}/out{suffix}", average, Target(multi=2))
    assert sorted(tmp_path.iterdir()) == before  # nothing is written, nothing is left behind
    with open_source(clip) as source:
        report = interpolate_source(source, f"{tmp_path}/out{suffix}", average, Target(multi=2))
    files = list(output.iterdir()) if suffix == "/" else [output]
    assert report.output_frames == 180  # of an .mkv, only the end of the longest stream is known
    assert found.frames == pytest.approx(180, abs=2)
    assert found.size == pytest.approx(sum(file.stat().st_size for file in files), rel=0.3)
    assert found.disk == found.size * (2 if suffix in (".mp4", ".mkv") else 1)
    assert found.seconds > 0 and found.memory > 1e8 and 60 <= found.measured_frames <= 180


def test_limits_rates_and_short_clips(write_video, make_frames, average, images_in):
    clip = write_video("in.mp4", make_frames(50))
    with open_source(clip) as source:
        found = estimate_source(
            source, "o.mp4", average, Target(fps=60), JobOptions(limit=1, overwrite=True)
        )
    assert found.frames == 60 and found.measured_frames <= 3 * 72
    with open_source(images_in(3)) as source:
        assert estimate_source(source, "out.mp4", average, Target(multi=4)).frames == 12


@pytest.mark.parametrize("filters, frames", [("", 48), ("fps=5", 48), ("crop=32:32", 48)])
def test_filters_and_loops(write_video, make_frames, average, tmp_path, filters, frames):
    clip = write_video("in.mp4", make_frames(24))
    options = JobOptions(stream=StreamOptions(loop=True))
    with open_source(clip, filters=filters) as source:
        found = estimate_source(source, "o.mp4", average, Target(fps=50), options)
    assert found.frames == frames and found.measured_frames >= frames - 10


@pytest.fixture
def images_in(tmp_path, make_frames):
    import cv2

    def make(count):
        folder = tmp_path / "images"
        folder.mkdir()
        for i, image in enumerate(make_frames(count)):
            cv2.imwrite(str(folder / f"{i}.png"), image)
        return folder

    return make


def test_a_truncated_file(write_video, make_frames, average):
    """Its header promises frames where there are none."""
    clip = write_video("in.mkv", make_frames(90), gop=6)
    data = clip.read_bytes()
    clip.write_bytes(data[: len(data) // 2])
    with open_source(clip) as source:
        found = estimate_source(source, "out.mp4", average, Target(multi=2))
    assert found.frames == 180 and 0 < found.measured_frames < 180


def test_a_stop_leaves_nothing(write_video, make_frames, average, tmp_path, monkeypatch):
    clip = write_video("in.mp4", make_frames(20))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    before, stop = sorted(tmp_path.iterdir()), threading.Event()
    stop.set()
    with open_source(clip) as source, pytest.raises(InterruptedRunError, match="Stopped; an"):
        estimate_source(source, "out.mp4", average, Target(multi=2), hooks=Hooks(stop=stop))
    assert sorted(tmp_path.iterdir()) == before


def test_what_cannot_be_estimated(write_video, make_frames, average, images_in):
    with open_source(images_in(2)) as pair, pytest.raises(VideoError, match="takes no estimate"):
        estimate_source(pair, "middle.png", average, Target(multi=2))
    clip = write_video("in.mp4", make_frames(6))
    with open_source(clip) as source, pytest.raises(VideoError, match="a file or a folder"):
        estimate_source(source, "-", average, Target(multi=2))
    with open_source(clip) as source, pytest.raises(VideoError, match="unknown kind of output"):
        estimate_source(source, "out.xyz", average, Target(multi=2))


def test_one_line():
    line = str(Estimate("a.mp4", "b.mp4", 1440, 7380.0, 1_130_000_000, None, 45_000, 90_000, 72))
    assert line == (
        "a.mp4 -> b.mp4: about 2 h 3 min for 1440 frames (0.2 fps), 1.13 GB of memory, 45 kB of "
        "output (90 kB of disk while it is made); measured on 72 frames"
    )
