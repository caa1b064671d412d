"""The saved frames of several methods on one triplet go in; its pictures and ROIs come out.

Pictures are lossless WebP, because the zoom must show the pixels that were scored.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from zoomin_d2.visualization.flow import draw_flow_legend, draw_flows
from zoomin_d2.visualization.panel import draw_error
from zoomin_d2.visualization.proposals import rank_color
from zoomin_d2.visualization.report.saved import (
    FLOWS,
    Propose,
    as_tensor,
    find_boxes,
    read_frame,
    read_maps,
    shared_frames,
)
from zoomin_d2.visualization.report.scores import Scores
from zoomin_d2.visualization.roi_ranking import Box, RoiMetric, find_focus, score_roi

MAX_ROIS = 8


def export_triplet(
    name: str,
    scores: Sequence[Scores],
    folder: Path,
    url: str,
    roi_metrics: Mapping[str, RoiMetric],
    propose: Propose | None = None,
) -> dict:
    """Write the pictures of one triplet, and return what the page needs to know about it.

    Args:
        name: file_name of the image; each of `scores` has its frames saved.
        scores: the methods on the image's dataset.
        folder: gets the pictures; created if missing.
        url: the same folder as seen from the page.
        roi_metrics: name -> function, shown beside PSNR.
        propose: finds ROIs if no evaluation has saved any.

    Raises:
        ValueError: two methods have different true frames.
    """
    folder.mkdir(parents=True, exist_ok=True)
    frames = shared_frames(name, scores)
    truth = frames["truth"]
    pictures = {key: f"{key}.webp" for key in frames}
    for key, frame in frames.items():
        _save(folder / pictures[key], frame)
    methods = []
    preds = []
    for i, method in enumerate(scores):
        pred = read_frame(method.saved_frames[name] / "pred_frame.png")
        preds.append(pred)
        drawn = {"pred": pred, "error": draw_error(as_tensor(pred), as_tensor(truth))}
        details = read_maps(method.saved_frames[name])
        longest = None
        if "flow_1t" in details and "flow_2t" in details:
            flows = [torch.from_numpy(details[k].astype(np.float32)) for k in FLOWS]
            flow_pictures, longest = draw_flows(flows)
            draw_flow_legend(flow_pictures[0])
            drawn |= dict(zip(FLOWS, flow_pictures))
        if "blend_mask" in details:
            drawn["blend_mask"] = np.repeat(details["blend_mask"][..., None], 3, axis=2)
        for key, picture in drawn.items():
            _save(folder / f"{key}-{i}.webp", picture)
        methods.append(
            {
                "name": method.method,
                # An identical frame has an infinite PSNR, which json cannot hold.
                "scores": {
                    key: value if math.isfinite(value) else None
                    for key, value in method.images.get(name, {}).items()
                },
                "pictures": {key: f"{url}/{key}-{i}.webp" for key in drawn},
                "longest_flow": longest,
            }
        )
    boxes = find_boxes(name, scores, truth, propose)[:MAX_ROIS]
    return {
        "name": name,
        "height": truth.shape[0],
        "width": truth.shape[1],
        "pictures": {key: f"{url}/{file}" for key, file in pictures.items()},
        "methods": methods,
        "rois": [
            _roi(rank, box, truth, preds, frames.get("average"), roi_metrics)
            for rank, box in enumerate(boxes)
        ],
    }


def _roi(
    rank: int,
    box: Box,
    truth: np.ndarray,
    preds: Sequence[np.ndarray],
    average: np.ndarray | None,
    roi_metrics: Mapping[str, RoiMetric],
) -> dict:
    x, y, difficulty = (0.5, 0.5, 0.0) if average is None else find_focus(box, average, truth)
    color = ", ".join(str(round(255 * channel)) for channel in rank_color(rank))
    return {
        "box": list(box),
        "focus": [x, y],  # where the zoom looks first
        "difficulty": difficulty,
        "color": f"rgb({color})",
        "methods": [score_roi(pred, truth, box, roi_metrics) for pred in preds],
        "average": None if average is None else score_roi(average, truth, box, roi_metrics),
    }


def _save(path: Path, picture: np.ndarray) -> None:
    Image.fromarray(np.ascontiguousarray(picture)).save(path, lossless=True, method=1)
