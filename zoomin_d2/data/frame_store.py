"""A frame reference (and a crop box) in, the frame out: uint8 (h, w, 3) RGB, full range.

A reference is one of
  "path/to/image.png"       any image that OpenCV reads;
  ("path/to/shot.npy", i)   frame i of a packed shot, uint8 (T, H, W, 3) RGB, memory-mapped: only
                            the rows of the crop are touched;
  ("path/to/video.mp4", i)  frame i of a video file, through an index of its keyframes.
Images that are not 8-bit RGB are converted: 16 bits to 8 by v / 257, rounded; gray to three equal
channels. An alpha channel is dropped (not blended). Rotation in EXIF data is always ignored.
"""

import logging
import os
from collections import OrderedDict
from typing import TypeAlias

import numpy as np
from detectron2.utils.file_io import PathManager
from detectron2.utils.logger import log_first_n

from zoomin_d2.data.video_file import VideoFile
from zoomin_d2.frames import CorruptFrameError, decode_image, to_8_bits

FrameRef: TypeAlias = str | tuple[str, int]
CropBox: TypeAlias = tuple[int, int, int, int]  # x0, y0, x1, y1 in pixels, x1 and y1 excluded


class FrameStore:
    """Reads frames and keeps the last used packed shots and videos open (per process).

    Args:
        max_open: how many packed shots, and how many videos, stay open.
    """

    def __init__(self, max_open: int = 128):
        self._max_open = max_open
        self._reset()

    def _reset(self) -> None:
        self._shots: OrderedDict[str, np.ndarray] = OrderedDict()
        self._videos: OrderedDict[str, VideoFile] = OrderedDict()
        self._pid = os.getpid()

    def __getstate__(self) -> dict:
        return {"_max_open": self._max_open}

    def __setstate__(self, state: dict) -> None:
        self._max_open = state["_max_open"]
        self._reset()

    def read(
        self, ref: FrameRef, crop: CropBox | None = None, size: tuple[int, int] | None = None
    ) -> np.ndarray:
        """One frame, or the part of it inside `crop`.

        Args:
            size: (height, width) that the whole frame must have.

        Returns:
            uint8 (h, w, 3) RGB; it may be a view of a mapped file: copy it before writing to it.

        Raises:
            CorruptFrameError: the file is missing or damaged, the frame does not exist or has
                another size, or the crop reaches outside it.
        """
        if self._pid != os.getpid():  # forked: open files share their position with the parent
            self._reset()
        if isinstance(ref, str):
            frame, file_name = read_image(ref), ref
        else:
            file_name, index = ref
            if file_name.endswith(".npy"):
                shot = self._shot(file_name)
                if not 0 <= index < len(shot):
                    reason = f"has no frame {index}, only {len(shot)} frames"
                    raise CorruptFrameError(file_name, reason)
                frame = shot[index]
            else:
                frame = self._video(file_name).read(index)
        if size is not None and frame.shape[:2] != size:
            reason = f"is {frame.shape[:2]}, but its dataset says {size} (H, W)"
            raise CorruptFrameError(file_name, reason)
        if crop is None:
            return frame
        x0, y0, x1, y1 = crop
        height, width = frame.shape[:2]
        if not (0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height):
            reason = f"crop {crop} is outside of the frame of {width}x{height} pixels"
            raise CorruptFrameError(file_name, reason)
        return frame[y0:y1, x0:x1]

    def _shot(self, file_name: str) -> np.ndarray:
        if file_name not in self._shots:
            _make_room(self._shots, self._max_open)
            self._shots[file_name] = open_shot(file_name)
        self._shots.move_to_end(file_name)
        return self._shots[file_name]

    def _video(self, file_name: str) -> VideoFile:
        if file_name not in self._videos:
            for _, video in _make_room(self._videos, self._max_open):
                video.close()
            self._videos[file_name] = VideoFile(PathManager.get_local_path(file_name))
        self._videos.move_to_end(file_name)
        return self._videos[file_name]


def open_shot(file_name: str) -> np.ndarray:
    """Memory-map a packed shot: uint8 (T, H, W, 3) RGB. Raises CorruptFrameError."""
    try:
        # "c": the file stays untouched, and torch does not warn about read-only memory.
        shot = np.load(PathManager.get_local_path(file_name), mmap_mode="c", allow_pickle=False)
    # For a damaged header, numpy raises whatever its parser raises: TokenError, SyntaxError, ...
    except Exception as error:
        raise CorruptFrameError(file_name, f"is not a readable packed shot: {error}") from error
    if shot.dtype != np.uint8 or shot.ndim != 4 or shot.shape[3] != 3:
        reason = f"holds {shot.dtype} {shot.shape}, expected uint8 (T, H, W, 3)"
        raise CorruptFrameError(file_name, reason)
    # A plain array on the same memory, because slicing np.memmap objects is several times slower.
    return np.asarray(shot)


def read_image(file_name: str) -> np.ndarray:
    """Read one image, from anywhere that PathManager knows, as uint8 (H, W, 3) RGB.

    16-bit images without a value above 12 bits are not rescaled; a warning reports the first.
    Raises CorruptFrameError.
    """
    image = decode_image(_read(file_name), file_name, keep_16_bits=True)
    if image.dtype == np.uint16:
        if 0 < (largest := int(image.max())) < 2**12:
            _warn_of_dark_samples(file_name, largest)
        image = to_8_bits(image)
    return image


def read_mask(file_name: str, above: int = 0) -> np.ndarray:
    """Read one image file as a mask, bool (H, W): pixels that are not black count, 1 like 255.

    In a JPEG file, whose black is not quite black, pixels brighter than half count. An alpha
    channel is ignored. Raises CorruptFrameError.

    Args:
        above: only larger values count, in the file's own 8 or 16 bits. (In Cityscapes'
            gtFine_instanceIds, the values above 999 are single objects.)
    """
    image = decode_image(_read(file_name), file_name, keep_16_bits=True)
    is_lossy = file_name.lower().endswith((".jpg", ".jpeg"))
    return np.asarray((image > (max(above, 127) if is_lossy else above)).any(axis=2))


def _read(file_name: str) -> np.ndarray:
    """The content of a file, (N,) uint8."""
    try:
        with PathManager.open(file_name, "rb") as file:
            data = np.frombuffer(file.read(), np.uint8)
    except OSError as error:
        raise CorruptFrameError(file_name, f"cannot be read: {error}") from error
    return data


def _warn_of_dark_samples(file_name: str, largest: int) -> None:
    bits = 10 if largest < 2**10 else 12
    log_first_n(
        logging.WARNING,
        f"{file_name}: no value of this 16-bit image is above {largest}. If these are {bits}-bit "
        f"samples, the frame is nearly black: multiply them by {2 ** (16 - bits)} (further images "
        "are not reported)",
        name=__name__,
        key="caller",
    )


def _make_room(cache: OrderedDict, max_open: int) -> list[tuple]:
    """Drop the least recently used entries so that one more fits; returns what was dropped."""
    return [cache.popitem(last=False) for _ in range(len(cache) - max_open + 1)]
