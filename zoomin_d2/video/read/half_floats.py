"""Linear light in half floats (OpenEXR) to and from what networks and other outputs take.

A network sees [0, 1]. Light x of any half float becomes

    y = (asinh(64 x) - asinh(64 LEAST)) / (asinh(64 MOST) - asinh(64 LEAST))

which is a logarithm for bright and a straight line for dark values, and has the inverse

    x = sinh(y (asinh(64 MOST) - asinh(64 LEAST)) + asinh(64 LEAST)) / 64

with LEAST = -1/16 and MOST = 65504, the largest half float. So values above 1 and somewhat below 0
survive in made frames. Frames that pass unchanged do not go through the curve. NaN counts as 0.
"""

from functools import cache

import numpy as np

from zoomin_d2.video.read.light import SRGB, to_code, to_light

LEAST, MOST = -1 / 16, 65504.0
_SLOPE = 64.0
_LOW, _HIGH = np.arcsinh(_SLOPE * LEAST), np.arcsinh(_SLOPE * MOST)
_FULL = 65535


def compress(light: np.ndarray) -> np.ndarray:
    """The curve y of this module."""
    return (np.arcsinh(_SLOPE * light) - _LOW) / (_HIGH - _LOW)


def expand(value: np.ndarray) -> np.ndarray:
    """Its inverse."""
    return np.sinh(value * (_HIGH - _LOW) + _LOW) / _SLOPE


def to_network(image: np.ndarray) -> np.ndarray:
    """(H, W, 3 or 4) float16 -> float32 in 0..65535: colors by the curve, alpha as it is."""
    codes = np.take(_compressed(), image.view(np.uint16))
    if image.shape[2] == 4:
        alpha = np.nan_to_num(image[..., 3].astype(np.float32))
        codes[..., 3] = np.clip(alpha, 0, 1) * _FULL
    return codes


def from_network(image: np.ndarray) -> np.ndarray:
    """(H, W, 3 or 4) uint16 -> float16, the inverse of `to_network`."""
    light = np.take(_expanded(), image)
    if image.shape[2] == 4:
        light[..., 3] = image[..., 3] / np.float32(_FULL)
    return light


def from_samples(image: np.ndarray, alpha: np.ndarray | None, transfer: int) -> np.ndarray:
    """(H, W, 3) uint8 or uint16 with straight alpha (H, W), None: none -> premultiplied float16."""
    light = to_light(image, transfer)
    if alpha is None:
        return light.astype(np.float16)
    weight = alpha[..., None] / np.float32(np.iinfo(alpha.dtype).max)
    return np.concatenate([light * weight, weight], axis=2).astype(np.float16)


def to_samples(image: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """(H, W, 3) premultiplied float16, clipped to [0, 1] -> (H, W, 3) uint16 sRGB, and no alpha; of
    (H, W, 4) also straight alpha (H, W) uint16."""
    light = np.nan_to_num(image.astype(np.float32), posinf=MOST)
    if image.shape[2] == 3:
        return to_code(light, SRGB, True), None
    alpha = np.clip(light[..., 3:], 0, 1)
    colors = np.divide(light[..., :3], alpha, out=np.zeros_like(light[..., :3]), where=alpha > 0)
    return to_code(colors, SRGB, True), np.rint(alpha[..., 0] * _FULL).astype(np.uint16)


@cache
def _compressed() -> np.ndarray:
    """(65536,) float32, by the bits of a half float."""
    halves = np.arange(_FULL + 1, dtype=np.uint16).view(np.float16).astype(np.float64)
    light = np.clip(np.nan_to_num(halves, nan=0.0, posinf=MOST), LEAST, MOST)
    return (compress(light) * _FULL).astype(np.float32)


@cache
def _expanded() -> np.ndarray:
    """(65536,) float16, by the rounded value of the curve."""
    light = np.clip(expand(np.arange(_FULL + 1) / _FULL), LEAST, MOST)
    light[np.abs(light) < _step() / 2] = 0  # black stays black
    return light.astype(np.float16)


def _step() -> float:
    return float((_HIGH - _LOW) / _SLOPE / _FULL)
