"""Flows in, pictures in the colors of the Middlebury wheel out: hue is direction, pale is slow.

Flows are (2, H, W) tensors of (dx, dy) in pixels; pictures are RGB uint8 arrays (H, W, 3).
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torchvision.utils import flow_to_image


def draw_flows(flows: Sequence[Tensor]) -> tuple[list[np.ndarray], float]:
    """Draw flows of one size in a common scale, so that their colors can be compared.

    Returns:
        one picture per flow, and the length in pixels of the longest vector among all flows, which
        is drawn in full color.
    """
    stacked = torch.stack([flow.detach().float().cpu() for flow in flows])
    pictures = flow_to_image(stacked).permute(0, 2, 3, 1).numpy()
    return list(pictures), stacked.norm(dim=1).max().item()


def draw_flow_legend(picture: np.ndarray, share: float = 0.22) -> None:
    """Draw the color wheel into the lower right corner of a flow's picture, in place.

    A point of the wheel has the color of the vector from the center to it; the rim is the longest
    vector.

    Args:
        share: diameter of the wheel as a share of the picture's shorter side.
    """
    radius = int(min(picture.shape[:2]) * share / 2)
    if radius < 4:
        return  # too small to read
    offset = torch.arange(-radius, radius + 1, dtype=torch.float32)
    dy, dx = torch.meshgrid(offset, offset, indexing="ij")
    distance = (dx**2 + dy**2).sqrt()
    inside = distance <= radius
    wheel = flow_to_image(torch.stack([dx, dy]) * inside).permute(1, 2, 0).numpy()
    wheel[(distance > radius - 1.5).numpy()] = 0  # the rim's outline
    corner = picture[-2 * radius - 5 : -4, -2 * radius - 5 : -4]
    corner[inside.numpy()] = wheel[inside.numpy()]
