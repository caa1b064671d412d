"""What is changed in a made frame: doubtful pixels, still ones, overlays, and the user's mask."""

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import cv2
import numpy as np

from zoomin_d2.frames import CorruptFrameError, read_image
from zoomin_d2.video.errors import OptionError
from zoomin_d2.video.time.alpha import mix_images

Unsure = Literal["keep", "nearest", "blend"]

# Doubt (inference/doubt.py) from which a pixel begins to be replaced, and wholly is.
DOUBT_FROM, DOUBT_TO = 0.08, 0.12
WHOLE_FRAME = 0.5  # a larger share of unsure pixels replaces the whole frame
MIN_SHARE = 0.001  # a frame with a smaller share of unsure pixels does not count
# Pixels that are equal in both frames are kept where the made frame is at most so many levels of
# 255 off: a larger difference may be something that passes between the two.
EQUAL_WITHIN = 16
_KERNEL = np.ones((3, 3), np.uint8)


@dataclass(frozen=True)
class Protected:
    """A made frame after this module.

    Attributes:
        image: (H, W, 3 or 4), as it was made.
        unsure: the share of its pixels that were unsure, 0 to 1; 0 below MIN_SHARE.
        has_overlay: whether pixels of an overlay were kept.
    """

    image: np.ndarray
    unsure: float = 0.0
    has_overlay: bool = False


class Mask:
    """A picture that is white where frames must not be interpolated.

    Args:
        file: an image; gray levels are weights.
        size: (height, width) of the frames.

    Attributes:
        weights: (H, W) uint8; 255 shows the nearer frame.

    Raises:
        OptionError: the file is not an image of that size.
    """

    def __init__(self, file: str | os.PathLike, size: tuple[int, int]):
        try:
            image = read_image(Path(file))
        except CorruptFrameError as error:
            raise OptionError(f"mask {error.file_name}: {error.reason}") from error
        self.weights = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        if image.shape[:2] != size:
            raise OptionError(
                f"mask {file} has {image.shape[1]}x{image.shape[0]} pixels, but the frames have "
                f"{size[1]}x{size[0]}: make it that size"
            )


def fingerprint(mask: str | os.PathLike | None) -> str | None:
    """Of the content of a mask, for resuming; None for none or one that cannot be read."""
    try:
        return None if mask is None else hashlib.sha256(Path(mask).read_bytes()).hexdigest()[:16]
    except OSError:
        return None


def equal_pixels(a: np.ndarray, b: np.ndarray) -> np.ndarray | None:
    """(H, W) uint8, 255 where 3 x 3 pixels are equal in two frames; None if nowhere.

    A single equal pixel in something that moves is chance.
    """
    equal = _within(cv2.absdiff(a, b), 0)
    equal = cv2.morphologyEx(equal, cv2.MORPH_OPEN, _KERNEL)
    return equal if equal.any() else None


class Protection:
    """Changes the made frames of one video.

    Args:
        keep_still: equal pixels and overlays stay as they are.
        unsure: what stands in for doubtful pixels; "keep": what was made.
        mask: None: no mask.

    Raises:
        OptionError: there is no such `unsure`.
    """

    def __init__(self, keep_still: bool, unsure: Unsure, mask: Mask | None):
        if unsure not in get_args(Unsure):
            raise OptionError(f"unsure must be {', '.join(get_args(Unsure))}, got '{unsure}'")
        self._keep_still, self._unsure, self._mask = keep_still, unsure, mask

    def between(
        self, a: np.ndarray, b: np.ndarray, overlay: np.ndarray | None
    ) -> Callable[[np.ndarray, float, np.ndarray | None], Protected]:
        """What changes the frames between two: called with a made frame, its time in (0, 1), and
        its doubt, (H, W) in [0, 1] or None.

        Args:
            a, b: (H, W, 3 or 4), the frames before and after.
            overlay: (H, W) uint8 weights from overlays.py; None: no overlay.
        """
        equal = equal_pixels(a, b) if self._keep_still else None

        def protect(image: np.ndarray, t: float, doubt: np.ndarray | None) -> Protected:
            nearer, share = a if t <= 0.5 else b, 0.0
            if doubt is not None:
                weights, share = _unsure_weights(doubt)
                other = nearer if self._unsure == "nearest" else _Faded(a, b, t)
                image = _mixed(image, other, weights)
            if equal is not None:
                image = _with_equal(image, a, equal)
            if overlay is not None:
                image = _mixed(image, _Faded(a, b, t), overlay)
            if self._mask is not None:  # what changes in it, like a counter, must not fade
                image = _mixed(image, nearer, self._mask.weights)
            return Protected(image, share, overlay is not None)

        return protect


def _unsure_weights(doubt: np.ndarray) -> tuple[np.ndarray, float]:
    """How much of every pixel to replace, (H, W) uint8, and the share of unsure pixels."""
    weights = np.clip((doubt - DOUBT_FROM) * (255 / (DOUBT_TO - DOUBT_FROM)), 0, 255)
    share = float((weights > 127).mean())
    weights = np.full_like(weights, 255) if share > WHOLE_FRAME else np.rint(weights)
    return weights.astype(np.uint8), share if share >= MIN_SHARE else 0.0


def _with_equal(made: np.ndarray, a: np.ndarray, equal: np.ndarray) -> np.ndarray:
    scale = 1 if a.dtype == np.uint8 else 257
    close = _within(cv2.absdiff(made, a), EQUAL_WITHIN * scale)
    made = made.copy()
    cv2.copyTo(a, cv2.bitwise_and(equal, close), made)
    return made


class _Faded:
    """A cross-fade of two frames, made only where it is asked for."""

    def __init__(self, a: np.ndarray, b: np.ndarray, t: float):
        self._a, self._b, self._t = a, b, t

    def __getitem__(self, place: np.ndarray) -> np.ndarray:
        a, b = self._a[place][None], self._b[place][None]
        return mix_images(a, b, self._t)[0]


def _mixed(made: np.ndarray, other: np.ndarray | _Faded, weights: np.ndarray) -> np.ndarray:
    """`made` with `other` in it, by weights (H, W) uint8; straight alpha counts."""
    place = weights > 0
    if not place.any():
        return made
    weight = weights[place][None, :, None].astype(np.float32) / 255
    result = made.copy()
    result[place] = mix_images(made[place][None], other[place][None], weight)[0]
    return result


def _within(difference: np.ndarray, level: int) -> np.ndarray:
    """(H, W) uint8, 255 where every channel of a difference is at most `level`."""
    return cv2.inRange(difference, (0,) * 4, (level,) * 4)
