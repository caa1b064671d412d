"""ROIs of frames: which of them have the most motion, and how good a method is inside one.

Frames are RGB uint8 arrays (H, W, 3); boxes are XYXY in whole pixels.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor
from torchvision.ops import box_iou

Box = tuple[int, int, int, int]
# pred and truth, (3, h, w) uint8 -> number, or None if it is undefined
RoiMetric = Callable[[Tensor, Tensor], float | None]

_FOCUS = 33  # pixels
_MAX_IOU = 0.3  # between two ROIs of one image


class RankedRoi(NamedTuple):
    """One ROI of one image."""

    name: str  # file_name of the image
    box: Box
    difficulty: float  # RMS difference of `rank_rois`'s frame and the truth there, 0..255


def rank_rois(
    name: str,
    boxes: Iterable[Box],
    frame: np.ndarray,
    truth: np.ndarray,
    min_side: int = 24,
    max_side: float = float("inf"),
) -> list[RankedRoi]:
    """The squares around the boxes of one image, those where a frame is farthest from truth first.

    With the average of the inputs, these are the ROIs with the most motion: how hard a ROI is then
    depends only on the data, not on the methods to be shown.

    Args:
        name: the image's name.
        boxes: those whose shorter side is below `min_side` or whose longer side is above `max_side`
            pixels are left out; so is one that overlaps a harder one (IoU above 0.3).
        frame: the average of the inputs, or what a method made.
    """
    squared = (frame.astype(np.float32) - truth) ** 2
    rois = []
    for x0, y0, x1, y1 in boxes:
        if min(x1 - x0, y1 - y0) >= min_side and max(x1 - x0, y1 - y0) <= max_side:
            box = grow_to_square((x0, y0, x1, y1), *truth.shape[:2])
            inside = squared[box[1] : box[3], box[0] : box[2]]
            rois.append(RankedRoi(name, box, float(inside.mean() ** 0.5)))
    kept: list[RankedRoi] = []
    for roi in sorted(rois, key=lambda roi: -roi.difficulty):
        if all(_iou(roi.box, other.box) <= _MAX_IOU for other in kept):
            kept.append(roi)
    return kept


def choose_rois(
    rois: Iterable[RankedRoi], num: int, per_image: int = 1, per_scene: int | None = None
) -> list[RankedRoi]:
    """The hardest `num`, with limits per image and per scene (folder of images)."""
    images: Counter = Counter()
    scenes: Counter = Counter()
    chosen: list[RankedRoi] = []
    for roi in sorted(rois, key=lambda roi: -roi.difficulty):
        scene = roi.name.rpartition("/")[0]
        is_full = per_scene is not None and scenes[scene] >= per_scene
        if len(chosen) < num and images[roi.name] < per_image and not is_full:
            images[roi.name] += 1
            scenes[scene] += 1
            chosen.append(roi)
    return chosen


def grow_to_square(box: Box, height: int, width: int) -> Box:
    """The smallest square around a box inside the frame; if none fits, the largest part."""
    x0, y0, x1, y1 = box
    side = max(x1 - x0, y1 - y0)
    new_width, new_height = min(side, width), min(side, height)
    left = min(max(x0 - (new_width - (x1 - x0)) // 2, 0), width - new_width)
    top = min(max(y0 - (new_height - (y1 - y0)) // 2, 0), height - new_height)
    return left, top, left + new_width, top + new_height


def find_focus(box: Box, average: np.ndarray, truth: np.ndarray) -> tuple[float, float, float]:
    """Where a ROI moves most: (x, y) as shares of its sides, and how hard it is (`RankedRoi`).

    If nothing moves, it is the middle. Motion is the mean over _FOCUS x _FOCUS pixels.
    """
    x0, y0, x1, y1 = box
    error = (average[y0:y1, x0:x1].astype(np.float32) - truth[y0:y1, x0:x1]) ** 2
    error = cv2.blur(error.mean(axis=2), (_FOCUS, _FOCUS), borderType=cv2.BORDER_CONSTANT)
    y, x = np.unravel_index(int(error.argmax()), error.shape)
    difficulty = float(error.mean() ** 0.5)
    if difficulty == 0:
        return 0.5, 0.5, 0.0
    return (int(x) + 0.5) / (x1 - x0), (int(y) + 0.5) / (y1 - y0), difficulty


def score_roi(
    pred: np.ndarray, truth: np.ndarray, box: Box, metrics: Mapping[str, RoiMetric]
) -> dict[str, float | None]:
    """PSNR (8-bit RGB; None if identical) and other metrics of the pixels inside a box."""
    x0, y0, x1, y1 = box
    crop, real = (np.ascontiguousarray(frame[y0:y1, x0:x1]) for frame in (pred, truth))
    scores: dict[str, float | None] = {
        "PSNR": None if np.array_equal(crop, real) else cv2.PSNR(crop, real)
    }
    tensors = [torch.from_numpy(part).permute(2, 0, 1) for part in (crop, real)]
    return scores | {name: metric(*tensors) for name, metric in metrics.items()}


def _iou(one: Box, other: Box) -> float:
    return box_iou(torch.tensor([one]).float(), torch.tensor([other]).float()).item()
