"""What is changed in a made frame: equal pixels, overlays, the mask, and what is unsure."""

import cv2
import numpy as np
import pytest
import torch

from zoomin_d2.video.errors import OptionError
from zoomin_d2.video.time.protection import Mask, Protection, equal_pixels

SIZE = (20, 30)


def plain(value, channels=3):
    return torch.full((1, channels, *SIZE), value / 255)


def levels(frame):
    """(C, H, W) in levels of 255."""
    return frame[0] * 255


def mask_file(tmp_path, weights):
    cv2.imwrite(str(tmp_path / "mask.png"), weights)
    return tmp_path / "mask.png"


def protected(protection, a, b, made, t, doubt=None, overlay=None):
    """Levels of a changed frame, and its unsure share."""
    done = protection.between(a, b, overlay)(made, t, doubt)
    return levels(done.frame), done.unsure


def test_off_means_off():
    made = plain(7)
    done = Protection(False, "keep", None).between(plain(1), plain(1), None)(made, 0.5, None)
    assert done.frame is made and done.unsure is None and done.still is None


def test_equal_pixels_need_equal_neighbors():
    a, b = plain(10), plain(20)
    b[..., 3, 4] = a[..., 3, 4]  # by chance
    b[..., 10:14, 10:15] = a[..., 10:14, 10:15]
    b[:, 0, 0, :] = a[:, 0, 0, :]  # one channel
    found = equal_pixels(a, b)
    assert found.shape == (1, 1, *SIZE) and found.sum() == 20
    assert found[..., 10:14, 10:15].all()
    b[..., :2, :2] = a[..., :2, :2]  # beyond the border, all is equal
    assert equal_pixels(a, b)[..., :2, :2].all()


def test_a_single_pixel_can_be_equal():
    one, other = torch.zeros(1, 3, 1, 1), torch.ones(1, 3, 1, 1)
    assert equal_pixels(one, one).all() and not equal_pixels(one, other).any()


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64])
def test_models_may_make_other_floats(dtype):
    overlay = torch.full(SIZE, 255, dtype=torch.uint8)
    made = plain(7).to(dtype)
    shown, _ = protected(
        Protection(False, "keep", None), plain(100), plain(200), made, 0.25, overlay=overlay
    )
    torch.testing.assert_close(shown.float(), torch.full((3, *SIZE), 125.0), atol=0.1, rtol=0)


@pytest.mark.parametrize("full", [255, 65535])
def test_equal_pixels_stay_exactly_equal(full):
    a = torch.randint(0, full * 2 // 3, (1, 3, *SIZE), generator=torch.Generator().manual_seed(0))
    a = a / full
    made = a + 16 / 255
    made[..., 1, 5, 5] += 1 / 255  # something that passes between the two
    done = Protection(True, "keep", None).between(a, a.clone(), None)(made, 0.3, None)
    expected = a.clone()
    expected[..., 5, 5] = made[..., 5, 5]
    assert torch.equal(done.frame, expected)
    assert (~done.still).nonzero().tolist() == [[0, 0, 5, 5]]


def test_an_overlay_fades_to_the_other():
    overlay = torch.zeros(SIZE, dtype=torch.uint8)
    overlay[2:4, 2:4] = 255
    overlay[6, 6] = 51  # a fifth
    protection = Protection(True, "keep", None)
    done, _ = protected(protection, plain(100), plain(108), plain(200), 0.25, overlay=overlay)
    assert (done[:, 2:4, 2:4] - 102).abs().max() < 0.01
    assert (done[:, 6, 6] - 180.4).abs().max() < 0.01  # 200 + (102 - 200) / 5
    assert ((done - 200).abs() > 0.01).sum() == 5 * 3


def test_transparent_colors_do_not_bleed():
    """Straight alpha: the colors of a clear pixel do not count."""
    a, b = plain(90, channels=4), plain(10, channels=4)
    a[:, 3], b[:, 3] = 1, 0
    overlay = torch.full(SIZE, 255, dtype=torch.uint8)
    done, _ = protected(Protection(True, "keep", None), a, b, b, 0.5, overlay=overlay)
    assert (done[:3] - 90).abs().max() < 0.01 and (done[3] - 127.5).abs().max() < 0.01


@pytest.mark.parametrize(("t", "nearer"), [(0.25, 10), (0.5, 10), (0.75, 20)])
def test_the_mask_shows_the_nearer_frame(tmp_path, t, nearer):
    weights = np.zeros(SIZE, np.uint8)
    weights[:5], weights[5] = 255, 51
    mask = Mask(mask_file(tmp_path, weights), SIZE)
    done, _ = protected(Protection(False, "keep", mask), plain(10), plain(20), plain(200), t)
    expected = torch.full_like(done, 200)
    expected[:, :5], expected[:, 5] = nearer, 200 - (200 - nearer) / 5
    assert (done - expected).abs().max() < 0.01


@pytest.mark.parametrize(("unsure", "value"), [("nearest", 40), ("blend", 20.4)])
def test_unsure_pixels_are_replaced(unsure, value):
    """0.12 and above wholly, 0.08 and below not, softly between."""
    doubt = torch.full((1, 1, *SIZE), 0.08)
    doubt[..., 3, :6], doubt[..., 4, 0] = 0.12, 0.10
    # at t = 0.51, 40 is nearer, and the fade is 20.4
    done, share = protected(
        Protection(False, unsure, None), plain(0), plain(40), plain(200), 0.51, doubt
    )
    expected = torch.full_like(done, 200)
    expected[:, 3, :6], expected[:, 4, 0] = value, (200 + value) / 2
    assert (done - expected).abs().max() < 0.01
    assert share == pytest.approx(7 / 600, abs=1 / 600)


def test_a_mostly_unsure_frame_falls_back():
    doubt = torch.full((1, 1, *SIZE), 0.12)
    doubt[..., :9, :] = 0.0  # 11 of 20 rows are unsure
    done, share = protected(
        Protection(False, "nearest", None), plain(5), plain(9), plain(200), 0.4, doubt
    )
    assert (done - 5).abs().max() < 0.01 and share == pytest.approx(0.55)


def test_wrong_masks_are_named(tmp_path):
    file = mask_file(tmp_path, np.zeros((10, 30), np.uint8))
    with pytest.raises(OptionError, match=r"mask\.png has 30x10 pixels, but .* 30x20"):
        Mask(file, SIZE)
    file.write_text("no image")
    with pytest.raises(OptionError, match=r"mask\.png: is not an image"):
        Mask(file, SIZE)
    with pytest.raises(OptionError, match=r"none\.png: cannot be read"):
        Mask(tmp_path / "none.png", SIZE)


def test_the_mask_is_copied_to_a_device_once(tmp_path):
    """A copy would wait for the frames that a GPU makes."""
    mask = Mask(mask_file(tmp_path, np.full(SIZE, 51, np.uint8)), SIZE)
    cpu = torch.device("cpu")
    assert mask.on(cpu) is mask.on(cpu)
    assert mask.on(cpu).shape == (1, 1, *SIZE) and mask.on(cpu)[0, 0, 3, 4] == pytest.approx(0.2)
