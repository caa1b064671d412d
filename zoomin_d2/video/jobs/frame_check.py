"""What frames cannot be made with is refused before anything is written."""

from collections.abc import Iterator
from fractions import Fraction

from zoomin_d2.interpolate import Interpolate
from zoomin_d2.video.read.source import ClosedOnExit, Damage, Source, SourceFrame
from zoomin_d2.video.time.pipeline import StreamOptions, interpolate_frames
from zoomin_d2.video.time.timeline import Grid


def check_frames(
    source: Source, interpolate: Interpolate, grid: Grid, options: StreamOptions
) -> None:
    """Start on the frames as a job does, with none to read.

    Raises:
        OptionError: the options do not fit the frames (a mask of another size) or the model.
    """
    next(interpolate_frames(_Frameless(source), interpolate, grid, options), None)


class _Frameless(ClosedOnExit):
    """A source without its frames."""

    def __init__(self, source: Source):
        self.info, self.files, self.damage = source.info, source.files, Damage()
        self.end, self.count = source.info.start, 0
        self.first_alpha: Fraction | None = None
        self.to_rgb, self.to_alpha = source.to_rgb, source.to_alpha

    def again(self) -> "_Frameless":
        return self

    def frames(self, start: Fraction | None = None, index: int = 0) -> Iterator[SourceFrame]:
        return iter(())
