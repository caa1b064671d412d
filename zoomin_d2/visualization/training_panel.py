"""The record of a training step in, one picture for TensorBoard out."""

from typing import Protocol

import cv2
import numpy as np
import torch
from detectron2.structures import Instances
from torch import Tensor

from zoomin_d2.visualization.panel import (
    interpolation_panel,
    stack_pictures,
    tile_pictures,
    to_picture,
)
from zoomin_d2.visualization.proposals import draw_proposals

_PATCHES_SHOWN = 5


class GeneratorOutput(Protocol):
    """The generator's results: (N, 3, H, W), (N, 2, H, W) in pixels, (N, 1, H, W)."""

    @property
    def pred_frame(self) -> Tensor: ...
    @property
    def coarse_frame(self) -> Tensor: ...
    @property
    def flow_1t(self) -> Tensor: ...
    @property
    def flow_2t(self) -> Tensor: ...
    @property
    def blend_mask(self) -> Tensor: ...


class TrainingStep(Protocol):
    """One step of training; fields that the recipe does not have are None."""

    frame_1: Tensor  # (N, 3, H, W) RGB in [0, 1]
    frame_t: Tensor
    frame_2: Tensor
    proposals: list[Instances] | None  # N, with proposal_boxes
    real: Tensor | None  # (N * M, 3, S, S) patches; whole frames are not drawn again
    fake: Tensor | None
    valid: Tensor | None  # (N, verdicts per image) bool: which verdicts count

    @property
    def outputs(self) -> GeneratorOutput: ...


def training_panel(step: TrainingStep) -> Tensor:
    """The first sample of a batch: frames, flows and mask, proposals, real and fake patches.

    The best five proposals are drawn on the true frame; beside it are their patches, each fake one
    below its real one.

    Returns:
        (3, H', W') uint8, as `EventStorage.put_image` expects it.
    """
    outputs = step.outputs
    panel = interpolation_panel(
        frame_1=step.frame_1[0],
        frame_2=step.frame_2[0],
        frame_t=step.frame_t[0],
        pred_frame=outputs.pred_frame[0],
        coarse_frame=outputs.coarse_frame[0],
        flow_1t=outputs.flow_1t[0],
        flow_2t=outputs.flow_2t[0],
        blend_mask=outputs.blend_mask[0],
    )
    if step.proposals is not None:
        panel = stack_pictures([panel, _draw_judged(step, panel.shape[1])])
    return torch.from_numpy(panel.copy()).permute(2, 0, 1)


def _draw_judged(step: TrainingStep, width: int) -> np.ndarray:
    """The true frame with the proposals and, beside it, their patches; `width` pixels wide."""
    assert step.proposals is not None and step.valid is not None
    assert step.real is not None and step.fake is not None  # all four come together
    boxes = step.proposals[0].proposal_boxes
    num_shown = min(int(step.valid[0].sum()), len(boxes), _PATCHES_SHOWN)
    caption = f"proposals: {num_shown} of {len(boxes)}"
    drawn = draw_proposals(step.frame_t[0], boxes[:num_shown])
    scale = 2 / 3 * width / drawn.shape[1]
    if scale < 1:  # a wide crop, whose pictures above are shrunk
        drawn = cv2.resize(drawn, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    drawn = tile_pictures([(caption, drawn)], columns=1)
    if num_shown == 0:
        return drawn
    side = (width - drawn.shape[1]) // _PATCHES_SHOWN - 4
    tiles = [
        (f"{kind} {rank + 1}", cv2.resize(to_picture(patches[rank]), (side, side)))
        for kind, patches in (("real", step.real), ("fake", step.fake))
        for rank in range(num_shown)
    ]
    return stack_pictures([drawn, tile_pictures(tiles, columns=num_shown)], axis=1)
