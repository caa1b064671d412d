"""The curve between linear light in half floats and what a network sees."""

import numpy as np
import pytest

from zoomin_d2.video.read.half_floats import (
    LEAST,
    MOST,
    compress,
    expand,
    from_network,
    from_samples,
    to_network,
    to_samples,
)


def test_the_curve_by_hand():
    low, high = np.arcsinh(-4), np.arcsinh(64 * 65504)
    assert compress(np.array([LEAST, MOST])).tolist() == [0, 1]
    assert compress(np.float64(1)) == pytest.approx((np.arcsinh(64) - low) / (high - low))
    light = np.array([-0.05, 0, 1e-3, 0.18, 1, 17, 5000])
    assert expand(compress(light)) == pytest.approx(light, abs=1e-12, rel=1e-9)
    assert (np.diff(compress(light)) > 0).all()


def test_every_half_float_is_within_reach():
    """16 bits of the curve are finer than half floats where these are coarse."""
    halves = np.arange(65536, dtype=np.uint16).view(np.float16)
    light = halves[np.isfinite(halves) & (halves >= LEAST)]
    codes = to_network(light[None, :, None])
    assert codes.min() >= 0 and codes.max() <= 65535
    back = from_network(np.rint(codes).astype(np.uint16))[0, :, 0]
    is_dark = np.abs(light) < 1 / 64
    assert np.array_equal(back[~is_dark], light[~is_dark])
    assert np.abs(back[is_dark].astype(float) - light[is_dark]).max() < 4e-6
    assert back[light == 0].tolist() == [0, 0]  # also of -0


def test_odd_values_do_no_harm():
    odd = np.array([np.nan, np.inf, -np.inf, -1, MOST], np.float16)[None, :, None]
    codes = to_network(odd)[0, :, 0]
    assert np.isfinite(codes).all()
    assert codes[0] == to_network(np.zeros((1, 1, 1), np.float16))[0, 0, 0]
    assert codes[1] == codes[4] == 65535 and codes[2] == codes[3] == 0


def test_alpha_does_not_bend():
    image = np.full((1, 1, 4), 0.5, np.float16)
    codes = to_network(image)
    assert codes[0, 0, 3] == 32767.5
    assert from_network(np.rint(codes).astype(np.uint16))[0, 0, 3] == 0.5


def test_to_and_from_video():
    gray = np.full((1, 1, 3), 128, np.uint8)
    light = from_samples(gray, None, 13)
    assert light.dtype == np.float16 and float(light[0, 0, 0]) == pytest.approx(0.2158, abs=1e-4)
    samples, alpha = to_samples(light)
    assert alpha is None and np.abs(samples / 257 - 128).max() < 0.1
    half = np.array([[128]], np.uint8)
    glass = from_samples(gray, half, 13)
    assert float(glass[0, 0, 0]) == pytest.approx(0.2158 * 128 / 255, abs=1e-4)
    samples, alpha = to_samples(glass)
    assert np.abs(samples / 257 - 128).max() < 0.2 and abs(alpha[0, 0] / 257 - 128) < 0.1
    assert to_samples(np.full((1, 1, 3), 7, np.float16))[0].max() == 65535
