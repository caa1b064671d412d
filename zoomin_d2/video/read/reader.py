"""Video files and pipes, read with PyAV: every frame with its exact time, damage counted."""

import os
from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any

import av
import numpy as np

from zoomin_d2.frames import why_too_large
from zoomin_d2.video.errors import BadInputError
from zoomin_d2.video.read.color import alpha_of, color_path, holds_alpha, turn_of
from zoomin_d2.video.read.containers import (
    file_state,
    is_cover,
    open_container,
    own_duration,
    stream_name,
)
from zoomin_d2.video.read.decoding import Decoded, FrameDecoder, says_alpha
from zoomin_d2.video.read.hdr import read_hdr_metadata
from zoomin_d2.video.read.packets import clock_origin, continuous_packets
from zoomin_d2.video.read.rates import SourceClock
from zoomin_d2.video.read.source import INTERLACED, ClosedOnExit, Damage, SourceFrame, SourceInfo
from zoomin_d2.video.read.timing import PREVIEW, Timing, measure_timing

GAP = Fraction(3, 2)  # of a frame's usual duration: frames are missing
_PREVIEW_BYTES = 32 * 2**20
_STREAMED_AVI = 2**30  # frames, says the header of one that was written to a pipe
# what describes a frame, and PyAV cannot write
_LOST = {
    "SPHERICAL": "the projection of a 360-degree video",
    "STEREO3D": "the layout of a stereo video",
}


