"""A small video of source and result side by side, which the page shows as one with a divider."""

import bisect
from fractions import Fraction
from pathlib import Path
from types import TracebackType

import av
import cv2
import numpy as np

from zoomin_d2.video.read.source import SourceInfo
from zoomin_d2.video.time.pipeline import OutputFrame
from zoomin_d2.video.time.queues import Worker
from zoomin_d2.video.write.segments import os_error

MAX_SIDE = 1280  # pixels of each of the two, so that phones decode both
CLOCK = Fraction(1, 90_000)


class ComparisonVideo:
    """Source frames, held as a player holds them, on the left; the result on the right.

    One file instead of two: a page cannot keep two players at the same frame.

    Args:
        path: of the .mp4. info: of the source.

    Attributes:
        still: seconds at which a made frame is shown, nearest to the middle; 0 if there is none.
    """

    def __init__(self, path: Path, info: SourceInfo):
        self.path = path
        scale = min(1.0, MAX_SIDE / max(info.height, info.width))
        # 4:2:0 takes even sizes.
        width, height = (max(2, round(n * scale) // 2 * 2) for n in (info.width, info.height))
        self._size, self._color = (width, height), info.color
        self._container = av.open(str(path), "w", options={"movflags": "faststart"})
        # Every fourth frame is a key frame: the page steps through single frames.
        options = {"preset": "veryfast", "crf": "20", "g": "4", "bf": "0"}
        self._stream = self._container.add_stream("libx264", options=options)
        self._stream.width, self._stream.height = 2 * width, height
        self._stream.pix_fmt, self._stream.codec_context.time_base = "yuv420p", CLOCK
        if info.sample_aspect_ratio:
            self._stream.codec_context.sample_aspect_ratio = info.sample_aspect_ratio
        self._start: Fraction | None = None
        self._made: list[float] = []
        self._end = 0.0
        self._worker = Worker(self._write, size=4)

    @property
    def still(self) -> float:
        if not self._made:
            return 0.0
        k = bisect.bisect_left(self._made, self._end / 2)
        return self._made[min(k, len(self._made) - 1)]

    def add(self, frame: OutputFrame) -> None:
        """Raises OutputError, DiskFullError."""
        if self._start is None:
            self._start = frame.time
        self._end = float(frame.time - self._start)
        if frame.kind == "made":
            # Within the frame: a player that seeks to its first tick may round to the one before.
            self._made.append(self._end + float(frame.duration) / 2)
        self._worker.put((frame.time - self._start, frame.held.image, frame.image))

    def _write(self, item: tuple[Fraction, np.ndarray, np.ndarray]) -> None:
        time, *halves = item
        if halves[0].shape[1::-1] != self._size:
            halves = [cv2.resize(half, self._size, interpolation=cv2.INTER_AREA) for half in halves]
        picture = self._color.from_rgb(np.concatenate(halves, axis=1), "yuv420p")
        picture.pts, picture.time_base = round(time / CLOCK), CLOCK
        try:
            self._container.mux(self._stream.encode(picture))
        except (OSError, av.FFmpegError) as error:
            raise os_error(error, "Cannot write the comparison") from error

    def __enter__(self) -> "ComparisonVideo":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            self._worker.close()
            self._container.mux(self._stream.encode())
        except Exception:
            if error is None:  # else the first error is the one to report
                raise
        finally:
            self._container.close()
