"""Input and result in one picture, with labels."""

from dataclasses import replace
from typing import Literal

import cv2
import numpy as np

from zoomin_d2.video.time.pipeline import OutputFrame
from zoomin_d2.video.time.pixels import Pixels

Layout = Literal["side", "split"]


class Comparison:
    """Changes an output frame into a comparison. The input is on the left, each frame held until
    the next one, as in a player; the result is on the right.

    Args:
        layout: "side" puts them side by side; "split" shows the left half of the input and the
            right half of the result.
        labels: captions of the two.
    """

    def __init__(self, layout: Layout, labels: tuple[str, str]):
        self._layout, self._labels = layout, labels

    def size(self, height: int, width: int) -> tuple[int, int]:
        """(height, width) of the comparison for frames of this size."""
        return (height, 2 * width) if self._layout == "side" else (height, width)

    def __call__(self, frame: OutputFrame) -> OutputFrame:
        before, after = frame.held.image, frame.image
        width = after.shape[1]
        if self._layout == "side":
            image, middle = np.concatenate([before, after], axis=1), width
        else:
            middle = width // 2
            image = np.concatenate([before[:, :middle], after[:, middle:]], axis=1)
        white = np.iinfo(image.dtype).max
        line = max(1, image.shape[0] // 360)
        image[:, middle - line : middle + line] = white
        right = image.shape[1]
        _label(image, self._labels[0], 0, middle - line)
        _label(image, f"{self._labels[1]}: {frame.kind}", middle + line, right)
        return replace(frame, pixels=Pixels(image))


def _label(image: np.ndarray, text: str, left: int, right: int) -> None:
    """White on a darkened strip at the top of columns [left, right), as large as fits."""
    height = image.shape[0]
    scale = max(0.3, height / 720)
    thickness = max(1, round(scale * 1.5))
    font = cv2.FONT_HERSHEY_SIMPLEX
    (width, text_height), base = cv2.getTextSize(text, font, scale, thickness)
    if width > right - left - 8:
        scale *= (right - left - 8) / width
        (width, text_height), base = cv2.getTextSize(text, font, scale, thickness)
    margin = max(2, text_height // 2)
    strip = np.s_[: text_height + base + 2 * margin, left : left + width + 2 * margin]
    image[strip] = image[strip] // 3
    # OpenCV only draws text on 8-bit images
    letters = np.zeros(image[strip].shape[:2], np.uint8)
    place = (margin, text_height + margin)
    cv2.putText(letters, text, place, font, scale, 255, thickness, cv2.LINE_AA)
    opacity = letters[..., None] / 255.0
    mixed = image[strip] * (1 - opacity) + opacity * np.iinfo(image.dtype).max
    image[strip] = np.rint(mixed).astype(image.dtype)
