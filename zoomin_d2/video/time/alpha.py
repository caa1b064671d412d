"""Transparency between frames: colors are premultiplied, and alpha moves with them."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from zoomin_d2.frames import mix
from zoomin_d2.interpolate import Interpolate
from zoomin_d2.video.read.half_floats import from_samples
from zoomin_d2.video.read.source import Source


def halves(source: Source, with_alpha: bool, picture: Any) -> np.ndarray:
    """(H, W, 3) linear light of a picture of `source` as float16; with alpha (H, W, 4), whose
    colors are premultiplied. What is such light already comes back bit for bit."""
    if not (isinstance(picture, np.ndarray) and picture.dtype == np.float16):
        alpha = source.to_alpha(picture) if with_alpha else None
        picture = from_samples(source.to_rgb(picture), alpha, source.info.transfer)
    if not with_alpha:
        return picture[..., :3]
    if picture.shape[2] == 3:
        picture = np.dstack([picture, np.ones(picture.shape[:2], np.float16)])
    return picture


def rgba(source: Source, picture: object) -> np.ndarray:
    """(H, W, 4) straight RGBA of a picture of `source`, uint8 or uint16; opaque without alpha."""
    image, alpha = source.to_rgb(picture), source.to_alpha(picture)
    if alpha is None:
        alpha = np.full(image.shape[:2], np.iinfo(image.dtype).max, image.dtype)
    return np.dstack([image, alpha])


def interpolate_rgba(
    interpolate: Interpolate, frame_1: Tensor, frame_2: Tensor, ts: list[float]
) -> list[Tensor]:
    """The frames between two of (1, 4, H, W) straight RGBA in [0, 1]."""
    pair = premultiplied(frame_1), premultiplied(frame_2)
    return [straight(frame) for frame in interpolate_premultiplied(interpolate, *pair, ts)]


def interpolate_premultiplied(
    interpolate: Interpolate, frame_1: Tensor, frame_2: Tensor, ts: list[float]
) -> list[Tensor]:
    """The frames between two of (1, 4, H, W) premultiplied RGBA in [0, 1].

    A model with a method ``with_alpha`` (zoomin_d2.Interpolator) moves alpha with the flows of the
    colors. Any other model gets alpha as a separate gray picture.
    """
    together = getattr(interpolate, "with_alpha", None)
    if together is not None:
        return together(frame_1, frame_2, ts)
    colors = interpolate(frame_1[:, :3], frame_2[:, :3], ts)
    gray_1, gray_2 = (frame[:, 3:].expand(-1, 3, -1, -1) for frame in (frame_1, frame_2))
    alphas = interpolate(gray_1, gray_2, ts)
    if any(frame.shape != gray_1.shape for frame in [*colors, *alphas]):
        return colors  # which the caller refuses
    pairs = zip(colors, alphas)
    return [torch.cat([c, a.mean(1, keepdim=True)], 1) for c, a in pairs]


def mix_images(image_1: np.ndarray, image_2: np.ndarray, t: float) -> np.ndarray:
    """Like `frames.mix`, but also for straight RGBA, and for linear light in half floats."""
    if image_1.dtype == np.float16:
        light_1, light_2 = (image.astype(np.float32) for image in (image_1, image_2))
        return ((1.0 - t) * light_1 + t * light_2).astype(np.float16)
    if image_1.shape[2] == 3:
        return mix(image_1, image_2, t)
    full = np.iinfo(image_1.dtype).max
    weights = (1.0 - t, t)
    images = [image.astype(np.float32) / full for image in (image_1, image_2)]
    alpha = sum(w * image[..., 3:] for w, image in zip(weights, images))
    colors = sum(w * image[..., :3] * image[..., 3:] for w, image in zip(weights, images))
    colors = np.divide(colors, alpha, out=np.zeros_like(colors), where=alpha > 0)
    mixed = np.concatenate([colors, alpha], axis=2) * full
    return np.rint(mixed).astype(image_1.dtype)


def mix_colors(frame_1: Tensor, frame_2: Tensor, t: float | Tensor) -> Tensor:
    """(1 - t) * frame_1 + t * frame_2 of (N, 3, H, W) RGB, or of (N, 4, H, W) straight RGBA, in
    which the colors of clear pixels do not count; t in [0, 1], also (N, 1, H, W)."""
    if frame_1.shape[1] == 3:
        dtype = torch.promote_types(frame_1.dtype, frame_2.dtype)
        weight = t.to(dtype).expand_as(frame_1) if isinstance(t, Tensor) else t
        return torch.lerp(frame_1.to(dtype), frame_2.to(dtype), weight)
    first, second = premultiplied(frame_1), premultiplied(frame_2)
    return straight(first + (second - first) * t)


def premultiplied(frame: Tensor) -> Tensor:
    """(N, 4, H, W) straight RGBA with its colors multiplied by alpha."""
    return torch.cat([frame[:, :3] * frame[:, 3:], frame[:, 3:]], 1)


def straight(frame: Tensor) -> Tensor:
    """Undoes `premultiplied`; colors of transparent pixels become 0."""
    alpha = frame[:, 3:].clamp(0, 1)
    colors = torch.where(alpha > 0, frame[:, :3] / alpha.clamp(min=1e-6), 0.0)
    return torch.cat([colors.clamp(0, 1), alpha], 1)
