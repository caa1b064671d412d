"""Clips that are shown in a loop: after the last frame, the first one comes again."""

from collections.abc import Iterable, Iterator
from fractions import Fraction

from zoomin_d2.video.errors import BadInputError
from zoomin_d2.video.read.containers import open_container
from zoomin_d2.video.read.source import SourceFrame, SourceInfo
from zoomin_d2.video.time.timeline import Grid, SubdivisionGrid, UniformGrid


def closed(
    frames: Iterable[SourceFrame], first: SourceFrame | None = None
) -> Iterator[SourceFrame]:
    """The frames, and the first one once more when the last one has been shown.

    Args:
        frames: of a whole source, or the rest of it.
        first: the first frame of the source if `frames` begins later.
    """
    last = None
    for frame in frames:
        # a copy: whoever takes a frame also takes its picture away
        first = first or SourceFrame(frame.index, frame.time, frame.duration, frame.picture)
        last = frame
        yield frame
    if first is not None and last is not None:
        end = last.time + last.duration
        yield SourceFrame(last.index + 1, end, Fraction(0), first.picture, closes_loop=True)


def close_grid(grid: Grid, info: SourceInfo, keep_length: bool) -> Grid:
    """A grid whose frames divide the loop evenly, the seam included.

    A loop that does not last a whole number of frames keeps its length, and the rate becomes the
    nearest one that fits, or it keeps the rate, and lasts up to half a frame more or less.

    Raises:
        BadInputError: the length of the source is not known, because it is a pipe.
    """
    if isinstance(grid, SubdivisionGrid):
        return grid
    duration = info.duration or _measured(info)
    if not duration:
        raise BadInputError(
            f"{info.name}: its length is unknown, so --loop cannot divide it evenly: give a file, "
            "or use --multi"
        )
    by_rate = info.num_frames / info.rate
    if abs(by_rate - duration) <= 2 * info.time_base:  # the container rounds
        duration = by_rate
    count = max(1, round(duration * grid.slowmo * grid.fps))
    fps, slowmo = grid.fps, count / (grid.fps * duration)
    if keep_length:
        fps, slowmo = count / (duration * grid.slowmo), grid.slowmo
    return UniformGrid(fps, slowmo, grid.start, info.time_base, count)


def _measured(info: SourceInfo) -> Fraction | None:
    """The length of a file by its packets (the header of an animated PNG has none)."""
    if info.file is None:
        return None
    with open_container(info.file) as container:
        packets = container.demux(container.streams[info.stream_index])
        timed = [p for p in packets if p.size and p.pts is not None and p.time_base is not None]
        begins = [p.pts * p.time_base for p in timed]
        ends = [begin + (p.duration or 0) * p.time_base for begin, p in zip(begins, timed)]
    return max(ends) - min(begins) if timed else None