class VideoReader(ClosedOnExit):
    """One video stream of a file (or of a pipe, which cannot go back).

    Args:
        file: path, or a binary file object such as sys.stdin.buffer.
        container_format: name of the container, if it cannot be recognized.
        options: of the demuxer (raw video: video_size, pixel_format, framerate).
        name: of a pipe, for messages.

    Raises:
        BadInputError: it cannot be opened, or has no video stream, an unknown codec, or no frames.
    """

    def __init__(
        self,
        file: Any,
        container_format: str | None = None,
        options: dict[str, str] | None = None,
        name: str = "standard input",
    ):
        self._is_pipe = not isinstance(file, str | os.PathLike)
        self._name = name if self._is_pipe else str(file)
        self._file = file if self._is_pipe else str(file)
        self._open_options: dict[str, Any] = {"format": container_format, "options": options or {}}
        self._clock: SourceClock | None = None
        self.damage = Damage()
        self._open()
        self._frames = self._decoder.decode(self._packets)
        first = next(self._frames, None)
        if first is None:
            raise self._no_frame()
        self.info = self._describe(first)
        self._clock = SourceClock(self.info.time_base, self.info.rate, self.info.start)
        self._decoder.clock = self._clock
        self._frames = chain([first], self._frames)
        self._is_fresh = True
        self.files: Sequence[Path] = [] if self.info.file is None else [self.info.file]
        self.first_alpha: Fraction | None = None
        self.end, self.count = self.info.start, 0

    def close(self) -> None:
        if hasattr(self._frames, "close"):
            self._frames.close()
        self._container.close()

    def to_rgb(self, picture: av.VideoFrame) -> np.ndarray:
        return self.info.color.to_rgb(picture)

    def to_alpha(self, picture: av.VideoFrame) -> np.ndarray | None:
        return alpha_of(picture, self.info.color.deep)

    def again(self) -> "VideoReader | None":
        if self._is_pipe:
            return None
        return VideoReader(self._file, self._open_options["format"], self._open_options["options"])

    def frames(self, start: Fraction | None = None, index: int = 0) -> Iterator[SourceFrame]:
        if start is not None:
            self._go_to(start)
        elif not self._is_fresh:
            raise RuntimeError("A video can only be read once; open it again")
        self._is_fresh = False
        previous = None
        gap = False
        for time, own, picture, is_corrupt, missing in self._frames:
            if previous is None and start is not None and time < start:
                continue
            if (picture.height, picture.width) != self._size:
                raise BadInputError(
                    f"{self._name}: the frame size changes at {float(time):.2f} s, from "
                    f"{self._size[1]}x{self._size[0]} to {picture.width}x{picture.height}. Cut the "
                    "video there and interpolate the parts separately"
                )
            if previous is not None and time <= previous:
                self.damage.note(previous, "timestamp goes backward; frame left out", "lost_frames")
                continue
            # Packets without a frame are normal where nothing is missing (VP8's hidden frames)
            if missing and previous is not None and time - previous >= GAP * self._timing.usual:
                place = previous + self._timing.usual
                self.damage.note(place, f"{missing} frames missing", "lost_frames", missing)
                gap = True
            if is_corrupt:
                self.damage.note(time, "damaged frame", "corrupt_frames")
                gap = True
                continue
            gap = gap or self._decoder.was_refused
            self._decoder.was_refused = False
            is_complete = 0 < self._stream.frames <= self._num_packets
            duration = self._timing.duration(time, own, self._promised_end, is_complete)
            if self.first_alpha is None and self.info.has_alpha and not _is_opaque(picture):
                self.first_alpha = time
            yield SourceFrame(index, time, duration, picture, gap)
            gap = False
            previous, index = time, index + 1
            self.end, self.count = time + duration, index
        self._check_end(previous)

    def _open(self) -> None:
        try:
            self._container = open_container(self._file, **self._open_options)
        except FileNotFoundError as error:
            raise BadInputError(f"{self._name}: no such file") from error
        except IsADirectoryError as error:
            raise BadInputError(f"{self._name}: is a folder") from error
        except (av.FFmpegError, OSError, ValueError) as error:
            reason = None if self._is_pipe else _fault_of(Path(self._file))
            if reason is None:
                cause = getattr(error, "strerror", None) or error
                reason = f"is not a video, or is damaged ({cause})"
            raise BadInputError(f"{self._name}: {reason}") from error
        streams = [s for s in self._container.streams.video if not is_cover(s)]
        if not streams:
            kinds = ", ".join(s.type for s in self._container.streams) or "nothing"
            self._container.close()
            raise BadInputError(f"{self._name}: has no video stream (it holds: {kinds})")
        self._stream = stream = streams[0]
        if stream.codec_context is None:
            self._container.close()
            raise BadInputError(f"{self._name}: this FFmpeg does not know its video codec")
        codec = stream.codec_context
        if reason := why_too_large(codec.width, codec.height):
            self._container.close()
            raise BadInputError(f"{self._name}: {reason}")
        self._offset = clock_origin(self._container)
        packets = continuous_packets(self._container)
        preview, fault = _preview(packets, stream.index)
        ours = [p for p in preview if p.stream.index == stream.index]
        self._timing: Timing = measure_timing(stream, ours, self._container.format.name)
        self._decoder = FrameDecoder(stream, self._timing, self._offset, self.damage)
        self._decoder.clock = self._clock
        self._num_packets = 0  # of the stream, as far as the file was read
        self._dts = 0  # of the last of them
        self._packets = self._counted(chain(preview, _raise(fault) if fault else packets))

    def _no_frame(self) -> BadInputError:
        detail = f" ({self.damage.describe()})" if self.damage else ""
        if self._clock is None and self._is_pipe and "mp4" in self._container.format.name:
            detail = " (an MP4 with its index at the end, which a pipe cannot reach: give the file)"
        return BadInputError(f"{self._name}: no frame can be decoded{detail}")

    def _describe(self, first: Decoded) -> SourceInfo:
        stream, container, frame = self._stream, self._container, first.picture
        self._size = frame.height, frame.width
        rate = self._timing.rate
        # (seconds after the start, whether of all streams): the end according to the file
        self._promised_end: Fraction | None = None
        end_of_all: Fraction | None = None
        own = own_duration(container, stream)
        if own is not None and not self._is_pipe:
            begin = first.time
            if stream.start_time is not None:
                begin = stream.start_time * stream.time_base - self._offset
            self._promised_end = begin + own
        elif container.duration and not self._is_pipe:
            end_of_all = Fraction(container.duration, av.time_base)
            if (
                "matroska" in container.format.name
            ):  # counts from 0 of the clock, not from the start
                end_of_all = max(end_of_all - self._offset, first.time)
        self._promised_end_of_all = end_of_all
        duration = self._promised_end or end_of_all
        if duration is not None:
            duration -= first.time
        expected = round(duration * rate) if duration else 0
        num_frames = stream.frames or expected
        if expected and not expected / 2 <= num_frames <= 2 * expected:
            num_frames = expected  # IVF counts milliseconds
        turned = turn_of(frame).transposed
        height, width = (frame.width, frame.height) if turned else (frame.height, frame.width)
        ratio = stream.sample_aspect_ratio or stream.codec_context.sample_aspect_ratio
        if ratio:
            ratio = Fraction(1) / ratio if turned else Fraction(ratio)
        return SourceInfo(
            name=self._name,
            height=height,
            width=width,
            rate=rate,
            start=first.time,
            time_base=stream.time_base or 1 / rate,
            duration=duration,
            num_frames=num_frames,
            color=color_path(frame, self._name),
            pix_fmt=frame.format.name,
            sample_aspect_ratio=ratio or None,
            hdr=read_hdr_metadata(frame),
            warnings=tuple(self._warnings(frame)),
            fingerprint=None if self._is_pipe else file_state(self._file),
            file=None if self._is_pipe else Path(self._file),
            stream_index=stream.index,
            beside=tuple(self._beside()) if self._is_pipe else (),
            has_alpha=holds_alpha(frame.format) or says_alpha(stream),
            lost=tuple(what for kind, what in _LOST.items() if frame.side_data.get(kind)),
        )

    def _warnings(self, frame: av.VideoFrame) -> Iterator[str]:
        if frame.interlaced_frame:
            yield INTERLACED
        others = [s for s in self._container.streams.video if not is_cover(s)][1:]
        if others:
            places = ", ".join(str(s.index) for s in others)
            yield (
                f"only stream {self._stream.index} is interpolated, the first of "
                f"{len(others) + 1} video streams (the others: {places})"
            )

    def _beside(self) -> Iterator[tuple[str, str]]:
        """(type, name) of what a pipe gives beside the video."""
        for stream in self._container.streams:
            if stream.index != self._stream.index:
                yield stream.type, stream_name(stream)
        if self._container.chapters():
            yield "chapters", "chapters"

    def _counted(self, packets: Iterator[av.Packet]) -> Iterator[av.Packet]:
        for packet in packets:
            if packet.stream.index == self._stream.index:
                self._num_packets += packet.size > 0
                self._dts = self._dts if packet.dts is None else packet.dts
            yield packet

    def _go_to(self, start: Fraction) -> None:
        """Open again, to read from a keyframe at or before `start`; or from the file's start if its
        packets have no usable times, or the first frame comes too late."""
        if self._is_pipe:
            raise BadInputError(f"{self._name}: a pipe cannot be resumed")
        for is_near in (True, False):
            self._container.close()
            self.damage.begin_at(start)
            self._open()
            if not is_near or not self._timing.has_times or self._timing.in_decoding_order:
                break
            frames = self._decoder.decode(self._packets, start)
            first = next((f for f in frames if not f.is_corrupt), None)
            if first is not None and first.time <= max(start, self.info.start):
                self._frames = chain([first], frames)
                return
        self._frames = self._decoder.decode(self._packets)

    def _check_end(self, last: Fraction | None) -> None:
        """Compare where the video ended with what its header promised."""
        if last is None:  # the first frame was decoded, but damaged, as were all the others
            raise self._no_frame()
        # .avi counts time in frames, also those that were dropped; FFmpeg shortens its duration
        is_listed = self._container.format.name == "avi" and self._stream.frames != _STREAMED_AVI
        lost = self._stream.frames - self._dts - 1
        if is_listed and lost > 0:
            self.damage.note(last, f"{lost} frames missing", "lost_frames", lost)
        end, promised = self.end, self._promised_end
        if promised is None:  # take the container's, which may be that of the sound
            end, promised = max(end, self._decoder.end), self._promised_end_of_all
        if promised is not None and promised - end > max(3 * self._timing.usual, Fraction(1, 5)):
            self.damage.missing_seconds = float(promised - end)
            self.damage.note(last, "the video ends here")


