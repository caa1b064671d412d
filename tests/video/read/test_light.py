"""Code values to linear light and back, by the tags of a video."""

import numpy as np
import pytest

from zoomin_d2.video.read.light import HLG, PQ, curve_of, to_code, to_light

CODES = [1, 2, 4, 5, 6, 7, 8, 9, 10, 13, 14, 15, 16, 17, 18]  # H.273


@pytest.mark.parametrize("transfer", CODES)
@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_light_and_back_is_the_same(transfer, kind):
    full = np.iinfo(kind).max
    codes = np.arange(full + 1, dtype=kind)
    light = to_light(codes, transfer)
    assert (light[0], light[-1]) == (pytest.approx(0, abs=1e-6), pytest.approx(1, abs=1e-4))
    assert np.diff(light).min() >= -2e-5  # the constants of SMPTE 240M leave a step back of that
    back = to_code(light, transfer, kind == np.uint16).astype(int)
    # the step of a video of 12 bits is 16
    assert np.abs(back - codes).max() <= (0 if kind == np.uint8 else 16)


def test_values_of_the_standards():
    def light(transfer, code):
        return float(curve_of(transfer).to_light(np.float64(code)))

    assert light(1, 0.081) == pytest.approx(0.018, abs=1e-4)  # end of the straight part
    assert light(13, 0.5) == pytest.approx(0.21404, abs=1e-5)
    assert light(PQ, 0.508078) == pytest.approx(0.01, rel=1e-4)  # 100 of 10000 cd/m^2
    assert light(HLG, 0.5) == pytest.approx(1 / 12)
    assert light(99, 0.5) == light(1, 0.5)  # unknown: BT.709
