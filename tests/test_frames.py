"""Arrays to tensors and back, without a level lost."""

import io

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from zoomin_d2.frames import (
    CorruptFrameError,
    decode_image,
    mix,
    read_image,
    to_8bit,
    to_float,
    to_image,
    to_samples,
    to_tensor,
)


def _to_array(frame, deep):
    return to_image(to_samples(frame, deep))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_every_level_comes_back(dtype):
    full = np.iinfo(dtype).max
    levels = np.arange(full + 1, dtype=dtype).reshape(16, -1)
    image = np.stack([levels, levels[::-1], levels[:, ::-1]], axis=-1)
    tensor = to_tensor(image)
    assert tensor.shape == (1, 3, *levels.shape) and tensor.dtype == torch.float32
    assert tensor.min() == 0 and tensor.max() == 1
    assert (_to_array(tensor, dtype == np.uint16) == image).all()


def test_values_are_clipped_and_rounded():
    frame = torch.tensor([-1.0, 0.0, 0.4 / 255, 0.6 / 255, 1.0, 7.0]).expand(1, 3, 2, 6)
    assert _to_array(frame, False)[0, :, 0].tolist() == [0, 0, 0, 1, 255, 255]
    assert _to_array(frame, True)[0, :, 0].tolist() == [0, 0, 103, 154, 65535, 65535]


def test_a_turned_view_is_taken_as_it_looks():
    image = np.arange(60, dtype=np.uint8).reshape(4, 5, 3)
    turned = np.rot90(image)
    assert (_to_array(to_tensor(turned), False) == turned).all()


def test_mix():
    a, b = np.full((2, 2, 3), 10, np.uint8), np.full((2, 2, 3), 21, np.uint8)
    assert (mix(a, b, 0.25) == 13).all()
    assert mix(a.astype(np.uint16), b.astype(np.uint16), 0.5).dtype == np.uint16


def test_bytes_and_floats_are_one_range():
    levels = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(to_float(levels), levels.float() / 255)
    assert torch.equal(to_8bit(to_float(levels)), levels)
    assert to_float(torch.tensor([0.25], dtype=torch.float16)).tolist() == [0.25]
    for convert in (to_float, to_8bit):
        with pytest.raises(TypeError, match=r"got torch\.int32"):
            convert(levels.int())


def _encoded(suffix, image):
    return cv2.imencode(suffix, image)[1].ravel()


def test_16_bits_are_kept_or_rounded():
    data = _encoded(".png", np.array([[0, 128, 129, 65535]], np.uint16))  # v / 257 = 0.498, 0.502
    assert decode_image(data, "x")[0, :, 0].tolist() == [0, 0, 1, 255]
    assert decode_image(data, "x", keep_16_bits=True)[0, :, 2].tolist() == [0, 128, 129, 65535]


def test_alpha_is_dropped_not_blended():
    image = np.full((2, 2, 4), (10, 20, 30, 0), np.uint8)  # BGRA
    assert (decode_image(_encoded(".png", image), "x") == (30, 20, 10)).all()


def test_exif_turns_where_asked_for():
    exif, file = Image.Exif(), io.BytesIO()
    exif[274] = 6  # turn by 90 degrees
    Image.fromarray(np.zeros((4, 6, 3), np.uint8)).save(file, "png", exif=exif)
    data = np.frombuffer(file.getvalue(), np.uint8)
    assert decode_image(data, "x").shape == (4, 6, 3)
    assert decode_image(data, "x", turn=True).shape == (6, 4, 3)


def test_what_is_no_image_is_named(tmp_path):
    path = tmp_path / "a.png"
    with pytest.raises(CorruptFrameError, match=r"a\.png: cannot be read"):
        read_image(path)
    path.write_bytes(b"")
    with pytest.raises(CorruptFrameError, match=r"a\.png: is not an image"):
        read_image(path)
