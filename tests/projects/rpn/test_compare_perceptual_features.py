"""Distortions and the table, on a detector whose features are known."""

import compare_perceptual_features as tool
import pytest
import torch


class _EdgeDetector:
    """Its only feature is the x gradient of the frame."""

    pixel_mean = torch.zeros(1)

    def features(self, frames, names):
        return dict.fromkeys(names, frames[..., 1:] - frames[..., :-1])


def _sample(value_1, value_t, value_2):
    frame = torch.zeros(3, 16, 16, dtype=torch.uint8)
    frame[:, :, 8:] = 200
    return {
        "frame_1": frame // 200 * value_1,
        "frame_t": frame // 200 * value_t,
        "frame_2": frame // 200 * value_2,
    }


def test_distortions():
    frame = torch.arange(12.0).expand(1, 3, 12, 12) / 20
    distorted = tool.distort(frame, frame, frame + 0.2)
    # On a ramp half a pixel is half a step; the last column has only the border beyond it.
    assert torch.allclose(distorted["shifted 0.5 px"][..., :-1], frame[..., :-1] + 0.025, atol=1e-6)
    assert torch.allclose(distorted["average"], frame + 0.1)
    assert torch.allclose(distorted["blurred"][..., 6], frame[..., 6], atol=1e-3)


def test_distances_and_ranking():
    distances = tool.measure(_EdgeDetector(), [_sample(100, 200, 100)], ["x"])
    # One edge of height 200 / 255 among 15 gradients; the average's edge is 100 / 255.
    (found,) = distances["x"]
    assert found["average"] == pytest.approx(100 / 255 / 15, rel=1e-4)
    # Shifted: half the edge moves to the neighbour, which counts on both sides.
    assert found["shifted 0.5 px"] == pytest.approx(200 / 255 / 15, rel=1e-4)
    assert distances["pixels"][0]["average"] == pytest.approx(100 / 255 / 2, rel=1e-4)
    row = tool.make_table({"x": [found]}).splitlines()[-1]
    assert "0 of 1" in row  # this feature takes the shift for worse than the average
