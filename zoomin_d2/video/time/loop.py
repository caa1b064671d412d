"""Clips that are shown in a loop: after the last frame, the first one comes again."""

from collections import deque
from collections.abc import Iterable, Iterator
from fractions import Fraction

from zoomin_d2.video.errors import BadInputError
from zoomin_d2.video.read.source import Source, SourceFrame
from zoomin_d2.video.time.timeline import Grid, SubdivisionGrid, UniformGrid


def last_frame(source: Source) -> SourceFrame | None:
    """The last frame of a source, which is read once more; None: a pipe, or it has no frames."""
    whole = source.again()
    if whole is None:
        return None
    with whole:
        found = deque(whole.frames(), maxlen=1)
    return found[0] if found else None


def closed(
    frames: Iterable[SourceFrame],
    first: SourceFrame | None = None,
    before: SourceFrame | None = None,
) -> Iterator[SourceFrame]:
    """The frames, and the first one once more when the last one has been shown.

    Args:
        frames: of a whole source, or the rest of it.
        first: the first frame of the source if `frames` begins later.
        before: the last frame of the source, to come before the first one, with index -1, for those
            who look back from it.
    """
    last = None
    for frame in frames:
        # a copy: whoever takes a frame also takes its picture away
        if before is not None and first is None:
            yield SourceFrame(-1, frame.time - before.duration, before.duration, before.picture)
        first = first or SourceFrame(frame.index, frame.time, frame.duration, frame.picture)
        last = frame
        yield frame
    if first is not None and last is not None:
        end = last.time + last.duration
        yield SourceFrame(last.index + 1, end, Fraction(0), first.picture, closes_loop=True)


def close_grid(grid: Grid, source: Source, keep_length: bool) -> Grid:
    """A grid whose frames divide the loop evenly, the seam included.

    A loop that does not last a whole number of frames keeps its length, and the rate becomes the
    nearest one that fits, or it keeps the rate, and lasts up to half a frame more or less.

    A source that is not a folder of images is read once to its end, because what headers say of its
    length need not be so.

    Raises:
        BadInputError: the length of the source is not known, because it is a pipe.
    """
    if isinstance(grid, SubdivisionGrid):
        return grid
    info = source.info
    duration = info.duration if info.is_images else _measured(source)
    if not duration:
        raise BadInputError(
            f"{info.name}: its length is unknown, so --loop cannot divide it evenly: give a file, "
            "or use --multi"
        )
    count = max(1, round(duration * grid.slowmo * grid.fps))
    fps, slowmo = grid.fps, count / (grid.fps * duration)
    if keep_length:
        fps, slowmo = count / (duration * grid.slowmo), grid.slowmo
    return UniformGrid(fps, slowmo, grid.start, info.time_base, count)


def _measured(source: Source) -> Fraction | None:
    """From the first frame to the end of the last one; None: it cannot be read twice."""
    whole = source.again()
    if whole is None:
        return None
    with whole:
        for _ in whole.frames():
            pass
        duration, by_rate = whole.end - whole.info.start, whole.count / whole.info.rate
    is_even = abs(by_rate - duration) <= 2 * whole.info.time_base  # the container rounds
    return by_rate if is_even else duration