def _preview(
    packets: Iterator[av.Packet], stream_index: int
) -> tuple[list[av.Packet], av.FFmpegError | None]:
    """The first packets, PREVIEW of them of the stream, and the error that they end with."""
    found: list[av.Packet] = []
    count = size = 0
    try:
        for packet in packets:
            found.append(packet)
            count += packet.stream.index == stream_index
            size += packet.size
            if count >= PREVIEW or size > _PREVIEW_BYTES:
                break
    except av.FFmpegError as error:
        return found, error
    return found, None


def _raise(error: av.FFmpegError) -> Iterator[av.Packet]:
    raise error
    yield


def _is_opaque(picture: av.VideoFrame) -> bool:
    alpha = alpha_of(picture, False)
    return alpha is None or bool(alpha.min() == 255)


def _fault_of(path: Path) -> str | None:
    """What is wrong with a file that FFmpeg does not open, if its bytes show it."""
    if os.path.isfile(path) and not os.path.getsize(path):
        return "is empty: the recording or the copy wrote nothing"
    if _lacks_index(path):
        return (
            "is an MP4 without its index (moov), which is written last: the recording or the copy "
            "stopped early"
        )
    return None


def _lacks_index(path: Path) -> bool:
    """Whether a file begins like an MP4 or MOV but has no index among its top-level boxes."""
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
