"""Frames as files, arrays, tensors and 8 bits; their maximum size; the error of a damaged one.

A leaf: every room may use it.
"""

import io
import warnings
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image
from torch import Tensor

MAX_FRAME_PIXELS = 2**27  # 16384 x 8192

# Image files in a folder, by lower-case suffix.
IMAGE_SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp")
VIDEO_SUFFIXES = (
    *(".avi", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".ts", ".webm"),
    ".wmv",
)


class CorruptFrameError(RuntimeError):
    """A frame, or a whole file, cannot be read.

    Attributes:
        file_name: the file.
        reason: what is wrong with it.
    """

    def __init__(self, file_name: str | Path, reason: str):
        super().__init__(f"{file_name}: {reason}")
        self.file_name = str(file_name)
        self.reason = reason

    def __reduce__(self):  # pickled by data loader workers and process pools
        return type(self), (self.file_name, self.reason)


def why_too_large(width: int, height: int) -> str | None:
    """What is wrong with frames of this size in pixels; None if they can be read."""
    if width * height <= MAX_FRAME_PIXELS:
        return None
    return f"has frames of {width}x{height} pixels; the limit is {MAX_FRAME_PIXELS} pixels"


def why_image_too_large(data: np.ndarray) -> str | None:
    """The same for an encoded image, (N,) uint8, by its header.

    OpenCV reads some formats that Pillow does not (16-bit color TIFF); its own limit is 2^30.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(data.data)) as image:
                width, height = image.size
    except Image.DecompressionBombError as error:
        return str(error)
    except Exception:
        return None
    return why_too_large(width, height)


def decode_image(
    data: np.ndarray, file_name: str | Path, *, keep_16_bits: bool = False, turn: bool = False
) -> np.ndarray:
    """An encoded image as (H, W, 3) RGB uint8; gray becomes three channels, alpha is dropped.

    Args:
        data: (N,) uint8, the content of a file.
        file_name: for the error.
        keep_16_bits: return uint16 images unchanged; otherwise they become v / 257, rounded.
        turn: rotate as the EXIF data says.

    Raises:
        CorruptFrameError: not an image, damaged, too large, or neither 8 nor 16 bits.
    """
    if not data.size:
        raise CorruptFrameError(file_name, "is not an image: the file is empty")
    if reason := why_image_too_large(data):
        raise CorruptFrameError(file_name, reason)
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH
    try:
        image = cv2.imdecode(data, flags if turn else flags | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error:  # a size beyond OpenCV's own limits
        image = None
    if image is None:
        raise CorruptFrameError(file_name, "is not an image, or is damaged")
    if image.dtype not in (np.uint8, np.uint16):
        reason = f"holds {image.dtype} values; only 8-bit and 16-bit images are supported"
        raise CorruptFrameError(file_name, reason)
    if image.dtype == np.uint16 and not keep_16_bits:
        image = to_8_bits(image)
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def to_8_bits(image: np.ndarray) -> np.ndarray:
    """A uint16 image of any shape as uint8: v / 257, rounded."""
    return np.round(image / 257.0).astype(np.uint8)


def read_image(file_name: str | Path, **options: bool) -> np.ndarray:
    """`decode_image` of a local file; raises the same errors."""
    try:
        data = np.fromfile(file_name, np.uint8)
    except OSError as error:
        raise CorruptFrameError(file_name, f"cannot be read: {error}") from error
    return decode_image(data, file_name, **options)


def to_tensor(image: np.ndarray, device: torch.device | str = "cpu") -> Tensor:
    """(H, W, 3) RGB uint8 or uint16 -> (1, 3, H, W) float32 in [0, 1]."""
    return to_unit_range(to_planes(image).to(device))


def to_planes(image: np.ndarray) -> Tensor:
    """(H, W, 3) RGB uint8 or uint16 -> (1, 3, H, W), uint8 or float32 in 0..65535."""
    planes = np.stack(cv2.split(image))
    if image.dtype != np.uint8:
        planes = planes.astype(np.float32)
    return torch.from_numpy(planes).unsqueeze(0)


def to_unit_range(planes: Tensor) -> Tensor:
    """The result of `to_planes`, on any device -> float32 in [0, 1]; copy it first, it is small."""
    full = 255.0 if planes.dtype == torch.uint8 else 65535.0
    return planes.to(torch.float32).div_(full)


def to_samples(frame: Tensor, deep: bool) -> Tensor:
    """(1, 3, H, W) float in [0, 1] -> (3, H, W) as `to_image` takes it, rounded: uint8 or, if deep,
    float32 whose whole part counts."""
    full = 65535.0 if deep else 255.0
    samples = frame.detach()[0].float().mul(full).add_(0.5).clamp_(0.5, full + 0.5)
    return samples if deep else samples.to(torch.uint8)


def to_image(samples: Tensor) -> np.ndarray:
    """The result of `to_samples`, on the CPU -> (H, W, 3) RGB uint8 or uint16."""
    planes = samples.numpy()
    return cv2.merge(list(planes if planes.dtype == np.uint8 else planes.astype(np.uint16)))


def mix(image_1: np.ndarray, image_2: np.ndarray, t: float) -> np.ndarray:
    """(1 - t) * image_1 + t * image_2, rounded, in the images' type."""
    mixed = (1.0 - t) * image_1.astype(np.float32) + t * image_2.astype(np.float32)
    return np.rint(mixed).astype(image_1.dtype)


def to_float(frames: Tensor) -> Tensor:
    """Frames of any shape, uint8 or float in [0, 1], as float32 in [0, 1].

    Raises:
        TypeError: another dtype, whose range is unknown.
    """
    _check_range_is_known(frames)
    return frames.float() / 255 if frames.dtype == torch.uint8 else frames.float()


def to_8bit(frames: Tensor) -> Tensor:
    """Frames as the uint8 values that a file would hold: clamped to [0, 1], times 255, rounded.

    Halves are rounded up, as by torchvision.utils.save_image. Rounding them to even would change
    the score of the average of two frames by up to 0.01 dB.

    Args:
        frames: any shape, uint8 (returned unchanged) or float in [0, 1].
    """
    _check_range_is_known(frames)
    if frames.dtype == torch.uint8:
        return frames
    return (frames.float().clamp(0.0, 1.0) * 255.0 + 0.5).to(torch.uint8)


def _check_range_is_known(frames: Tensor) -> None:
    if frames.dtype != torch.uint8 and not frames.is_floating_point():
        raise TypeError(f"frames must be uint8 or float in [0, 1], got {frames.dtype}")
