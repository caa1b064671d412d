"""Detectron2's RPN, which chooses the boxes of all images of a batch with the same operations."""

import torch
from detectron2.modeling import PROPOSAL_GENERATOR_REGISTRY
from detectron2.modeling.proposal_generator import RPN
from detectron2.structures import Boxes, Instances

from zoomin_d2.modeling.batched_nms import keep_after_nms

_MAX_CANDIDATES = 1000  # boxes per image that go into NMS


@PROPOSAL_GENERATOR_REGISTRY.register()
class BatchedRPN(RPN):
    """An RPN for inference on frames of one size; it does not wait for the GPU once per image.

    Gives the same boxes as Detectron2's, with two differences: sides of exactly ``min_box_size``
    are kept, and at most a thousand boxes per image go into NMS, far more than are wanted.
    """

    @torch.no_grad()
    def predict_proposals(
        self,
        anchors: list[Boxes],
        pred_objectness_logits: list[torch.Tensor],
        pred_anchor_deltas: list[torch.Tensor],
        image_sizes: list[tuple[int, int]],
    ) -> list[Instances]:
        """Like RPN's.

        Args:
            pred_objectness_logits, pred_anchor_deltas: per level (N, A) and (N, A, 4).
            image_sizes: (H, W) per image, all equal.
        """
        parts = []
        decoded = self._decode_proposals(anchors, pred_anchor_deltas)
        for level, (level_scores, level_boxes) in enumerate(zip(pred_objectness_logits, decoded)):
            num = min(level_scores.shape[1], self.pre_nms_topk[False])
            best, index = level_scores.topk(num, dim=1)
            chosen = level_boxes.gather(1, index[..., None].expand(-1, -1, 4))
            parts.append((best, chosen, torch.full_like(index, level)))
        scores, boxes, levels = (torch.cat(x, dim=1) for x in zip(*parts))
        height, width = image_sizes[0]
        limit = boxes.new_tensor([width, height, width, height])
        usable = scores.isfinite() & boxes.isfinite().all(dim=2)
        boxes = boxes.nan_to_num().clamp(min=0).minimum(limit)
        # Small boxes are removed before NMS, or they would suppress larger ones.
        usable &= (boxes[..., 2:] - boxes[..., :2] >= self.min_box_size).all(dim=2)
        scores = scores.masked_fill(~usable, -torch.inf)
        scores, index = scores.topk(min(scores.shape[1], _MAX_CANDIDATES), dim=1)
        boxes = boxes.gather(1, index[..., None].expand(-1, -1, 4))

        valid = keep_after_nms(boxes, levels.gather(1, index), self.nms_thresh)
        valid &= scores.isfinite()
        num_kept = self.post_nms_topk[False]
        order = valid.byte().argsort(dim=1, descending=True, stable=True)[:, :num_kept]
        chosen = boxes.gather(1, order[..., None].expand(-1, -1, 4))
        scores = scores.gather(1, order)
        counts = valid.sum(dim=1).clamp(max=num_kept).tolist()
        return [
            Instances(
                image_sizes[0],
                proposal_boxes=Boxes(chosen[n, :count]),
                objectness_logits=scores[n, :count],
            )
            for n, count in enumerate(counts)
        ]
