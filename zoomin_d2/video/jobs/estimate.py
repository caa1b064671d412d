"""What a job would take on this machine: time, memory and disk, from excerpts of it.

Short excerpts of the source, spread over its length, go through the same job as the whole would,
into a temporary folder. The rest is arithmetic: `predict`.
"""

import itertools
import math
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from pathlib import Path
from statistics import mean
from typing import Any

import av
import torch

from zoomin_d2.interpolate import Interpolate
from zoomin_d2.video.errors import (
    BadInputError,
    InterruptedRunError,
    OptionError,
    OutputError,
    VideoError,
)
from zoomin_d2.video.jobs.container_job import Hooks, JobOptions, count_frames
from zoomin_d2.video.jobs.run import interpolate_source, output_kind
from zoomin_d2.video.read.containers import open_container
from zoomin_d2.video.read.filtered import FilteredSource
from zoomin_d2.video.read.source import ClosedOnExit, Damage, Source, SourceFrame
from zoomin_d2.video.report import duration_words
from zoomin_d2.video.time.timeline import Target, make_grid
from zoomin_d2.video.write.encoder import KEYFRAME_INTERVAL

PLACES = (Fraction(1, 6), Fraction(1, 2), Fraction(5, 6))  # of the length
WARM_UP = 4  # source frames of the first excerpt, which pays for what is done once
FEWEST, MOST = 12, 30  # source frames of each excerpt after it
SECONDS = 12.0  # that all excerpts may take together, if the fewest frames do not take longer
_SAMPLE_PACKETS = 2000  # of the input, to find the rate of its sound and subtitles


@dataclass(frozen=True)
class Estimate:
    """What a job will take.

    Attributes:
        input, output: names.
        frames: of the output.
        seconds: of the job, without loading Python and the model.
        memory: peak of the process, in bytes; None where the system does not say.
        gpu_memory: peak on all CUDA GPUs, in bytes; None without one.
        size: of the output, in bytes. disk: that must be free, which is more for a moment.
        measured_frames: of the output, on which this is based.
    """

    input: str
    output: str
    frames: int
    seconds: float
    memory: int | None
    gpu_memory: int | None
    size: int
    disk: int
    measured_frames: int

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def __str__(self) -> str:
        memory = "" if self.memory is None else f", {_bytes(self.memory)} of memory"
        if self.gpu_memory is not None:
            memory += f", {_bytes(self.gpu_memory)} of the GPU's"
        return (
            f"{self.input} -> {self.output}: about {duration_words(self.seconds)} for "
            f"{self.frames} frames ({self.frames / max(self.seconds, 1e-3):.1f} fps){memory}, "
            f"{_bytes(self.size)} of output ({_bytes(self.disk)} of disk while it is made); "
            f"measured on {self.measured_frames} frames"
        )


@dataclass(frozen=True)
class Run:
    """What was measured of one excerpt.

    Attributes:
        intervals: between its source frames. frames: of its output.
        first: seconds to the first frame of the output; feeding: from it to the last; closing: from
            the last to the end.
        cpu: seconds of all cores together after the first frame.
        sizes: (bytes, whether it is a keyframe) of each frame of the output.
    """

    intervals: int
    frames: int
    first: float
    feeding: float
    closing: float
    cpu: float
    sizes: list[tuple[int, bool]]


