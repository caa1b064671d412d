"""A grid of ROIs (like the paper's Fig. 1 and 3): one row each, one column per method.

The background is transparent (alpha 0), and the letters are of a gray that is readable on white and
on black, so that one picture works on light and dark pages.
"""

import math
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import cv2
import numpy as np
from matplotlib import font_manager
from PIL import Image, ImageDraw, ImageFont

from zoomin_d2.visualization.proposals import zoom

INK = (110, 119, 129)
_MARK = (255, 214, 10)  # color of the ROI's outline in its frame
_GAP = 12  # pixels between cells
_OVERVIEW = 1.5  # the first column is this much wider than a cell
# metric -> (format, whether larger is better)
_NUMBERS = {"PSNR": ("{:.1f} dB", True), "LPIPS": ("{:.3f}", False)}


class RoiRow(NamedTuple):
    """One ROI under every method."""

    caption: tuple[str, ...]  # lines below the frame that shows where the ROI is
    box: tuple[int, int, int, int]  # XYXY, whole pixels
    frames: dict[str, np.ndarray]  # column -> (H, W, 3) uint8 RGB; "truth" is one of them
    numbers: dict[str, dict[str, float]]  # column -> metric -> value inside the ROI


def draw_roi_grid(rows: Sequence[RoiRow], cell: int = 220) -> np.ndarray:
    """Where each ROI is, then the ROI from every frame, with its numbers; the best stand out.

    Args:
        rows: of the same columns.
        cell: pixels, width of a patch; the longer side of a ROI fills it.

    Returns:
        (H, W, 4) uint8 RGBA.

    Raises:
        ValueError: there are no rows, or not all have the same columns.
    """
    if not rows or any(list(row.frames) != list(rows[0].frames) for row in rows):
        raise ValueError("a grid needs at least one row, and the same columns in every row")
    columns = list(rows[0].frames)
    overview_width, size = round(_OVERVIEW * cell), max(cell // 10, 11)
    bar = round(1.6 * size)
    drawn = [_draw_row(row, cell, overview_width) for row in rows]
    heights = [_height(row, pictures, bar) for row, pictures in zip(rows, drawn)]
    lefts = [0] + [overview_width + _GAP + i * (cell + _GAP) for i in range(len(columns))]
    total = bar + sum(heights) + _GAP * (len(rows) - 1)
    sheet = Image.new("RGBA", (lefts[-1] + cell, total), (*INK, 0))
    pen = ImageDraw.Draw(sheet)
    for left, name in zip(lefts[1:], columns):
        pen.text((left + cell / 2, bar / 2), name, INK, _font(size, bold=True), anchor="mm")
    top = bar
    for row, pictures, height in zip(rows, drawn, heights):
        for left, picture in zip(lefts, pictures):
            sheet.paste(Image.fromarray(picture), (left, top))
        for line, text in enumerate(row.caption):
            middle = top + pictures[0].shape[0] + bar * (line + 0.5)
            pen.text((0, middle), text, INK, _font(size), anchor="lm")
        for left, name in zip(lefts[1:], columns):
            for line, metric in enumerate(_shown(row)):
                text, is_best = _number(row, metric, name)
                middle = top + pictures[1].shape[0] + bar * (line + 0.5)
                font = _font(size, bold=is_best)
                pen.text((left + cell / 2, middle), text, INK, font, anchor="mm")
        top += height + _GAP
    return np.asarray(sheet)


def _height(row: RoiRow, pictures: Sequence[np.ndarray], line: int) -> int:
    """The height of the frame with its caption, or of the patches with their numbers."""
    overview, patch = pictures[0].shape[0], pictures[1].shape[0]
    return max(overview + line * len(row.caption), patch + line * len(_shown(row)))


def _draw_row(row: RoiRow, cell: int, overview_width: int) -> list[np.ndarray]:
    """The frame with the ROI marked, then the ROI of every column."""
    x0, y0, x1, y1 = row.box
    truth = row.frames["truth"]
    scale = overview_width / truth.shape[1]
    overview = zoom(truth, (overview_width, max(round(truth.shape[0] * scale), 1))).copy()
    corners = [round(v * scale) for v in row.box]
    for color, thickness in (((0, 0, 0), 5), (_MARK, 2)):  # a dark rim, for bright frames
        cv2.rectangle(overview, corners[:2], [v - 1 for v in corners[2:]], color, thickness)
    enlarge = cell / max(x1 - x0, y1 - y0)
    size = (max(round((x1 - x0) * enlarge), 1), max(round((y1 - y0) * enlarge), 1))
    return [overview, *(zoom(frame[y0:y1, x0:x1], size) for frame in row.frames.values())]


def _shown(row: RoiRow) -> list[str]:
    """The metrics that at least one column has."""
    return [name for name in _NUMBERS if any(name in n for n in row.numbers.values())]


def _number(row: RoiRow, metric: str, column: str) -> tuple[str, bool]:
    """The text below a patch (below the truth: the metric's name), and whether it is the best."""
    form, larger_wins = _NUMBERS[metric]
    values = {name: numbers[metric] for name, numbers in row.numbers.items() if metric in numbers}
    if column not in values:
        return (metric if column == "truth" else ""), False
    best = (max if larger_wins else min)(values.values())
    text = "identical" if math.isinf(values[column]) else form.format(values[column])
    return text, form.format(values[column]) == form.format(best)


@cache
def _font(size: int, bold: bool = False) -> ImageFont.FreeTypeFont:
    """matplotlib's own font, the same on every machine."""
    weight = "bold" if bold else "normal"
    properties = font_manager.FontProperties(family="DejaVu Sans", weight=weight)
    return ImageFont.truetype(font_manager.findfont(properties), size)
