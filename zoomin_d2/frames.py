"""Frames as arrays, as tensors and as 8 bits; how large one may be; what a damaged one raises.

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


class CorruptFrameError(RuntimeError):
    """A frame or a whole file that should be there cannot be read.

    Attributes:
        file_name: the file.
        reason: what is wrong with it.
    """

    def __init__(self, file_name: str | Path, reason: str):
        super().__init__(f"{file_name}: {reason}")
        self.file_name = str(file_name)
        self.reason = reason

    def __reduce__(self):  # exceptions cross process borders: data loader workers, process pools
        return type(self), (self.file_name, self.reason)


def why_too_large(width: int, height: int) -> str | None:
    """What is wrong with frames of this size in pixels, or None if they are read."""
    if width * height <= MAX_FRAME_PIXELS:
        return None
    return f"has frames of {width}x{height} pixels; more than {MAX_FRAME_PIXELS} are not read"


def why_image_too_large(data: np.ndarray) -> str | None:
    """The same of an encoded image, (N,) uint8, by its header.

    What Pillow does not know OpenCV may (16-bit colour TIFF); it has a limit of its own, 2^30.
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
    """What `to_planes` gives, copied to any device while it was small -> float32 in [0, 1]."""
    full = 255.0 if planes.dtype == torch.uint8 else 65535.0
    return planes.to(torch.float32).div_(full)


def to_samples(frame: Tensor, deep: bool) -> Tensor:
    """(1, 3, H, W) float in [0, 1] -> (3, H, W) as `to_image` takes it: uint8, or if deep float32
    of which the whole part counts; rounded."""
    full = 65535.0 if deep else 255.0
    samples = frame.detach()[0].float().mul(full).add_(0.5).clamp_(0.5, full + 0.5)
    return samples if deep else samples.to(torch.uint8)


def to_image(samples: Tensor) -> np.ndarray:
    """What `to_samples` gives, on the CPU -> (H, W, 3) RGB uint8 or uint16."""
    planes = samples.numpy()
    return cv2.merge(list(planes if planes.dtype == np.uint8 else planes.astype(np.uint16)))


def mix(image_1: np.ndarray, image_2: np.ndarray, t: float) -> np.ndarray:
    """(1 - t) * image_1 + t * image_2, rounded, of the images' type."""
    mixed = (1.0 - t) * image_1.astype(np.float32) + t * image_2.astype(np.float32)
    return np.rint(mixed).astype(image_1.dtype)


def to_8bit(frames: Tensor) -> Tensor:
    """Frames as the uint8 values that a file would hold: clamped to [0, 1], times 255, rounded.

    Halves are rounded up, as by torchvision.utils.save_image; to even, the average of two frames
    would score up to 0.01 dB differently.

    Args:
        frames: any shape, uint8 (returned as it is) or float in [0, 1].
    """
    if frames.dtype == torch.uint8:
        return frames
    if not frames.is_floating_point():
        raise TypeError(f"frames must be uint8 or float in [0, 1], got {frames.dtype}")
    return (frames.float().clamp(0.0, 1.0) * 255.0 + 0.5).to(torch.uint8)
