"""What is changed in a made frame: equal pixels, overlays, the mask, and what is unsure."""

import cv2
import numpy as np
import pytest

from zoomin_d2.video.errors import OptionError
from zoomin_d2.video.time.protection import Mask, Protection, equal_pixels

SIZE = (20, 30)


def plain(value, dtype=np.uint8, channels=3):
    return np.full((*SIZE, channels), value, dtype)


def mask_file(tmp_path, weights):
    cv2.imwrite(str(tmp_path / "mask.png"), weights)
    return tmp_path / "mask.png"


def test_off_means_off():
    made = plain(7)
    protect = Protection(False, "keep", None).between(plain(1), plain(1), None)
    assert protect(made, 0.5, None).image is made


def test_equal_pixels_need_equal_neighbors():
    a, b = plain(10), plain(20)
    b[3, 4] = 10  # by chance
    b[10:14, 10:15] = 10
    found = equal_pixels(a, b)
    assert found.dtype == np.uint8 and np.count_nonzero(found) == 20
    assert (found[10:14, 10:15] == 255).all()
    assert equal_pixels(a, plain(11)) is None


@pytest.mark.parametrize(("dtype", "scale"), [(np.uint8, 1), (np.uint16, 257)])
def test_equal_pixels_stay_exactly_equal(dtype, scale):
    a = np.random.default_rng(0).integers(0, 200, (*SIZE, 3)).astype(dtype) * scale
    made = (a + 16 * scale).astype(dtype)
    made[5, 5, 1] += scale  # something that passes between the two
    done = Protection(True, "keep", None).between(a, a.copy(), None)(made, 0.3, None)
    expected = a.copy()
    expected[5, 5] = made[5, 5]
    assert np.array_equal(done.image, expected) and done.image.dtype == dtype


def test_an_overlay_fades_to_the_other():
    overlay = np.zeros(SIZE, np.uint8)
    overlay[2:4, 2:4] = 255
    overlay[6, 6] = 51  # a fifth
    done = Protection(True, "keep", None).between(plain(100), plain(108), overlay)
    done = done(plain(200), 0.25, None)
    assert done.has_overlay
    assert (done.image[2:4, 2:4] == 102).all()
    assert (done.image[6, 6] == 180).all()  # 200 + (102 - 200) / 5 = 180.4
    assert np.count_nonzero(done.image != 200) == 5 * 3


def test_transparent_colors_do_not_bleed():
    """Straight alpha: the colors of a clear pixel do not count."""
    a, b = plain(0, channels=4), plain(0, channels=4)
    a[..., :] = (90, 90, 90, 255)
    b[..., :] = (10, 10, 10, 0)
    overlay = np.full(SIZE, 255, np.uint8)
    done = Protection(True, "keep", None).between(a, b, overlay)(b, 0.5, None)
    assert (done.image == (90, 90, 90, 128)).all()


@pytest.mark.parametrize(("t", "nearer"), [(0.25, 10), (0.5, 10), (0.75, 20)])
def test_the_mask_shows_the_nearer_frame(tmp_path, t, nearer):
    weights = np.zeros(SIZE, np.uint8)
    weights[:5], weights[5] = 255, 51
    mask = Mask(mask_file(tmp_path, weights), SIZE)
    image = Protection(False, "keep", mask).between(plain(10), plain(20), None)
    image = image(plain(200), t, None).image
    assert (image[:5] == nearer).all() and (image[6:] == 200).all()
    assert (image[5] == 200 - (200 - nearer) / 5).all()


@pytest.mark.parametrize(("unsure", "value"), [("nearest", 40), ("blend", 20)])
def test_unsure_pixels_are_replaced(unsure, value):
    """0.12 and above wholly, 0.08 and below not, softly between."""
    doubt = np.full(SIZE, 0.08, np.float32)
    doubt[3, :6], doubt[4, 0] = 0.12, 0.10
    done = Protection(False, unsure, None).between(plain(0), plain(40), None)
    # t = 0.51: 40 is nearer, the fade is 20.4
    done = done(plain(200), 0.51, doubt)
    assert (done.image[3, :6] == value).all()
    assert abs(int(done.image[4, 0, 0]) - (200 + value) / 2) <= 1
    assert np.count_nonzero(done.image != 200) == 7 * 3
    assert done.unsure == pytest.approx(7 / 600, abs=1 / 600)


def test_a_mostly_unsure_frame_falls_back():
    doubt = np.full(SIZE, 0.12, np.float32)
    doubt[:9] = 0.0  # 11 of 20 rows are unsure
    done = Protection(False, "nearest", None).between(plain(5), plain(9), None)
    done = done(plain(200), 0.4, doubt)
    assert (done.image == 5).all() and done.unsure == pytest.approx(0.55)


def test_a_few_pixels_do_not_count():
    doubt = np.zeros((100, 100), np.float32)
    doubt[0, :9] = 1.0
    a = np.zeros((100, 100, 3), np.uint8)
    done = Protection(False, "blend", None).between(a, a, None)(a + 9, 0.5, doubt)
    assert done.unsure == 0 and (done.image[0, :9] == 0).all()


def test_wrong_masks_are_named(tmp_path):
    file = mask_file(tmp_path, np.zeros((10, 30), np.uint8))
    with pytest.raises(OptionError, match=r"mask\.png has 30x10 pixels, but .* 30x20"):
        Mask(file, SIZE)
    file.write_text("no image")
    with pytest.raises(OptionError, match=r"mask\.png: is not an image"):
        Mask(file, SIZE)
    with pytest.raises(OptionError, match=r"none\.png: cannot be read"):
        Mask(tmp_path / "none.png", SIZE)


def test_an_unknown_fallback_is_named():
    with pytest.raises(OptionError, match="keep, nearest, blend, got 'drop'"):
        Protection(True, "drop", None)
