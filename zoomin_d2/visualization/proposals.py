"""Proposals on a frame, and a sheet that zooms into them.

Frames are RGB tensors (3, H, W), uint8 or float in [0, 1]; boxes are Detectron2's `Boxes`, XYXY in
absolute pixels, the best first; pictures are RGB uint8 arrays (H, W, 3).
"""

from collections.abc import Mapping

import cv2
import matplotlib
import numpy as np
from detectron2.structures import Boxes
from detectron2.utils.visualizer import Visualizer
from torch import Tensor

from zoomin_d2.visualization.panel import tile_pictures, to_picture


def draw_proposals(frame: Tensor, boxes: Boxes, scale: float = 1.0) -> np.ndarray:
    """Class-free boxes on a frame, numbered from 1 by rank, each rank in its own color.

    Args:
        frame: (3, H, W).
        boxes: `proposals.proposal_boxes` of the frame.
        scale: the picture is this many times larger than the frame.
    """
    visualizer = Visualizer(to_picture(frame), scale=scale)
    drawn = visualizer.overlay_instances(
        boxes=boxes.to("cpu"),
        labels=[str(rank + 1) for rank in range(len(boxes))],
        assigned_colors=[rank_color(rank) for rank in range(len(boxes))],
    )
    return drawn.get_image()


def rank_color(rank: int) -> tuple[float, float, float]:
    """RGB in [0, 1] of the box with this rank (0 is the best), the same in every picture."""
    # Steps of the golden angle: bright hues, and neighbors in rank are far apart in color.
    return matplotlib.colormaps["hsv"](rank * 0.381966 % 1)[:3]


def zoom_panel(
    frames: Mapping[str, Tensor],
    boxes: Boxes,
    *,
    truth: str = "truth",
    zoom_size: int = 192,
    max_rois: int = 8,
) -> np.ndarray:
    """One row per ROI: where it is, then the ROI from every frame, zoomed to one size.

    All ROIs become `zoom_size` squares, as for the discriminator. The frame's name is followed by
    the ROI's PSNR (8-bit RGB, whole pixels) against the true frame, if there is one and it has the
    frame's size.

    Args:
        frames: name of the column -> (3, H, W), in order. A frame may be an integer factor larger
            than the first one (the high-resolution truth).
        boxes: R boxes in pixels of the first frame; the first `max_rois` are shown.
        truth: name of the true frame; it may be missing.
        zoom_size: pixels.

    Raises:
        ValueError: there is no box, or a frame is not an integer factor larger than the first.
    """
    if len(boxes) == 0:
        raise ValueError("there are no boxes to zoom into")
    pictures = {name: to_picture(frame) for name, frame in frames.items()}
    first = next(iter(pictures.values()))
    factors = {name: _factor(name, picture, first) for name, picture in pictures.items()}
    tiles = []
    for rank, box in enumerate(boxes.tensor[:max_rois].tolist()):
        x0, y0, x1, y1 = whole_pixels(box, *first.shape[:2])
        overview = mark_box(first, (x0, y0, x1, y1), rank, zoom_size)
        tiles.append((f"ROI {rank + 1}: {x1 - x0} x {y1 - y0} px", overview))
        crops = {
            name: picture[y0 * s : y1 * s, x0 * s : x1 * s]
            for (name, picture), s in zip(pictures.items(), factors.values())
        }
        for name, crop in crops.items():
            caption = name
            if truth in crops and name != truth and factors[name] == factors[truth]:
                caption = f"{name}: {_format_psnr(crop, crops[truth])}"
            tiles.append((caption, zoom(crop, (zoom_size, zoom_size))))
    return tile_pictures(tiles, columns=1 + len(frames), font_size=13)


def _factor(name: str, picture: np.ndarray, first: np.ndarray) -> int:
    factor = max(picture.shape[0] // first.shape[0], 1)
    if picture.shape[:2] != (first.shape[0] * factor, first.shape[1] * factor):
        raise ValueError(
            f"the frame '{name}' has {picture.shape[1]} x {picture.shape[0]} pixels, which is not "
            f"an integer multiple of the first frame's {first.shape[1]} x {first.shape[0]}"
        )
    return factor


def whole_pixels(box: list[float], height: int, width: int) -> tuple[int, int, int, int]:
    """The box rounded to pixel borders inside the frame, at least one pixel in size."""
    x0, y0, x1, y1 = (round(value) for value in box)
    x0, y0 = min(max(x0, 0), width - 1), min(max(y0, 0), height - 1)
    return x0, y0, min(max(x1, x0 + 1), width), min(max(y1, y0 + 1), height)


def mark_box(
    frame: np.ndarray, box: tuple[int, int, int, int], rank: int, width: int
) -> np.ndarray:
    """The frame, `width` pixels wide, with the box in the color of its rank."""
    scale = width / frame.shape[1]
    size = (width, max(round(frame.shape[0] * scale), 1))
    picture = cv2.resize(frame, size, interpolation=cv2.INTER_AREA)
    x0, y0, x1, y1 = (round(value * scale) for value in box)
    color = [round(255 * channel) for channel in rank_color(rank)]
    return cv2.rectangle(picture, (x0, y0), (x1 - 1, y1 - 1), color, thickness=2)


def zoom(crop: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resized to (width, height): area averaging if a side shrinks, cubic if it grows."""
    shrunk = (min(crop.shape[1], size[0]), min(crop.shape[0], size[1]))
    crop = cv2.resize(crop, shrunk, interpolation=cv2.INTER_AREA)
    return cv2.resize(crop, size, interpolation=cv2.INTER_CUBIC)


def _format_psnr(crop: np.ndarray, truth: np.ndarray) -> str:
    if np.array_equal(crop, truth):
        return "identical"
    return f"{cv2.PSNR(crop, truth):.1f} dB"
