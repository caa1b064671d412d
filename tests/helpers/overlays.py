"""Text, a HUD, a logo and a subtitle, painted over frames."""

import cv2
import numpy as np

_FONT = cv2.FONT_HERSHEY_SIMPLEX


def overlay_of(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """(colors (H, W, 3), opacity (H, W) in [0, 1]) for frames of at least 160 x 90 pixels."""
    colors, opacity = np.zeros((height, width, 3), np.float32), np.zeros((height, width, 1))
    unit = height / 180

    def at(x: float, y: float) -> tuple[int, int]:
        return round(x * unit), round(y * unit)

    def put(color, draw) -> None:
        nonlocal colors, opacity
        canvas = np.zeros((height, width), np.uint8)
        draw(canvas)
        above = canvas[..., None] / 255
        total = above + opacity * (1 - above)
        mixed = above * np.float32(color) + colors * opacity * (1 - above)
        colors, opacity = mixed / np.maximum(total, 1e-6), total

    def text(words, place, size, color, border=0) -> None:
        def draw(canvas):
            thickness = max(1, round(unit))
            cv2.putText(canvas, words, place, _FONT, size * unit, 255, thickness, cv2.LINE_AA)
            if border:
                cv2.dilate(canvas, np.ones((border, border), np.uint8), canvas)

        put(color, draw)

    put((20, 24, 40), lambda x: cv2.rectangle(x, at(6, 6), at(70, 28), 255, -1))
    put((60, 220, 80), lambda x: cv2.rectangle(x, at(10, 20), at(58, 25), 255, -1))
    text("HP 87", at(10, 17), 0.35, (255, 255, 255))
    right = width / unit
    put((250, 200, 0), lambda x: cv2.circle(x, at(right - 24, 20), round(9 * unit), 255, 2, 16))
    text("TV", at(right - 31, 23), 0.3, (255, 255, 255))
    line = "We should have left."
    place = at(right / 2 - 68, 166)
    text(line, place, 0.42, (0, 0, 0), border=3)
    text(line, place, 0.42, (255, 255, 255))
    return colors, opacity[..., 0]


def paint(image: np.ndarray, overlay: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """(H, W, 3) uint8 with an overlay over it."""
    colors, opacity = overlay
    mixed = image * (1 - opacity[..., None]) + colors * opacity[..., None]
    return np.rint(mixed).astype(np.uint8)
