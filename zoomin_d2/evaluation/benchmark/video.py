"""What the video pipeline costs: memory against length, time against the model alone, its stages.

Overhead is (time of the whole job - time of the model alone) / time of the model alone; the model
alone makes the same frames from pairs in memory. The stages of a real clip are the whole job, and
each of its parallel parts alone: the encoder, decoding to RGB, the model with the copies to and
from its device, and the job without a model. The slowest bounds the job, or all cores are busy.
"""

import json
import subprocess
import sys
import time
from collections import deque
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import torch
from torch import Tensor

from zoomin_d2.frames import to_image, to_samples, to_tensor
from zoomin_d2.inference.interpolator import Interpolator
from zoomin_d2.interpolate import Interpolate
from zoomin_d2.video import Target, interpolate_video, open_source
from zoomin_d2.video.jobs.container_job import JobOptions
from zoomin_d2.video.read.containers import open_container
from zoomin_d2.video.report import Report
from zoomin_d2.video.write.encoder import EncodeOptions, choose_encoder
from zoomin_d2.video.write.null_container import scratch_container


def make_clip(path: Path, num_frames: int, size: tuple[int, int]) -> None:
    """Colored cells that move 3 pixels per frame, with some grain; size is (width, height)."""
    rng = np.random.default_rng(0)
    width, height = size
    cells = rng.integers(30, 226, (height // 16 + 1, 2 * width // 16 + 1, 3), dtype=np.uint8)
    texture = cells.repeat(16, 0).repeat(16, 1)[:height]
    grain = rng.integers(0, 12, (height, width, 3), dtype=np.uint8)
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=25, options={"crf": "20", "preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for i in range(num_frames):
            left = 3 * i % width
            image = texture[:, left : left + width] + grain
            out.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(image))))
        out.mux(stream.encode())


def run_once(clip: Path, output: Path) -> dict[str, float]:
    """Double the frames of a clip with the cheapest model; peak memory of this process."""
    begun = time.perf_counter()
    model = Interpolator.from_pretrained("average")
    report = interpolate_video(str(clip), str(output), model, Target(multi=2))
    status = Path("/proc/self/status").read_text().splitlines()
    peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM:"))
    seconds = time.perf_counter() - begun
    return {"frames": report.source_frames, "peak_mib": peak / 1024, "seconds": seconds}


def measure_memory(num_frames: Sequence[int], size: tuple[int, int], folder: Path) -> None:
    """Print the peak memory of jobs on clips made here, each in its own process.

    Args:
        num_frames: frames of each clip.
        size: (width, height).
        folder: for temporary files.
    """
    print(f"{size[0]}x{size[1]}, multi 2, average, {torch.get_num_threads()} threads")
    peaks = []
    for n in num_frames:
        clip = folder / f"{n}.mp4"
        make_clip(clip, n, size)
        command = [sys.executable, "-m", __name__, str(clip), str(folder / "out.mp4")]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        result = json.loads(done.stdout.splitlines()[-1])
        (folder / "out.mp4").unlink()
        peaks.append(result["peak_mib"])
        print(
            f"{result['frames']:6d} frames: {result['peak_mib']:7.1f} MiB at the highest, "
            f"{result['seconds']:.1f} s"
        )
    print(f"largest / smallest: {max(peaks) / min(peaks):.3f}")


def measure_overhead(name: str, interpolate: Interpolate, num_pairs: int, folder: Path) -> None:
    """Print how much time a job takes beyond its model, on clips made here in `folder`."""
    for size in ((640, 360), (1280, 720)):
        clip = folder / "clip.mp4"
        make_clip(clip, num_pairs + 1, size)
        alone = time_alone(clip, interpolate, num_pairs)
        output = folder / "out.mp4"
        begun = clocks()
        report = interpolate_video(str(clip), str(output), interpolate, Target(multi=2))
        whole = clocks() - begun
        # Before and after, because the machine may be busier at one of them.
        alone = (alone + time_alone(clip, interpolate, num_pairs)) / 2
        output.unlink()
        print(f"{name}, {size[0]}x{size[1]}, {report.made_frames} interpolated frames:")
        for clock, a, b in zip(("wall clock", "CPU time"), alone, whole):
            share = 100 * (b / a - 1)
            print(f"  {clock}: model alone {a:.2f} s, whole job {b:.2f} s, overhead {share:.1f} %")


def clocks() -> np.ndarray:
    """Wall clock, and CPU time of all threads (which other programs do not affect)."""
    return np.array([time.perf_counter(), time.process_time()])


