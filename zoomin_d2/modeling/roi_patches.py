"""Zooming in: frames and proposals go in, patches of one size come out (section 3.3).

Shape shorthand in this module:

    N: number of images; M: patches per image (PROPOSALS.NUM for each of PATCH_SCALES)
    S: patch side in pixels
"""

from collections.abc import Sequence

import torch
from detectron2.layers import ROIAlign
from detectron2.structures import Instances

from zoomin_d2.frames import to_float


def pad_proposals(proposals: list[Instances], num: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Boxes of a batch as one tensor; empty slots are zeros.

    Args:
        proposals: N Instances with ``proposal_boxes``; the first ``num`` of each are used.

    Returns:
        boxes (N, num, 4) float32, XYXY pixels; num_valid (N,) int64, the "extra number recording
        valid ROI numbers in each image".
    """
    device = proposals[0].proposal_boxes.device
    boxes = torch.zeros(len(proposals), num, 4, device=device)
    for slot, instances in zip(boxes, proposals):
        kept = instances.proposal_boxes.tensor[:num]
        slot[: len(kept)] = kept
    num_valid = torch.tensor([min(len(p), num) for p in proposals], device=device)
    return boxes, num_valid


def scale_boxes(
    boxes: torch.Tensor, scales: Sequence[str], size: int, frame_size: Sequence[int]
) -> torch.Tensor:
    """For each scale in turn the boxes that are cut: (N, M, 4) -> (N, M * len(scales), 4).

    Args:
        boxes: XYXY, in pixels of the frame.
        scales: "zoomed", the boxes themselves, which patches show at ``size`` pixels, or "native",
            the square of ``size`` pixels around each box's center, moved into the frame.
        frame_size: (H, W).
    """
    cut = {"zoomed": boxes}
    if "native" in scales:
        height, width = frame_size
        limits = boxes.new_tensor([width, height])
        side = limits.clamp(max=size)
        corner = (boxes[..., :2] + boxes[..., 2:] - side) / 2
        corner = torch.minimum(corner.clamp(min=0), limits - side).round()
        cut["native"] = torch.cat((corner, corner + side), dim=-1)
    return torch.cat([cut[scale] for scale in scales], dim=1)


def valid_slots(num_valid: torch.Tensor, num: int) -> torch.Tensor:
    """(N,) counts -> (N, num) bool, True where a slot holds a proposal."""
    return torch.arange(num, device=num_valid.device) < num_valid[:, None]


def crop_roi_patches(
    frames: torch.Tensor, boxes: torch.Tensor, size: int, scale: float = 1.0
) -> torch.Tensor:
    """Cut every box from its frame and zoom it to ``size`` x ``size`` with bilinear ROIAlign.

    ROIAlign averages as many bilinear samples per output pixel as the box has pixels there, so
    that large boxes are not aliased. Gradients flow into ``frames``, not into the boxes.

    Args:
        frames: (N, 3, H, W), any range.
        boxes: (N, M, 4) XYXY, in pixels of a frame ``scale`` times smaller than ``frames``.
        scale: 1 for the frame the boxes were found on, hr_scale for its high-resolution partner.

    Returns:
        (N * M, 3, size, size) float32; the patches of empty slots are arbitrary: mask them.
    """
    n, m = boxes.shape[:2]
    image_index = torch.arange(n, device=boxes.device).repeat_interleave(m)
    rois = torch.cat((image_index[:, None].float(), boxes.reshape(-1, 4).float()), dim=1)
    # ROIAlign casts boxes to the dtype of the image: half precision would move them.
    with torch.autocast(frames.device.type, enabled=False):
        return ROIAlign(size, spatial_scale=scale, sampling_ratio=0, aligned=True)(
            frames.float(), rois
        )


def crop_real_patches(
    frame_t: torch.Tensor,
    frame_t_hr: list[torch.Tensor | None],
    hr_scale: list[int],
    boxes: torch.Tensor,
    size: int,
) -> torch.Tensor:
    """Real patches, from the high-resolution frame if there is one, else from ``frame_t``.

    Args:
        frame_t: (N, 3, H, W).
        frame_t_hr: per image (3, H * s, W * s), aligned with frame_t, or None; uint8 or float in
            [0, 1].
        hr_scale: per image the integer s; ignored if there is no high-resolution frame.
        boxes: (N, M, 4) XYXY in pixels of ``frame_t``.

    Returns:
        (N * M, 3, size, size) float32, as `crop_roi_patches` of the same boxes.

    Raises:
        ValueError: a high-resolution frame is not s times as large as ``frame_t``.
    """
    m = boxes.shape[1]
    height, width = frame_t.shape[2:]
    for frame, s in zip(frame_t_hr, hr_scale):
        if frame is not None and frame.shape != (3, height * s, width * s):
            raise ValueError(
                f"frame_t_hr is {tuple(frame.shape)}: with hr_scale {s} and frames of {height} x "
                f"{width} it must be {(3, height * s, width * s)}"
            )
    # Images of one scale (and one range of values) go through ROIAlign together.
    groups: dict[tuple[int, torch.dtype], list[int]] = {}
    for i, frame in enumerate(frame_t_hr):
        kind = (1, frame_t.dtype) if frame is None else (hr_scale[i], frame.dtype)
        groups.setdefault(kind, []).append(i)
    patches = frame_t.new_empty(len(frame_t), m, 3, size, size, dtype=torch.float32)
    for (scale, _), members in groups.items():
        partners = [(frame_t[i], frame_t_hr[i]) for i in members]
        frames = torch.stack([low if high is None else high for low, high in partners])
        cropped = crop_roi_patches(to_float(frames), boxes[members], size, float(scale))
        patches[members] = cropped.view(len(members), m, 3, size, size)
    return patches.flatten(0, 1)


def clamp_straight_through(frames: torch.Tensor) -> torch.Tensor:
    """Frames clamped to [0, 1], as in a file; the gradient passes as if they were not clamped.

    Real frames have no values outside [0, 1]: a discriminator would recognize fakes by theirs.
    Without a gradient there, the generator would not learn to return to the range.
    """
    return _Clamp.apply(frames)


class _Clamp(torch.autograd.Function):
    @staticmethod
    def forward(_ctx, frames: torch.Tensor) -> torch.Tensor:
        return frames.clamp(0, 1)

    @staticmethod
    def backward(_ctx, gradient: torch.Tensor) -> torch.Tensor:
        return gradient