def estimate_source(
    source: Source,
    output: str | os.PathLike,
    interpolate: Interpolate,
    target: Target,
    options: JobOptions | None = None,
    hooks: Hooks | None = None,
) -> Estimate:
    """What `interpolate_source` would take with the same arguments; writes no output.

    Raises:
        VideoError: by name; as the job itself, and if the length of the source or the kind of
            output allow no estimate.
    """
    options, hooks, output = options or JobOptions(), hooks or Hooks(), os.fspath(output)
    info = source.info
    kind = output_kind(output)
    total = count_frames(info, make_grid(target, info), options.limit)
    if kind == "pipe":
        raise OutputError("A pipe (-) cannot be estimated: name a file or a folder as the output")
    if kind == "image" and info.is_images and info.num_frames == 2:
        raise OutputError(f"{output}: one frame between two images takes no estimate")
    if not total or not info.num_frames or info.fingerprint is None:
        raise BadInputError(f"{info.name}: its length is unknown, and without it nothing follows")
    num_source = info.num_frames
    if options.limit is not None:
        num_source = min(num_source, math.ceil(options.limit * info.rate))
    stream = replace(options.stream, loop=False)  # an excerpt has no seam
    short = replace(options, stream=stream, resume=False, overwrite=True, limit=None, audio="drop")
    # what is filtered is filtered from its start on, each time
    places = (Fraction(0),) if isinstance(source, FilteredSource) else PLACES
    quiet = replace(hooks, progress=None)

    def measure(place: Fraction, num_frames: int) -> Run | None:
        index = min(int(num_source * place), max(0, num_source - num_frames))
        excerpt = _Excerpt(source, index, num_frames)
        return _measure(excerpt, output, interpolate, target, short, quiet)

    warm = measure(Fraction(0), WARM_UP)
    if warm is None:
        raise BadInputError(f"{info.name}: no frame can be read")
    begun, runs = time.monotonic(), list[Run]()
    per_frame = (warm.feeding + warm.closing) / max(warm.intervals, 1)
    most = min(MOST, max(FEWEST, int(SECONDS / len(places) / max(per_frame, 1e-3))))
    for place in places:
        run = measure(place, most)
        runs += [] if run is None else [run]
        if time.monotonic() - begun > SECONDS or num_source <= most:
            break
    runs = runs or [warm]
    seconds, size = predict(warm, runs, num_source, total)
    if kind == "video" and info.file is not None and options.audio != "drop":
        length = Fraction(num_source) / info.rate * target.slowmo
        size += round(_side_rate(info.file, info.stream_index) * float(length))
    return Estimate(
        info.name,
        output,
        total,
        round(seconds, 2),
        _peak_memory(),
        _peak_gpu_memory(),
        size,
        2 * size if kind == "video" else size,
        sum(run.frames for run in runs),
    )


def predict(
    warm: Run, runs: list[Run], num_source: int, num_frames: int, cores: int | None = None
) -> tuple[float, int]:
    """(seconds, bytes) of a job with `num_source` frames in and `num_frames` out.

    Reading and making frames, and encoding them, run side by side: the slower of the two decides,
    or the cores, if both together want more of them than there are. The first interval of an
    excerpt is made before its first frame comes, so one less is counted.

    Args:
        warm: the first excerpt, which also paid for what a job does once.
        runs: the others.
        cores: that this process may use; None: ask the system.
    """
    cores = cores or _num_cores()
    intervals = sum(max(run.intervals - 1, 1) for run in runs)
    feeding, closing = sum(run.feeding for run in runs), sum(run.closing for run in runs)
    each = max(feeding, closing, sum(run.cpu for run in runs) / cores) / intervals
    seconds = warm.first + each * max(num_source - 2, 0) + closing / len(runs)
    sizes = [size for run in runs for size in run.sizes]
    keys = [size for size, is_key in sizes if is_key]
    others = [size for size, is_key in sizes if not is_key] or keys
    num_keys = num_frames if others is keys else math.ceil(num_frames / KEYFRAME_INTERVAL)
    return seconds, round(num_keys * mean(keys) + (num_frames - num_keys) * mean(others))


