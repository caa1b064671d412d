"""Figures like the paper's, from saved evaluations: the same ROI under each method.

The data decides which ROIs are shown, not the methods: the ROIs where the average of the inputs is
farthest from the truth, which means the most motion, at most one per image. Failures are the
exception: the ROIs where one method is farthest from the truth.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from detectron2.structures import Boxes

from zoomin_d2.visualization.panel import stack_pictures, tile_pictures
from zoomin_d2.visualization.proposals import draw_proposals, mark_box, zoom
from zoomin_d2.visualization.report.saved import (
    Propose,
    as_tensor,
    find_boxes,
    read_frame,
    shared_frames,
)
from zoomin_d2.visualization.report.scores import Scores
from zoomin_d2.visualization.roi_grid import RoiRow, draw_roi_grid
from zoomin_d2.visualization.roi_ranking import (
    RankedRoi,
    RoiMetric,
    choose_rois,
    rank_rois,
    score_roi,
)

_GAP = 16  # pixels between a frame and the grid below it


def hardest_rois(
    scores: Sequence[Scores],
    num: int,
    propose: Propose | None = None,
    method: str = "average",
    per_scene: int | None = None,
) -> list[RankedRoi]:
    """The ROIs where a method is farthest from the truth, at most one per image, worst first.

    Args:
        scores: methods on one dataset; only images whose frames all of them have saved are used.
        propose: finds ROIs if none are saved.
        method: one of `scores`, or "average": that of the inputs fails where most moves.
        per_scene: most of one scene (folder of images).

    Raises:
        ValueError: there is no such ROI.
    """
    shared = set.intersection(*(set(item.saved_frames) for item in scores))
    rois: list[RankedRoi] = []
    for name in sorted(shared):
        # Each method's frame is a file to decode: read them only for a method's own ROIs.
        frames = (shared_frames if method == "average" else _frames)(name, scores)
        if method in frames:
            boxes = find_boxes(name, scores, frames["truth"], propose)
            rois += rank_rois(name, boxes, frames[method], frames["truth"])
    if not rois:
        raise ValueError(
            f"no image of '{scores[0].dataset}' has saved frames of every method and a large "
            "enough ROI: evaluate with TEST.NUM_SAVED above 0"
        )
    return choose_rois(rois, num, per_scene=per_scene)


def roi_row(
    roi: RankedRoi, frames: Mapping[str, np.ndarray], metrics: Mapping[str, RoiMetric]
) -> RoiRow:
    """One row of `draw_roi_grid`: the ROI, its frames (column -> frame) and their numbers."""
    truth = frames["truth"]
    numbers = {}
    for name, frame in frames.items():
        if name != "truth":
            scores = score_roi(frame, truth, roi.box, metrics)
            scores["PSNR"] = math.inf if scores["PSNR"] is None else scores["PSNR"]
            numbers[name] = {key: value for key, value in scores.items() if value is not None}
    x0, y0, x1, y1 = roi.box
    caption = (roi.name.split("/", 1)[-1], f"{x1 - x0} x {y1 - y0} px")
    return RoiRow(caption, roi.box, dict(frames), numbers)


def roi_rows(
    scores: Sequence[Scores], rois: Sequence[RankedRoi], metrics: Mapping[str, RoiMetric]
) -> list[RoiRow]:
    """The rows of `draw_roi_grid` for saved evaluations."""
    rows = []
    for roi in rois:
        frames = _frames(roi.name, scores)
        rows.append(roi_row(roi, {"truth": frames.pop("truth"), **frames}, metrics))
    return rows


def frame_figure(
    scores: Sequence[Scores], rois: Sequence[RankedRoi], width: int = 360
) -> np.ndarray:
    """Like Fig. 5 and 6: whole frames with the ROI marked, and the enlarged ROI below each.

    Args:
        width: width of a frame in the figure, pixels.
    """
    rows = []
    for roi in rois:
        x0, y0, x1, y1 = roi.box
        frames = _frames(roi.name, scores)
        whole = [(key, mark_box(frame, roi.box, 0, width)) for key, frame in frames.items()]
        parts = []
        for key, frame in frames.items():
            crop = frame[y0:y1, x0:x1]
            height = max(round(width * crop.shape[0] / crop.shape[1]), 1)
            parts.append((f"{key}, enlarged", zoom(crop, (width, min(height, width)))))
        rows.append(tile_pictures([*whole, *parts], columns=len(frames), font_size=14))
    return stack_pictures(rows)


def teaser(rows: Sequence[RoiRow], boxes: Boxes, method: str, max_boxes: int = 8) -> np.ndarray:
    """A frame that a method made, with proposals, above the grid of some of its ROIs.

    Args:
        rows: ROIs of one image.
        boxes: proposals of the image, in pixels, the best first; `max_boxes` of them are drawn.
        method: the column whose frame is shown large.

    Returns:
        (H, W, 4) uint8 RGBA; the grid's background is transparent.
    """
    grid = draw_roi_grid(rows)
    pred = rows[0].frames[method]
    drawn = draw_proposals(as_tensor(pred), boxes[:max_boxes], scale=grid.shape[1] / pred.shape[1])
    drawn = np.dstack((drawn, np.full(drawn.shape[:2], 255, np.uint8)))
    missing = [(0, _GAP), (0, grid.shape[1] - drawn.shape[1]), (0, 0)]
    return np.concatenate((np.pad(drawn, missing), grid))


def _frames(name: str, scores: Sequence[Scores]) -> dict[str, np.ndarray]:
    """Average, then every method, then the truth."""
    shared = shared_frames(name, scores)
    frames = {"average": shared["average"]} if "average" in shared else {}
    frames |= {x.method: read_frame(x.saved_frames[name] / "pred_frame.png") for x in scores}
    return {**frames, "truth": shared["truth"]}
