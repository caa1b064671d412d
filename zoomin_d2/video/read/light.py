"""Between code values and linear light, by the transfer characteristics of a video's tags.

Light is what the camera saw where a standard defines that (the inverse OETF of BT.709, BT.2020, and
HLG), because a shutter adds up light there, and what the display shows for PQ. 0 is black and 1 the
highest code value. An unspecified transfer counts as BT.709.
"""

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import numpy as np

Function = Callable[[np.ndarray], np.ndarray]
BT709, LINEAR, SRGB, PQ, HLG = 1, 8, 13, 16, 18  # ITU-T H.273 code points
HDR_NAMES = {PQ: "PQ", HLG: "HLG"}
_STEPS = 65535  # of the square root of light, in the tables back to code values


class Curve(NamedTuple):
    """Functions of float64 in [0, 1]: `to_light` of code values, and its inverse `to_code`."""

    to_light: Function
    to_code: Function


def curve_of(transfer: int) -> Curve:
    """The curve of an H.273 code point."""
    return _CURVES.get(transfer, _CURVES[BT709])


@cache
def light_table(transfer: int, deep: bool) -> np.ndarray:
    """Linear light of every code value: (256,) or, if `deep`, (65536,) float32."""
    full = 65535 if deep else 255
    return curve_of(transfer).to_light(np.arange(full + 1) / full).astype(np.float32)


def to_light(image: np.ndarray, transfer: int) -> np.ndarray:
    """Code values, uint8 or uint16 of any shape, as float32 linear light in [0, 1]."""
    return np.take(light_table(transfer, image.dtype == np.uint16), image)


def to_code(light: np.ndarray, transfer: int, deep: bool) -> np.ndarray:
    """Linear light, clipped to [0, 1], as code values: uint8 or, if `deep`, uint16."""
    steps = np.sqrt(np.clip(light, 0, 1)) * np.float32(_STEPS) + np.float32(0.5)
    return np.take(_code_table(transfer, deep), steps.astype(np.uint16))


@cache
def _code_table(transfer: int, deep: bool) -> np.ndarray:
    full = 65535 if deep else 255
    codes = curve_of(transfer).to_code((np.arange(_STEPS + 1) / _STEPS) ** 2)
    return np.rint(np.clip(codes, 0, 1) * full).astype(np.uint16 if deep else np.uint8)


def _power(exponent: float) -> Curve:
    return Curve(lambda v: v**exponent, lambda x: x ** (1 / exponent))


def _camera(alpha: float, slope: float, toe: float, exponent: float) -> Curve:
    """alpha * x^exponent - (alpha - 1), and a straight line of `slope` below `toe`."""

    def to_light(v: np.ndarray) -> np.ndarray:
        return np.where(v < slope * toe, v / slope, ((v + alpha - 1) / alpha) ** (1 / exponent))

    def to_code(x: np.ndarray) -> np.ndarray:
        return np.where(x < toe, x * slope, alpha * x**exponent - (alpha - 1))

    return Curve(to_light, to_code)


def _log(decades: float) -> Curve:
    def to_light(v: np.ndarray) -> np.ndarray:
        return np.where(v > 0, 10 ** (decades * (v - 1)), 0.0)

    def to_code(x: np.ndarray) -> np.ndarray:
        return 1 + np.log10(np.maximum(x, 10**-decades)) / decades

    return Curve(to_light, to_code)


def _pq() -> Curve:
    m1, m2 = 2610 / 16384, 2523 / 32
    c1, c2, c3 = 3424 / 4096, 2413 / 128, 2392 / 128

    def to_light(v: np.ndarray) -> np.ndarray:
        p = v ** (1 / m2)
        return (np.maximum(p - c1, 0) / (c2 - c3 * p)) ** (1 / m1)

    def to_code(x: np.ndarray) -> np.ndarray:
        p = x**m1
        return ((c1 + c2 * p) / (1 + c3 * p)) ** m2

    return Curve(to_light, to_code)


def _hlg() -> Curve:
    a, b, c = 0.17883277, 0.28466892, 0.55991073

    def to_light(v: np.ndarray) -> np.ndarray:
        return np.where(v <= 0.5, v**2 / 3, (np.exp((v - c) / a) + b) / 12)

    def to_code(x: np.ndarray) -> np.ndarray:
        return np.where(x <= 1 / 12, np.sqrt(3 * x), a * np.log(np.maximum(12 * x, 1) - b) + c)

    return Curve(to_light, to_code)


_CURVES = {
    BT709: _camera(1.099296826809442, 4.5, 0.018053968510807, 0.45),  # also 6, 14, 15
    4: _power(2.2),
    5: _power(2.8),
    7: _camera(1.1115, 4.0, 0.0228, 0.45),
    LINEAR: _power(1.0),
    9: _log(2.0),
    10: _log(2.5),
    SRGB: _camera(1.055, 12.92, 0.0031308, 1 / 2.4),
    PQ: _pq(),
    17: _power(2.6),
    HLG: _hlg(),
}
