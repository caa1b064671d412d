"""Proposals of the RPN on the frames of the output."""

import warnings
from dataclasses import replace

import cv2
import numpy as np
import torch

from zoomin_d2.extras import extra
from zoomin_d2.frames import to_tensor
from zoomin_d2.video.time.pipeline import OutputFrame

NUM_BOXES = 12


class ProposalDrawing:
    """Changes an output frame: the best boxes that the RPN of the package proposes on it.

    Boxes on frames that were made are full lines, on source frames thin ones.

    Args:
        device: where the RPN runs.
        num_boxes: how many are drawn, each rank in a colour of its own.

    Raises:
        ModuleNotFoundError: Detectron2 or what it needs is not installed; says what to do.
    """

    def __init__(self, device: str | torch.device, num_boxes: int = NUM_BOXES):
        with extra("train", "drawing proposals"):
            from zoomin_d2.config import get_zoomin_cfg
            from zoomin_d2.modeling.frozen_rpn import FrozenRPN
            from zoomin_d2.visualization.proposals import rank_colour
        # Detectron2's anchors, nothing that a user could do anything about.
        warnings.filterwarnings("ignore", message="torch.meshgrid")
        self._colour = rank_colour
        cfg = get_zoomin_cfg()
        cfg.MODEL.DEVICE = str(device)
        self._device, self._num_boxes = device, num_boxes
        self._rpn = FrozenRPN(cfg).to(device).eval()

    def __call__(self, frame: OutputFrame) -> OutputFrame:
        with torch.no_grad():
            proposals = self._rpn.proposals(to_tensor(frame.image, self._device))[0]
        image = np.ascontiguousarray(frame.image).copy()
        full = int(np.iinfo(image.dtype).max)
        thick = max(1, round(image.shape[0] / 360))
        boxes = proposals.proposal_boxes.tensor[: self._num_boxes].cpu().numpy()
        for rank in reversed(range(len(boxes))):
            x0, y0, x1, y1 = (round(float(value)) for value in boxes[rank])
            colour = [full * channel for channel in self._colour(rank)]
            width = 2 * thick if frame.kind == "made" else thick
            cv2.rectangle(image, (x0, y0), (x1 - 1, y1 - 1), colour, width)
        return replace(frame, image=image)
