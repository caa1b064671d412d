"""Between RGB arrays of a video and the tensors of a model."""

import numpy as np
import torch
from torch import Tensor


def to_tensor(image: np.ndarray, device: torch.device | str = "cpu") -> Tensor:
    """(H, W, 3) RGB uint8 or uint16 -> (1, 3, H, W) float32 in [0, 1]."""
    if image.dtype == np.uint8:
        pixels, full = torch.from_numpy(np.ascontiguousarray(image)).to(device), 255.0
    else:
        pixels, full = torch.from_numpy(image.astype(np.float32)).to(device), 65535.0
    return pixels.permute(2, 0, 1).unsqueeze(0).to(torch.float32).div_(full).contiguous()


def to_array(frame: Tensor, deep: bool) -> np.ndarray:
    """(1, 3, H, W) float in [0, 1] -> (H, W, 3) RGB, uint16 if deep else uint8; rounded."""
    pixels = frame.detach()[0].permute(1, 2, 0).float().clamp(0.0, 1.0)
    if not deep:
        return pixels.mul(255.0).round().to(torch.uint8).contiguous().cpu().numpy()
    return pixels.mul(65535.0).round().cpu().numpy().astype(np.uint16)


def mix(image_1: np.ndarray, image_2: np.ndarray, t: float) -> np.ndarray:
    """(1 - t) * image_1 + t * image_2, rounded, of the images' type."""
    mixed = (1.0 - t) * image_1.astype(np.float32) + t * image_2.astype(np.float32)
    return np.rint(mixed).astype(image_1.dtype)
