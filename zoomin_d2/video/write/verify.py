"""Checks around a job: room on the disk before, and that the finished file is what it must be."""

import shutil
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av

from zoomin_d2.video.errors import DiskFullError, VerificationError
from zoomin_d2.video.read.source import Source
from zoomin_d2.video.report import Report
from zoomin_d2.video.time.timeline import Target
from zoomin_d2.video.write.encoder import EncoderSettings
from zoomin_d2.video.write.segments import MIN_FREE_BYTES

# A low guess of what an encoder at the default quality writes: never refuse what would have fit.
_BITS_PER_PIXEL = 0.02


def check_space(
    output: Path, source_file: Path | None, settings: EncoderSettings, num_frames: int
) -> None:
    """Raises DiskFullError if the output cannot fit. Segments and the joined file exist together
    for a moment, and copied streams come on top."""
    pixels = settings.width * settings.height
    expected = 2 * int(num_frames * pixels * _BITS_PER_PIXEL / 8)
    free = shutil.disk_usage(output.parent).free
    if free < expected + MIN_FREE_BYTES:
        needed = (expected + MIN_FREE_BYTES) / 2**20
        raise DiskFullError(
            f"{output.parent}: {free / 2**20:.0f} MiB are free, {num_frames} frames of "
            f"{settings.width}x{settings.height} need about {needed:.0f}"
        )


def verify_video(
    output: Path,
    report: Report,
    settings: EncoderSettings,
    source: Source,
    target: Target,
    limit: Fraction | None,
) -> None:
    """Read the finished file's packets: as many frames as were made, times that grow, and the
    duration of the source to within half a frame. Sets report.duration.

    Raises:
        VerificationError: something is wrong with the file; it is kept.
    """
    times: list[Fraction] = []
    last_duration = Fraction(0)
    with av.open(str(output)) as container:
        stream = container.streams.video[0]
        for packet in container.demux(stream):
            if packet.size:
                time = packet.pts * packet.time_base
                if not times or time > max(times[-1:]):
                    last_duration = (packet.duration or 0) * packet.time_base
                times.append(time)
        tick = stream.time_base
        # MP4 gives packets the time to the next one that is decoded, and the end as a whole
        end = None
        if stream.duration and times:
            end = ((stream.start_time or 0) + stream.duration) * stream.time_base
    if len(times) != report.output_frames:
        raise VerificationError(
            f"{output} holds {len(times)} frames, {report.output_frames} were written"
        )
    times.sort()
    if any(b <= a for a, b in pairwise(times)):
        raise VerificationError(f"{output}: two frames have one time")
    step = 1 / settings.fps
    duration = (end or times[-1] + (last_duration or step)) - times[0]
    report.duration = float(duration)
    if limit is not None:
        return
    expected = (source.end - source.info.start) * target.slowmo
    if abs(duration - expected) > step / 2 + 2 * max(tick, source.info.time_base):
        raise VerificationError(
            f"{output} lasts {float(duration):.4f} s, it should last {float(expected):.4f} s"
        )
