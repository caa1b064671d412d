"""Video files in, RGB frames out: uint8 (H, W, 3), full range, upright, in presentation order.

The color matrix and range are those of the file's tags; an untagged file is taken as BT.709 from
720 rows up and as BT.601 below, as players do. A rotation flag (phones) is applied. 10-bit video
is reduced to 8 bits. PyAV does the decoding; where it cannot be imported, `iter_frames` falls back
to OpenCV, which converts color in its own way (matrix and range are not under our control).
"""

import bisect
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from zoomin_d2.frames import MAX_FRAME_PIXELS, CorruptFrameError, why_too_large

try:
    import av
    from av.video.reformatter import Interpolation

    from zoomin_d2.video.read.containers import open_container
except ImportError:  # PyAV has no wheel for every platform; iter_frames then uses OpenCV
    av = None  # type: ignore[assignment]

logger = logging.getLogger(__name__)

_UNTAGGED_MATRIX = 2  # AVCOL_SPC_UNSPECIFIED


def require_frame_size(file_name: str | Path, width: int, height: int) -> None:
    """Raises CorruptFrameError if a frame of this size, in pixels, is larger than any we read."""
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
            the error were yielded already.
    """
    if av is None:
        yield from _iter_frames_opencv(file_name, thumbnail_width)
        return
    with _open(file_name) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1  # threads lose some of a decoder's errors
        try:
            for frame in container.decode(stream):
                if frame.is_corrupt:
                    raise CorruptFrameError(file_name, f"damaged frame at {frame.time} s")
                yield TimedFrame(_to_rgb(frame, thumbnail_width), frame.time)
        except av.FFmpegError as error:
            raise CorruptFrameError(file_name, f"decoding failed: {error}") from error


def has_pyav() -> bool:
    """Whether PyAV decodes (else OpenCV, and no random access)."""
    return av is not None


def probe_video(file_name: str | Path) -> VideoInfo:
    """What the first frame and the header of a video say. Raises CorruptFrameError."""
    first = next(iter_frames(file_name), None)
    if first is None:
        raise CorruptFrameError(file_name, "holds no frames")
    height, width = first.image.shape[:2]
    if av is None:
        capture = _open_opencv(file_name)
        fps = capture.get(cv2.CAP_PROP_FPS)
        num_frames = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
        return VideoInfo(height, width, float(fps) if fps > 0 else None, num_frames)
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
    seeks to the last keyframe before the frame, or decodes on where that is nearer. Needs PyAV.
    Not safe to share over a fork: the file position is shared.

    Raises:
        CorruptFrameError: the file cannot be opened or holds no readable video stream.
        ImportError: PyAV is not installed.
    """

    def __init__(self, file_name: str | Path):
        if av is None:
            raise ImportError(
                f"Reading single frames of {file_name} needs PyAV: pip install 'av>=17,<19'. "
                "Or pack the video first: python datasets/prepare_videos.py"
            )
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
        self._next_index = 0  # the index that the decoder gives next

    def __len__(self) -> int:
        return len(self._pts)

    def close(self) -> None:
        self._decoder = None
        self._container.close()

    def read(self, index: int) -> np.ndarray:
        """Frame `index` (0 .. len - 1) as uint8 (H, W, 3) RGB.

        Raises:
            CorruptFrameError: there is no such frame, or it cannot be decoded.
        """
        if not 0 <= index < len(self):
            raise CorruptFrameError(self.file_name, f"no frame {index}, only {len(self)} frames")
        place = bisect.bisect_right(self._keyframes, index) - 1
        keyframe = self._keyframes[place] if place >= 0 else 0
        # Where a file has no index of its own (.ts, .mpg), FFmpeg may land behind the keyframe; its
        # times are those of decoding there, which begin earlier.
        starts: list = [self._pts[keyframe], self._dts[keyframe], min(self._dts)]
        if self._decoder is not None and keyframe <= self._next_index <= index:
            starts.insert(0, None)  # decode on
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
        """Frame `index`, decoding on from where the file stands; None if it does not come."""
        assert self._decoder is not None
        for frame in self._decoder:
            if frame.pts is None or frame.pts < self._pts[index]:
                continue
            if frame.pts > self._pts[index] or frame.is_corrupt:
                break
            self._next_index = index + 1
            return _to_rgb(frame)
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
            raise CorruptFrameError(file_name, "has a video stream that no decoder knows")
        require_frame_size(file_name, codec.width, codec.height)
    except CorruptFrameError:
        container.close()
        raise
    codec.options = {
        "max_pixels": str(MAX_FRAME_PIXELS)
    }  # the stream may say other than its header
    return container


def _to_rgb(frame, thumbnail_width: int | None = None) -> np.ndarray:
    size = {}
    interpolation = Interpolation.BICUBIC
    if thumbnail_width is not None:
        height = max(1, round(frame.height * thumbnail_width / frame.width))
        size = {"width": thumbnail_width, "height": height}
        interpolation = Interpolation.AREA
    matrix = None
    if frame.colorspace == _UNTAGGED_MATRIX and frame.format.name.startswith(("yuv", "nv", "p0")):
        matrix = "ITU709" if frame.height >= 720 else "ITU601"
    image = frame.reformat(
        format="rgb24",
        src_colorspace=matrix,
        # swscale's default YUV path repeats chroma and rounds coarsely; these two are exact
        interpolation=interpolation | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT,
        threads=1,
        **size,
    ).to_ndarray()
    # frame.rotation is counterclockwise degrees, np.rot90 turns counterclockwise
    return np.rot90(image, frame.rotation // 90) if frame.rotation % 360 else image


def _open_opencv(file_name: str | Path) -> cv2.VideoCapture:
    capture = cv2.VideoCapture(str(file_name))
    if not capture.isOpened():
        raise CorruptFrameError(file_name, "cannot be opened by OpenCV")
    return capture


def _iter_frames_opencv(file_name: str | Path, thumbnail_width: int | None) -> Iterator[TimedFrame]:
    capture = _open_opencv(file_name)
    expected = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    count = 0
    while True:
        is_read, image = capture.read()
        if not is_read:
            break
        time = capture.get(cv2.CAP_PROP_POS_MSEC) / 1000.0  # of the frame just read
        count += 1
        if thumbnail_width is not None:
            height = max(1, round(image.shape[0] * thumbnail_width / image.shape[1]))
            image = cv2.resize(image, (thumbnail_width, height), interpolation=cv2.INTER_AREA)
        yield TimedFrame(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), time)
    if count == 0 or count < 0.9 * expected:
        raise CorruptFrameError(file_name, f"OpenCV decoded {count} of {expected} frames")