class _Excerpt(ClosedOnExit):
    """Some frames of a source in a row as a source of unknown length; its clock begins as the
    whole one's does."""

    def __init__(self, source: Source, index: int, num_frames: int):
        self._source, self._index, self._num_frames = source, index, num_frames
        self.info = replace(source.info, duration=None, num_frames=0, file=None, fingerprint=index)
        self.files = source.files
        self.damage = Damage()
        self.end, self.count = self.info.start, 0
        self.first_alpha: Fraction | None = None
        self.to_rgb, self.to_alpha = source.to_rgb, source.to_alpha

    def again(self) -> "_Excerpt | None":
        source = self._source.again()
        return None if source is None else _Excerpt(source, self._index, self._num_frames)

    def frames(self, start: Fraction | None = None, index: int = 0) -> Iterator[SourceFrame]:
        begin = self.info.start + self._index / self.info.rate
        read = self._source.frames(begin, self._index)
        shift: Fraction | None = None
        for i, frame in enumerate(itertools.islice(read, self._num_frames)):
            if shift is None:
                shift = frame.time - self.info.start
            self.end, self.count = frame.time - shift + frame.duration, i + 1
            yield SourceFrame(i, frame.time - shift, frame.duration, frame.picture)
        self.first_alpha = None if self._source.first_alpha is None else self.info.start


def _measure(
    excerpt: _Excerpt,
    output: str,
    interpolate: Interpolate,
    target: Target,
    options: JobOptions,
    hooks: Hooks,
) -> Run | None:
    """None: the source has no frame there, whatever its header says."""
    times: list[float] = []
    cpu: list[float] = []

    def note(done: int, total: int) -> None:
        times.append(time.monotonic())
        cpu.append(time.process_time())

    with tempfile.TemporaryDirectory(prefix="zoomin-estimate-") as folder:
        file = Path(folder, "excerpt" + Path(output).suffix)
        begun = time.monotonic()
        try:
            interpolate_source(
                excerpt, file, interpolate, target, options, replace(hooks, progress=note)
            )
        except InterruptedRunError:
            raise InterruptedRunError("Stopped; an estimate writes nothing") from None
        except OptionError:
            raise
        except VideoError:
            if excerpt.count == 0:
                return None
            raise
        end, used = time.monotonic(), time.process_time()
        if not times:
            return None
        sizes = _sizes(file, len(times))
    return Run(
        excerpt.count - 1,
        len(times),
        times[0] - begun,
        times[-1] - times[0],
        end - times[-1],
        used - cpu[0],
        sizes,
    )


def _sizes(file: Path, num_frames: int) -> list[tuple[int, bool]]:
    """(bytes, whether it is a keyframe) of each frame of an output."""
    if file.is_dir():
        return [(image.stat().st_size, True) for image in file.iterdir()]
    if output_kind(file) != "video":
        return [(file.stat().st_size // num_frames, True)] * num_frames
    with open_container(file) as container:
        packets = container.demux(video=0)
        return [(packet.size, packet.is_keyframe) for packet in packets if packet.size]


def _side_rate(file: Path, video_index: int) -> float:
    """Bytes per second of everything beside the video, from the first packets of a file."""
    size, last = 0, 0.0
    try:
        with open_container(file) as container:
            for packet in itertools.islice(container.demux(), _SAMPLE_PACKETS):
                if packet.pts is not None and packet.time_base is not None:
                    last = max(last, float(packet.pts * packet.time_base))
                if packet.stream.index != video_index:
                    size += packet.size
    except av.FFmpegError:
        pass  # damaged: what was read so far
    return size / last if last > 0 else 0.0


def _peak_memory() -> int | None:
    """Of this process so far, in bytes."""
    if os.name == "posix":
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024
    return None


def _peak_gpu_memory() -> int | None:
    if not torch.cuda.is_initialized():
        return None
    return sum(torch.cuda.max_memory_reserved(k) for k in range(torch.cuda.device_count()))


def _num_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _bytes(number: int) -> str:
    for unit, size in (("GB", 1e9), ("MB", 1e6)):
        if number >= size:
            return f"{number / size:.3g} {unit}"
    return f"{number / 1e3:.3g} kB"
