"""Kill jobs on every container twice by kill -9, resume them, and compare with unbroken runs.

Files are made here by PyAV. A run is killed as soon as one, then three segments are finished; the
resumed run must give the same frames at the same times, to the last bit. Prints a table.

    python -m tests.stress resume_matrix [--only mpeg2] [--keep FOLDER]
"""

import argparse
import hashlib
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import av
import cv2
import numpy as np
from PIL import Image

from zoomin_d2.video import JobOptions, Target, VideoError, interpolate_video
from zoomin_d2.video.read.reader import VideoReader
from zoomin_d2.video.write.segments import JOURNAL, segments_path

NUM_FRAMES = 300
TARGET = Target(multi=4)
KILLED_AFTER = (1, 3)  # finished segments
SIZE = (64, 96)
SAMPLE_RATE = 48_000


class Case(NamedTuple):
    """A clip: its name says container and kind; `times` are ticks of 1/25 s of its frames."""

    name: str
    codec: str
    options: Mapping[str, str] = MappingProxyType({})
    times: range | list[int] = range(NUM_FRAMES)
    sound: bool = True


_OPEN_GOP = {"x264-params": "open-gop=1:bframes=3:keyint=50"}
_CLOSED = {"x264-params": "open-gop=0:bframes=3:keyint=50"}
_UNEVEN = [i + i // 7 for i in range(NUM_FRAMES)]
CASES = [
    *[
        Case(f"{kind}.{suffix}", "libx264", options)
        for suffix in ("mp4", "mov", "mkv", "ts", "m2ts", "flv", "avi")
        for kind, options in (("closed_gop", _CLOSED), ("open_gop", _OPEN_GOP))
    ],
    *[
        Case(f"mpeg2_b.{suffix}", "mpeg2video", {"bf": "2"})
        for suffix in ("ts", "m2ts", "mpg", "vob", "mkv", "avi")
    ],
    *[
        Case(f"late.{suffix}", "libx264", _CLOSED, range(250, 250 + NUM_FRAMES))
        for suffix in ("mkv", "ts", "mp4", "flv")
    ],
    *[
        Case(f"uneven.{suffix}", "libx264", _OPEN_GOP, _UNEVEN)
        for suffix in ("mkv", "ts", "mp4", "flv")
    ],
    Case("mpeg2.mxf", "mpeg2video", sound=False),
    Case("mpeg2_b.m2v", "mpeg2video", {"bf": "2"}, sound=False),
    Case("mpeg4_b.avi", "mpeg4", {"bf": "2"}),
    Case("vp8.webm", "libvpx", {"deadline": "realtime"}, sound=False),
    Case("vp9.webm", "libvpx-vp9", {"deadline": "realtime", "cpu-used": "8"}, sound=False),
    Case("vp8.ivf", "libvpx", {"deadline": "realtime"}, sound=False),
    Case("wmv2.wmv", "wmv2", sound=False),
    Case("raw.h264", "libx264", _OPEN_GOP, sound=False),
    Case("raw.hevc", "libx265", {"x265-params": "log-level=none:keyint=50"}, sound=False),
    Case("h265.mp4", "libx265", {"x265-params": "log-level=none:keyint=50:open-gop=1"}),
    Case("raw.y4m", "wrapped_avframe", sound=False),
    Case("ffv1.mkv", "ffv1"),
    Case("palette.gif", "gif", sound=False),
]


def main(argv: list[str] | None = None) -> None:
    """Run the matrix; exits with 1 if any case failed."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", default="", help="cases whose name contains this")
    parser.add_argument("--keep", type=Path, help="folder for the files (default: temporary)")
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        print("| input | frames | killed at | result |\n|---|---|---|---|")
        passed = total = 0
        for source in _sources(folder, args.only):
            total += 1
            frames, killed_at, problem = _try(source)
            passed += not problem
            print(f"| {source.name} | {frames} | {killed_at} | {problem or 'same'} |", flush=True)
        print(f"\n{passed} of {total} passed")
    sys.exit(passed < total)


def _sources(folder: Path, only: str) -> Iterator[Path]:
    for case in CASES:
        if only in case.name:
            yield _write_clip(folder / case.name, case)
    if only in "two_joined.ts":
        path = _write_clip(folder / "two_joined.ts", CASES[6]._replace(times=range(150)))
        path.write_bytes(2 * path.read_bytes())
        yield path
    if only in "animation.webp":
        frames = [Image.fromarray(image) for image in _images(NUM_FRAMES)]
        path = folder / "animation.webp"
        frames[0].save(path, save_all=True, append_images=frames[1:], duration=40, lossless=True)
        yield path
    if only in "images":
        path = folder / "images"
        path.mkdir(exist_ok=True)
        for i, image in enumerate(_images(NUM_FRAMES)):
            cv2.imwrite(str(path / f"{i}.png"), image)
        yield path


def _images(count: int) -> Iterator[np.ndarray]:
    """Noise that moves, so that no two frames are alike."""
    noise = np.random.default_rng(0).integers(40, 216, (SIZE[0], SIZE[1] + 2 * count, 3), np.uint8)
    noise = cv2.GaussianBlur(noise, (0, 0), 3)
    for i in range(count):
        yield np.ascontiguousarray(noise[:, 2 * i : 2 * i + SIZE[1]])


def _write_clip(path: Path, case: Case) -> Path:
    with av.open(str(path), "w") as out:
        stream = out.add_stream(case.codec, rate=25, options=dict(case.options))
        stream.height, stream.width = SIZE
        stream.pix_fmt = "rgb8" if case.codec == "gif" else "yuv420p"
        stream.codec_context.gop_size = 50
        sound = None
        if case.sound:
            codec = "mp2" if path.suffix == ".avi" or "mpeg2" in path.name else "aac"
            sound = out.add_stream(codec, rate=SAMPLE_RATE)
        packets = list(_encode_pictures(stream, case))
        if sound is not None:
            packets += _encode_silence(sound, case.times[0] / 25, len(case.times) / 25)
        for packet in sorted(packets, key=lambda p: p.dts * p.time_base):
            out.mux(packet)
    return path


def _encode_pictures(stream, case: Case) -> Iterator[av.Packet]:
    for tick, image in zip(case.times, _images(len(case.times))):
        frame = av.VideoFrame.from_ndarray(image).reformat(format=stream.pix_fmt)
        frame.pts, frame.time_base = tick, Fraction(1, 25)
        yield from stream.encode(frame)
    yield from stream.encode()


def _encode_silence(stream, start: float, seconds: float) -> Iterator[av.Packet]:
    context = stream.codec_context
    resampler = av.AudioResampler(context.format, context.layout, SAMPLE_RATE)
    for first in range(0, round(seconds * SAMPLE_RATE), 1024):
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        frame.sample_rate, frame.time_base = SAMPLE_RATE, Fraction(1, SAMPLE_RATE)
        frame.pts = round(start * SAMPLE_RATE) + first
        for piece in resampler.resample(frame):
            yield from stream.encode(piece)
    yield from stream.encode()


def _average(frame_1, frame_2, ts):
    return [(1 - t) * frame_1 + t * frame_2 for t in ts]


def _slow_average(frame_1, frame_2, ts):
    time.sleep(0.002)  # so that there is time to kill it between two segments
    return _average(frame_1, frame_2, ts)


def _try(source: Path) -> tuple[int, str, str]:
    """(frames of the unbroken run, output frames at each kill, what is wrong)."""
    whole, broken = (source.with_name(f"{source.name}.{name}.mkv") for name in ("whole", "broken"))
    try:
        interpolate_video(str(source), str(whole), _average, TARGET, JobOptions(overwrite=True))
        killed_at = [str(_run_and_kill(source, broken, count)) for count in KILLED_AFTER]
        options = JobOptions(resume=True, overwrite=True)
        interpolate_video(str(source), str(broken), _average, TARGET, options)
    except VideoError as error:
        return 0, "", str(error)
    expected, found = _digest(whole), _digest(broken)
    problem = ""
    if found != expected:
        first = next((i for i, (a, b) in enumerate(zip(expected, found)) if a != b), len(found))
        problem = f"{len(found)} frames, the first that differs: {first}"
    return len(expected), ", ".join(killed_at), problem


def _run_and_kill(source: Path, output: Path, count: int) -> int:
    """Run in a process of its own until `count` segments are finished; returns their frames."""
    journal = segments_path(output) / JOURNAL
    child = os.fork()
    if child == 0:
        code = 1
        try:
            options = JobOptions(resume=True)
            interpolate_video(str(source), str(output), _slow_average, TARGET, options)
            code = 0
        finally:
            os._exit(code)
    done: list[dict] = []
    while len(done) < count:
        time.sleep(0.005)
        if os.waitpid(child, os.WNOHANG)[0]:
            raise VideoError("the run ended before it could be killed")
        if journal.exists():
            done = json.loads(journal.read_text())["segments"]
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return done[-1]["end"]


def _digest(path: Path) -> list[tuple[Fraction, str]]:
    with VideoReader(path) as reader:
        return [
            (frame.time, hashlib.md5(reader.to_rgb(frame.picture).tobytes()).hexdigest())
            for frame in reader.frames()
        ]
