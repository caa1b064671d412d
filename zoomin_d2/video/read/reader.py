"""Video files and pipes, read with PyAV: every frame with its exact time, damage counted."""

import heapq
import os
from collections.abc import Iterator
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any

import av
import numpy as np

from zoomin_d2.frames import MAX_FRAME_PIXELS, why_too_large
from zoomin_d2.video.errors import BadInputError
from zoomin_d2.video.read.color import color_path, upright
from zoomin_d2.video.read.containers import open_container
from zoomin_d2.video.read.hdr import read_hdr_metadata
from zoomin_d2.video.read.source import Damage, SourceFrame, SourceInfo
from zoomin_d2.video.time.timeline import SourceClock, standard_rate

GAP = Fraction(3, 2)  # of a frame's usual duration: frames are missing
DEFAULT_RATE = Fraction(25)


class VideoReader:
    """One video stream of a file (or of a pipe, which cannot go back).

    Args:
        file: path, or a binary file object such as sys.stdin.buffer.
        container_format: name of the container, where it cannot be recognised.
        options: of the demuxer (raw video: video_size, pixel_format, framerate).

    Raises:
        BadInputError: cannot be opened, no video stream, unknown codec, no frames.
    """

    def __init__(
        self,
        file: Any,
        container_format: str | None = None,
        options: dict[str, str] | None = None,
    ):
        self.is_pipe = not isinstance(file, str | os.PathLike)
        self.name = "standard input" if self.is_pipe else str(file)
        self.damage = Damage()
        self.file = None if self.is_pipe else Path(file)  # where sound and the rest come from
        self._file = file if self.is_pipe else str(file)
        self._open_options = {"format": container_format, "options": options or {}}
        self._open()
        self._raw_frames = self._decode()
        first = next(self._raw_frames, None)
        if first is None:
            detail = f" ({self.damage.describe()})" if self.damage else ""
            if self.is_pipe and "mp4" in self._container.format.name:
                detail = (
                    " (an MP4: its index is at its end, which a pipe cannot reach: give the file)"
                )
            raise BadInputError(f"{self.name}: holds no frame that can be decoded{detail}")
        self.info = self._describe(first)
        self._clock = SourceClock(self.info.time_base, self._steady_rate(), self.info.start)
        self._raw_frames = chain([first], self._raw_frames)
        self._is_fresh = True
        self.end, self.count = self.info.start, 0

    def __enter__(self) -> "VideoReader":
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def close(self) -> None:
        self._raw_frames.close() if hasattr(self._raw_frames, "close") else None
        self._container.close()

    def to_rgb(self, picture: av.VideoFrame) -> np.ndarray:
        return self.info.color.to_rgb(picture)

    def frames(self, start: Fraction | None = None, index: int = 0) -> Iterator[SourceFrame]:
        if start is not None:
            self._seek(start)
        elif not self._is_fresh:
            raise RuntimeError("A video is read once; open it again")
        self._is_fresh = False
        previous = None
        usual = 1 / self.info.rate
        for frame in self._raw_frames:
            time = self._time(frame, previous, usual)
            lost = self._lost_before(frame, time, previous, usual)
            if start is not None and time < start:
                continue
            if (frame.height, frame.width) != self._size:
                raise BadInputError(
                    f"{self.name}: the frame size changes at {float(time):.2f} s, from "
                    f"{self._size[1]}x{self._size[0]} to {frame.width}x{frame.height}"
                )
            if previous is not None and time <= previous:
                self.damage.note(time, "timestamp goes back; frame left out")
                self.damage.lost_frames += 1
                continue
            is_corrupt = frame.is_corrupt
            if is_corrupt:
                self.damage.corrupt_frames += 1
                self.damage.note(time, "damaged frame")
                self._gap = True
                continue
            duration = frame.duration * frame.time_base if frame.duration else usual
            yield SourceFrame(index, time, duration, frame, lost > 0 or self._gap)
            self._gap = False
            previous, index = time, index + 1
            self.end, self.count = time + duration, index
        self._check_end(previous, usual)

    def _open(self) -> None:
        try:
            self._container = open_container(self._file, **self._open_options)
        except FileNotFoundError as error:
            raise BadInputError(f"{self.name}: no such file") from error
        except IsADirectoryError as error:
            raise BadInputError(f"{self.name}: is a folder") from error
        except (av.FFmpegError, OSError, ValueError) as error:
            reason = f"is not a video, or is damaged ({getattr(error, 'strerror', None) or error})"
            if self.file is not None and _lacks_index(self.file):
                reason = (
                    "is an MP4 whose index (moov) is missing. It is written last: the recording or "
                    "the copy stopped early"
                )
            raise BadInputError(f"{self.name}: {reason}") from error
        streams = [s for s in self._container.streams.video if not _is_cover(s)]
        if not streams:
            kinds = ", ".join(s.type for s in self._container.streams) or "nothing"
            self._container.close()
            raise BadInputError(f"{self.name}: has no video stream (it holds: {kinds})")
        self.stream = streams[0]
        if self.stream.codec_context is None:
            self._container.close()
            raise BadInputError(f"{self.name}: its video codec is unknown to this FFmpeg")
        codec = self.stream.codec_context
        if reason := why_too_large(codec.width, codec.height):
            self._container.close()
            raise BadInputError(f"{self.name}: {reason}")
        codec.options = {"max_pixels": str(MAX_FRAME_PIXELS)}  # the stream may say more
        # Frame threads lose a decoder's error now and then, slice threads always lose some.
        codec.thread_count = 1
        self._pending: list[int] = []
        self._end = Fraction(0)  # of all streams, as far as they were read
        self._gap = False

    def _describe(self, frame: av.VideoFrame) -> SourceInfo:
        stream, container = self.stream, self._container
        self._offset = Fraction(max(0, container.start_time or 0), av.time_base)
        self._size = frame.height, frame.width
        rates = [stream.average_rate, stream.guessed_rate, stream.base_rate]
        rate = standard_rate(next((Fraction(r) for r in rates if r), DEFAULT_RATE))
        time_base = frame.time_base or stream.time_base or 1 / rate
        duration = None
        if stream.duration and not self.is_pipe:
            duration = stream.duration * stream.time_base
        elif container.duration and not self.is_pipe:
            duration = Fraction(container.duration, av.time_base)
        num_frames = stream.frames or (round(duration * rate) if duration else 0)
        turned = bool(frame.rotation % 180)
        height, width = (frame.width, frame.height) if turned else (frame.height, frame.width)
        ratio = stream.sample_aspect_ratio or stream.codec_context.sample_aspect_ratio
        if ratio:
            ratio = Fraction(1) / ratio if turned else Fraction(ratio)
        fingerprint = None
        if not self.is_pipe:
            status = os.stat(self._file)
            fingerprint = [Path(self._file).name, status.st_size, status.st_mtime_ns]
        start = frame.pts * time_base - self._offset if frame.pts is not None else Fraction(0)
        color = color_path(frame)
        return SourceInfo(
            name=self.name,
            height=height,
            width=width,
            rate=rate,
            start=start,
            time_base=time_base,
            duration=duration,
            num_frames=num_frames,
            color=color,
            pix_fmt=frame.format.name,
            sample_aspect_ratio=ratio or None,
            hdr=read_hdr_metadata(frame),
            warnings=tuple(_warnings(frame, color.to_rgb)),
            fingerprint=fingerprint,
        )

    def _steady_rate(self) -> Fraction | None:
        return self.info.rate if self.stream.average_rate else None

    def _decode(self) -> Iterator[av.VideoFrame]:
        try:
            for packet in self._container.demux():
                if packet.dts is not None and packet.time_base:
                    end = (packet.dts + (packet.duration or 0)) * packet.time_base
                    self._end = max(self._end, end)
                if packet.is_corrupt and packet.size and not self.damage.read_error:
                    self.damage.read_error = "the file ends within a packet"
                    self.damage.note(self._end, "a packet is cut short")
                if packet.stream.index != self.stream.index:
                    continue
                if packet.size and packet.pts is not None and not packet.is_discard:
                    heapq.heappush(self._pending, packet.pts)
                try:
                    frames = packet.decode()
                except av.error.EOFError:
                    break
                except av.FFmpegError as error:
                    self.damage.decode_errors += 1
                    time = packet.pts * packet.time_base if packet.pts is not None else self._end
                    self.damage.note(time, f"packet refused: {error}")
                    self._gap = True
                    continue
                yield from frames
        except av.FFmpegError as error:
            self.damage.read_error = str(getattr(error, "strerror", None) or error)

    def _time(self, frame: av.VideoFrame, previous: Fraction | None, usual: Fraction) -> Fraction:
        if frame.pts is None:
            return self.info.start if previous is None else previous + usual
        return self._clock.snap(frame.pts * frame.time_base - self._offset)

    def _lost_before(self, frame, time, previous, usual) -> int:
        """Frames whose packets were read, that did not come out, and whose place is empty.

        Packets without a frame are normal where nothing is missing (VP8's hidden frames)."""
        lost = 0
        while self._pending and frame.pts is not None and self._pending[0] <= frame.pts:
            lost += heapq.heappop(self._pending) < frame.pts
        if not lost or previous is None or time - previous < GAP * usual:
            return 0
        self.damage.lost_frames += lost
        self.damage.note(time, f"{lost} frames missing")
        return lost

    def _seek(self, start: Fraction) -> None:
        if self.is_pipe:
            raise BadInputError("A pipe cannot be resumed")
        self._container.close()
        self._open()
        if start > self.info.start:
            offset = (start + self._offset) / self.stream.time_base
            self._container.seek(int(offset), stream=self.stream)
        self._raw_frames = self._decode()

    def _check_end(self, last: Fraction | None, usual: Fraction) -> None:
        """Compare where the video ended with what its header promised."""
        if last is None:
            return
        end = last + usual
        promised = self.info.duration
        if promised is None:
            return
        if not self.stream.duration:  # the container's, which may be that of the sound
            end = max(end, self._end - self._offset)
        else:
            end -= self.info.start
        missing = promised - end
        if missing > max(3 * usual, Fraction(1, 5)):
            self.damage.missing_seconds = float(missing)
            self.damage.note(last, "the video ends here")


def _is_cover(stream) -> bool:
    return bool(stream.disposition & av.stream.Disposition.attached_pic)


def _warnings(frame: av.VideoFrame, to_rgb) -> Iterator[str]:
    if frame.interlaced_frame:
        yield "the video is interlaced: deinterlace it first, or lines will comb"
    if any(component.is_alpha for component in frame.format.components):
        alpha = upright(frame.reformat(format="rgba", threads=1).to_ndarray(), 0)[..., 3]
        if alpha.min() < 255:
            yield "transparency is dropped: the output has no alpha channel"


def _lacks_index(path: Path) -> bool:
    """Whether a file begins as an MP4 or MOV and no box at its top level is the index."""
    try:
        with open(path, "rb") as file:
            place, end = 0, os.fstat(file.fileno()).st_size
            while place + 8 <= end:
                file.seek(place)
                header = file.read(16)
                size, kind = int.from_bytes(header[:4]), header[4:8]
                if kind == b"moov" or (place == 0 and kind != b"ftyp"):
                    return False
                if size == 1:  # the real one follows
                    size = int.from_bytes(header[8:16])
                if size < 8:  # 0: to the end of the file
                    break
                place += size
            return place > 0
    except OSError:
        return False
