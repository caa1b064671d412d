"""Video files in, RGB frames out: uint8 (H, W, 3), full range, upright, in presentation order.

The file's tags give the color matrix and range; an untagged file is read as BT.709 from 720 rows up
and as BT.601 below, as players do. A rotation flag (phones) is applied. 10-bit video is reduced to
8 bits. video/read/color.py converts colors, as for interpolated videos.
"""

import bisect
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np

from zoomin_d2.frames import MAX_FRAME_PIXELS, CorruptFrameError, why_too_large
from zoomin_d2.video.errors import BadInputError
from zoomin_d2.video.read.color import color_path
from zoomin_d2.video.read.containers import open_container


def require_frame_size(file_name: str | Path, width: int, height: int) -> None:
    """Raises CorruptFrameError if a frame of this size, in pixels, is too large to be read."""
    if reason := why_too_large(width, height):
        raise CorruptFrameError(file_name, reason)


class TimedFrame(NamedTuple):
    """A decoded frame: `image` uint8 (H, W, 3) RGB and its time in seconds (None if unknown)."""

    image: np.ndarray
    time: float | None


class VideoInfo(NamedTuple):
    """Upright frame size in pixels, average frames per second (None if unknown) and the number of
    frames that the header promises (an estimate, 0 if unknown)."""

    height: int
    width: int
    fps: float | None
    num_frames: int


def iter_frames(file_name: str | Path, thumbnail_width: int | None = None) -> Iterator[TimedFrame]:
    """Decode a whole video in presentation order.

    Args:
        file_name: the video file.
        thumbnail_width: give frames of about this width instead of the full size (upright, RGB).

    Raises:
        CorruptFrameError: not a video, no video stream, or an error while decoding. Frames before
            the error have been yielded.
    """
    with _open(file_name) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1  # threads lose some of a decoder's errors
        try:
            for frame in container.decode(stream):
                if frame.is_corrupt:
                    raise CorruptFrameError(file_name, f"damaged frame at {frame.time} s")
                yield TimedFrame(_to_rgb(file_name, frame, thumbnail_width), frame.time)
        except av.FFmpegError as error:
            raise CorruptFrameError(file_name, f"decoding failed: {error}") from error


def probe_video(file_name: str | Path) -> VideoInfo:
    """What the first frame and the header of a video tell. Raises CorruptFrameError."""
    first = next(iter_frames(file_name), None)
    if first is None:
        raise CorruptFrameError(file_name, "has no frames")
    height, width = first.image.shape[:2]
    with _open(file_name) as container:
        stream = container.streams.video[0]
        fps = float(stream.average_rate) if stream.average_rate else None
        num_frames = stream.frames
        if not num_frames and fps and container.duration:
            num_frames = round(container.duration / av.time_base * fps)
        return VideoInfo(height, width, fps, num_frames)


class VideoFile:
    """Random access to the frames of one video file by their index in presentation order.

    Opening reads every packet header once (no decoding) and notes where the keyframes are; a read
    seeks to the last keyframe before the frame, or decodes on where that is nearer.
    Not safe to share over a fork: the file position is shared.

    Raises:
        CorruptFrameError: the file cannot be opened or has no readable video stream.
    """

    def __init__(self, file_name: str | Path):
        self.file_name = str(file_name)
        self._container = _open(file_name)
        self._stream = self._container.streams.video[0]
        self._stream.codec_context.thread_count = 1  # as above
        try:
            packets = [
                (packet.pts, packet.is_keyframe, packet.dts)
                for packet in self._container.demux(self._stream)
                if packet.size and not packet.is_discard
            ]
        except av.FFmpegError as error:
            raise CorruptFrameError(file_name, f"cannot be indexed: {error}") from error
        if not packets or any(pts is None for pts, *_ in packets):
            raise CorruptFrameError(
                file_name, "has no timestamps; pack it with datasets/prepare_videos.py"
            )
        packets.sort(key=lambda packet: packet[0])
        self._pts = [pts for pts, *_ in packets]
        self._dts = [pts if dts is None else dts for pts, _, dts in packets]
        self._keyframes = [i for i, (_, is_keyframe, _) in enumerate(packets) if is_keyframe]
        self._decoder: Iterator | None = None
        self._next_index = 0  # the index of the decoder's next frame

    def __len__(self) -> int:
        return len(self._pts)

    def close(self) -> None:
        self._decoder = None
        self._container.close()

    def read(self, index: int) -> np.ndarray:
        """Frame `index` (0 .. len - 1) as uint8 (H, W, 3) RGB.

        Raises:
            CorruptFrameError: the frame does not exist or cannot be decoded.
        """
        if not 0 <= index < len(self):
            reason = f"has no frame {index}, only {len(self)} frames"
            raise CorruptFrameError(self.file_name, reason)
        place = bisect.bisect_right(self._keyframes, index) - 1
        keyframe = self._keyframes[place] if place >= 0 else 0
        # If a file has no index of its own (.ts, .mpg), FFmpeg may land behind the keyframe,
        # because it seeks by decoding times there, which start earlier.
        starts: list = [self._pts[keyframe], self._dts[keyframe], min(self._dts)]
        if self._decoder is not None and keyframe <= self._next_index <= index:
            starts.insert(0, None)  # continue decoding
        try:
            for start in starts:
                if start is not None:
                    self._container.seek(start, stream=self._stream)
                    self._decoder = self._container.decode(self._stream)
                if (image := self._decode_until(index)) is not None:
                    return image
        except av.FFmpegError as error:
            self._decoder = None
            reason = f"frame {index} cannot be decoded: {error}"
            raise CorruptFrameError(self.file_name, reason) from error
        self._decoder = None
        raise CorruptFrameError(self.file_name, f"frame {index} is missing or damaged")

    def _decode_until(self, index: int) -> np.ndarray | None:
        """Frame `index`, decoded from the current position on; None if it does not appear."""
        assert self._decoder is not None
        for frame in self._decoder:
            if frame.pts is None or frame.pts < self._pts[index]:
                continue
            if frame.pts > self._pts[index] or frame.is_corrupt:
                break
            self._next_index = index + 1
            return _to_rgb(self.file_name, frame)
        return None


def _open(file_name: str | Path):
    try:
        container = open_container(str(file_name))
    except (av.FFmpegError, OSError, ValueError) as error:
        raise CorruptFrameError(file_name, f"cannot be opened: {error}") from error
    if not container.streams.video:
        container.close()
        raise CorruptFrameError(file_name, "has no video stream")
    codec = container.streams.video[0].codec_context
    try:
        if codec is None:
            raise CorruptFrameError(file_name, "has a video stream that no decoder can read")
        require_frame_size(file_name, codec.width, codec.height)
    except CorruptFrameError:
        container.close()
        raise
    codec.options = {"max_pixels": str(MAX_FRAME_PIXELS)}  # the stream may differ from its header
    return container


def _to_rgb(file_name: str | Path, frame: av.VideoFrame, width: int | None = None) -> np.ndarray:
    try:
        return color_path(frame, str(file_name))._replace(deep=False).to_rgb(frame, width)
    except (BadInputError, av.FFmpegError, OSError) as error:
        reason = str(error).removeprefix(f"{file_name}: ")
        raise CorruptFrameError(file_name, reason) from error
