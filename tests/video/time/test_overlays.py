"""Text and logos are found in a video; what passes by, or what it passes, is not taken for one."""

from dataclasses import dataclass

import cv2
import numpy as np
import pytest

from zoomin_d2.video.time.overlays import STEPS, find_overlays
from zoomin_d2.video.time.pixels import Pixels

HEIGHT, WIDTH = 96, 128
TEXT = (slice(40, 52), slice(50, 90))


@dataclass
class Frame:
    image: np.ndarray
    begins_shot: bool = False
    overlay: np.ndarray | None = None

    @property
    def luma(self) -> np.ndarray:
        return Pixels(self.image).luma


def texture(width: int) -> np.ndarray:
    noise = np.random.default_rng(0).integers(0, 256, (HEIGHT, width, 3), dtype=np.uint8)
    return cv2.GaussianBlur(noise, (5, 5), 1.5)


def letters(image: np.ndarray, value: int = 255) -> np.ndarray:
    """Bars 2 pixels wide with gaps of 2, as wide strokes have."""
    image = image.copy()
    for left in range(50, 90, 4):
        image[40:52, left : left + 2] = value
    return image


def pan(count: int, speed: int = 3, text: bool = True) -> list[Frame]:
    wide = texture(WIDTH + speed * count)
    views = [wide[:, speed * i : speed * i + WIDTH] for i in range(count)]
    return [Frame(letters(view) if text else view.copy()) for view in views]


def overlays(frames: list[Frame]) -> list[np.ndarray | None]:
    found = [frame.overlay for frame in find_overlays(iter(frames))]
    assert len(found) == len(frames)
    return found


def test_text_over_motion_is_found():
    found = overlays(pan(10))
    assert found[0] is None  # no step leads to it
    for overlay in found[1:]:
        bars = overlay[40:52, 50:52]
        assert overlay.dtype == np.uint8 and (bars == 255).mean() > 0.9
        assert set(np.unique(overlay)) == {0, 128, 255}
        assert overlay[:36].max() == overlay[56:].max() == 0


def test_text_is_found_while_it_stands():
    found = overlays(pan(300))
    assert all((overlay[40:52, 50:52] == 255).mean() > 0.9 for overlay in found[1:])


def test_16_bits_and_alpha_give_the_same():
    expected = overlays(pan(8))[3]
    deep = [Frame(frame.image.astype(np.uint16) * 257) for frame in pan(8)]
    opaque = [Frame(np.dstack([f.image, np.full((HEIGHT, WIDTH), 255, np.uint8)])) for f in pan(8)]
    for frames in (deep, opaque):
        assert (overlays(frames)[3] == expected).mean() > 0.999


def test_codec_noise_is_no_motion():
    frames, random = pan(10), np.random.default_rng(1)
    for frame in frames:
        noise = random.integers(-4, 5, (HEIGHT, WIDTH, 1))
        frame.image = np.clip(frame.image + noise, 0, 255).astype(np.uint8)
    assert (overlays(frames)[5][40:52, 50:52] == 255).mean() > 0.9


def test_a_pan_alone_has_no_overlay():
    assert overlays(pan(10, text=False)) == [None] * 10


def test_what_a_ball_passes_is_no_overlay():
    wall = np.full((HEIGHT, WIDTH, 3), 60, np.uint8)
    wall[:, ::4] = 220  # edges that stand still everywhere
    frames = [Frame(wall.copy()) for _ in range(8)]
    for i, frame in enumerate(frames):
        cv2.circle(frame.image, (10 + 15 * i, 48), 6, (140, 140, 140), -1)
    between = [x for x in range(10, 118) if (x - 10) % 15 > 6 and (x - 10) % 15 < 9]
    for overlay in overlays(frames):
        assert overlay is None or not overlay[48, between].any()


def test_sky_between_branches_is_no_overlay():
    """Flat pixels that bars pass stand still for a while, but without an edge that does."""
    sky = np.full((HEIGHT, WIDTH, 3), 200, np.uint8)
    frames = [Frame(sky.copy()) for _ in range(10)]
    for i, frame in enumerate(frames):
        for left in range(0, WIDTH, 40):
            x = (left + 5 * i) % WIDTH
            frame.image[:, x : x + 3] = 40
    assert overlays(frames) == [None] * 10


def test_a_cut_ends_an_overlay():
    """Text on both sides of a cut, but each shot has its own windows."""
    frames = [*pan(STEPS + 1), *pan(STEPS)]  # the second shot has a step too few
    frames[STEPS + 1].begins_shot = True
    found = overlays(frames)
    assert all(x is not None for x in found[1 : STEPS + 1])
    assert found[STEPS + 1 :] == [None] * STEPS


def test_text_that_appears_and_goes():
    frames = pan(24)
    bare = pan(24, text=False)
    for i in [*range(8), *range(16, 24)]:
        frames[i].image = bare[i].image
    shown = [x is not None and bool((x[TEXT] == 255).any()) for x in overlays(frames)]
    assert shown == [9 <= i <= 15 for i in range(24)]  # the steps between frames that have it


@pytest.mark.parametrize("start", [1, 3])
def test_a_step_depends_on_nearby_frames(start):
    """A resumed run begins to read in the middle."""
    whole = overlays(pan(24))
    part = overlays(pan(24)[start:])
    for i in range(start + STEPS, 24):
        assert np.array_equal(whole[i], part[i - start])
