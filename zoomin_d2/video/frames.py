"""Between RGB arrays of a video and the tensors of a model."""

import cv2
import numpy as np
import torch
from torch import Tensor


def to_tensor(image: np.ndarray, device: torch.device | str = "cpu") -> Tensor:
    """(H, W, 3) RGB uint8 or uint16 -> (1, 3, H, W) float32 in [0, 1]."""
    # Planes are separated while the samples are small, and converted on the device.
    if image.dtype == np.uint8:
        planes, full = np.stack(cv2.split(image)), 255.0
    else:
        planes, full = np.stack(cv2.split(image)).astype(np.float32), 65535.0
    return torch.from_numpy(planes).unsqueeze(0).to(device).to(torch.float32).div_(full)


def to_array(frame: Tensor, deep: bool) -> np.ndarray:
    """(1, 3, H, W) float in [0, 1] -> (H, W, 3) RGB, uint16 if deep else uint8; rounded."""
    full = 65535.0 if deep else 255.0
    pixels = frame.detach()[0].float().mul(full).add_(0.5).clamp_(0.5, full + 0.5)
    if not deep:
        return cv2.merge(list(pixels.to(torch.uint8).cpu().numpy()))
    return cv2.merge(list(pixels.cpu().numpy().astype(np.uint16)))


def is_finite(frame: Tensor) -> bool:
    """Whether no value is inf or nan; one pass, nothing allocated."""
    return bool(torch.isfinite(frame.sum(dtype=torch.float32)))


def mix(image_1: np.ndarray, image_2: np.ndarray, t: float) -> np.ndarray:
    """(1 - t) * image_1 + t * image_2, rounded, of the images' type."""
    mixed = (1.0 - t) * image_1.astype(np.float32) + t * image_2.astype(np.float32)
    return np.rint(mixed).astype(image_1.dtype)