def time_alone(clip: Path, interpolate: Interpolate, num_pairs: int) -> np.ndarray:
    """Seconds for the middle frame of every pair, with the frames in memory; first call apart."""
    with open_source([str(clip)]) as source:
        images = [source.to_rgb(f.picture) for _, f in zip(range(8), source.frames())]
    frames = [to_tensor(image) for image in images]
    with torch.no_grad():
        interpolate(frames[0], frames[1], [0.5])
        begun = clocks()
        for i in range(num_pairs):
            interpolate(frames[i % 7], frames[i % 7 + 1], [0.5])
        return clocks() - begun


class _NoModel:
    """Takes the way of a model on a device, and makes nothing."""

    def __init__(self, device: torch.device):
        self.device = device

    def __call__(self, frame_1: Tensor, frame_2: Tensor, ts: list[float], /) -> list[Tensor]:
        return [frame_1 for _ in ts]


def measure_stages(
    clip: Path,
    model: Interpolator,
    target: Target,
    folder: Path,
    *,
    repeat: int = 1,
    preset: str | None = None,
) -> None:
    """Print the output frames per second of a job on a real clip, and of its stages alone, and how
    many cores each kept busy. Without a model, made frames repeat those before.

    Args:
        model: interpolates the frames.
        folder: for temporary files.
        repeat: how many times the clip is played.
        preset: the encoder's preset.
    """
    looped, output = folder / "clip.mp4", folder / "out.mp4"
    loop_clip(clip, looped, repeat)
    encode = EncodeOptions(preset=preset)

    def run(source: Path, interpolate: Interpolate) -> tuple[Report, np.ndarray]:
        options = JobOptions(encode=encode, overwrite=True)
        begun = clocks()
        report = interpolate_video(str(source), str(output), interpolate, target, options)
        return report, clocks() - begun

    def show(stage: str, passed: np.ndarray) -> None:
        seconds, cpu_seconds = passed
        print(
            f"  {stage}: {seconds:.2f} s, {report.output_frames / seconds:.1f} output frames per "
            f"second, {cpu_seconds / seconds:.1f} cores",
            flush=True,
        )

    run(clip, model)  # warm up
    report, whole = run(looped, model)
    print(
        f"{model.name} on {model.device}, {report.width}x{report.height}, {report.encoder} "
        f"{preset or ''}: {report.source_frames} -> {report.output_frames} frames at "
        f"{report.fps}, {report.made_frames} of them interpolated"
    )
    show("whole job", whole)
    # Before the next job, whose frames repeat: those take an encoder two thirds of the time.
    show("encoding alone", time_encoding(output, encode, report))
    show("decoding and encoding, no model", run(looped, _NoModel(model.device))[1])

    begun = clocks()
    with open_source([str(looped)]) as source:
        images = deque((source.to_rgb(frame.picture) for frame in source.frames()), maxlen=8)
    show("decoding to RGB alone", clocks() - begun)

    ts = [0.4, 0.8]  # as from 24 to 60 fps
    num_calls = report.made_frames // len(ts)
    begun = clocks()
    before = to_tensor(images[0], model.device)
    with torch.no_grad():
        for i in range(num_calls):
            after = to_tensor(images[(i + 1) % len(images)], model.device)
            for made in model(before, after, ts):
                to_image(to_samples(made, deep=False).cpu())
            before = after
    show("model alone, with copies", clocks() - begun)


def time_encoding(clip: Path, options: EncodeOptions, report: Report) -> np.ndarray:
    """`clocks` for encoding a job's number of frames: those of `clip`'s first second, repeated."""
    fps = Fraction(report.fps)
    with open_source([str(clip)]) as source:
        settings = choose_encoder(clip, options, source.info, fps, 1 / fps)
        pictures = [f.picture for _, f in zip(range(max(1, round(fps))), source.frames())]
    with scratch_container("mp4") as container:
        stream = settings.add_stream(container)
        begun = clocks()
        for i in range(report.output_frames):
            picture = pictures[i % len(pictures)]
            picture.pts, picture.time_base = i, settings.time_base
            picture.pict_type = av.video.frame.PictureType.NONE  # the source's is not the encoder's
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
        return clocks() - begun


def loop_clip(clip: Path, output: Path, times: int) -> None:
    """Copy a video stream several times in a row, without decoding it."""
    with av.open(str(output), "w") as out:
        stream, offset = None, 0
        for _ in range(times):
            with open_container(clip) as source:
                video = source.streams.video[0]
                stream = stream or out.add_stream_from_template(video)
                end = 0
                for packet in source.demux(video):
                    if packet.dts is None:
                        continue
                    end = max(end, packet.pts + packet.duration)
                    packet.pts, packet.dts = packet.pts + offset, packet.dts + offset
                    packet.stream = stream
                    out.mux(packet)
                offset += end


if __name__ == "__main__":
    print(json.dumps(run_once(*map(Path, sys.argv[1:3]))))
