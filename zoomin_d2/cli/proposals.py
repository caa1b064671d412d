"""Proposals of the RPN on the frames of the output."""

import warnings
from dataclasses import replace

import cv2
import numpy as np
import torch

from zoomin_d2.extras import extra
from zoomin_d2.frames import to_tensor
from zoomin_d2.video.time.pipeline import OutputFrame
from zoomin_d2.video.time.pixels import Pixels

NUM_BOXES = 12


class ProposalDrawing:
    """Draws the best proposals of the package's RPN on an output frame.

    Boxes have thick lines on interpolated frames, and thin lines on source frames.

    Args:
        device: where the RPN runs.
        num_boxes: how many are drawn, each rank in its own color.

    Raises:
        ModuleNotFoundError: Detectron2 or a package it needs is missing; the message says what to
            install.
    """

    def __init__(self, device: str | torch.device, num_boxes: int = NUM_BOXES):
        with extra("train", "drawing proposals"):
            from zoomin_d2.modeling.frozen_rpn import build_frozen_rpn
            from zoomin_d2.visualization.proposals import rank_color
        # The warning is about Detectron2's anchors; a user cannot do anything about it.
        warnings.filterwarnings("ignore", message="torch.meshgrid")
        self._color = rank_color
        self._device, self._num_boxes = device, num_boxes
        self._rpn = build_frozen_rpn(device=device)

    def __call__(self, frame: OutputFrame) -> OutputFrame:
        with torch.no_grad():
            proposals = self._rpn.proposals(to_tensor(frame.image, self._device))[0]
        image = np.ascontiguousarray(frame.image).copy()
        full = int(np.iinfo(image.dtype).max)
        thick = max(1, round(image.shape[0] / 360))
        boxes = proposals.proposal_boxes.tensor[: self._num_boxes].cpu().numpy()
        for rank in reversed(range(len(boxes))):
            x0, y0, x1, y1 = (round(float(value)) for value in boxes[rank])
            color = [full * channel for channel in self._color(rank)]
            width = 2 * thick if frame.kind == "made" else thick
            cv2.rectangle(image, (x0, y0), (x1 - 1, y1 - 1), color, width)
        return replace(frame, pixels=Pixels(image))
