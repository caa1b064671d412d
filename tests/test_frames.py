"""Arrays to tensors and back, without a level lost."""

import numpy as np
import pytest
import torch

from zoomin_d2.frames import is_finite, mix, to_array, to_tensor


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_every_level_comes_back(dtype):
    full = np.iinfo(dtype).max
    levels = np.arange(full + 1, dtype=dtype).reshape(16, -1)
    image = np.stack([levels, levels[::-1], levels[:, ::-1]], axis=-1)
    tensor = to_tensor(image)
    assert tensor.shape == (1, 3, *levels.shape) and tensor.dtype == torch.float32
    assert tensor.min() == 0 and tensor.max() == 1
    assert (to_array(tensor, dtype == np.uint16) == image).all()


def test_values_outside_are_clipped_and_others_rounded():
    frame = torch.tensor([-1.0, 0.0, 0.4 / 255, 0.6 / 255, 1.0, 7.0]).expand(1, 3, 2, 6)
    assert to_array(frame, False)[0, :, 0].tolist() == [0, 0, 0, 1, 255, 255]
    assert to_array(frame, True)[0, :, 0].tolist() == [0, 0, 103, 154, 65535, 65535]


def test_a_turned_view_is_taken_as_it_looks():
    image = np.arange(60, dtype=np.uint8).reshape(4, 5, 3)
    turned = np.rot90(image)
    assert (to_array(to_tensor(turned), False) == turned).all()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_values_that_are_not_finite_are_found(value):
    frame = torch.rand(1, 3, 40, 50)
    assert is_finite(frame) and is_finite(frame.half())
    frame[0, 1, 2, 3] = value
    assert not is_finite(frame) and not is_finite(frame.half())


def test_mix():
    a, b = np.full((2, 2, 3), 10, np.uint8), np.full((2, 2, 3), 21, np.uint8)
    assert (mix(a, b, 0.25) == 13).all()
    assert mix(a.astype(np.uint16), b.astype(np.uint16), 0.5).dtype == np.uint16
