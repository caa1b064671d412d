#!/usr/bin/env python3
"""Proposal recall of any Detectron2 detection config on a COCO-style json.

    projects/rpn/evaluate_proposals.py --config-file zoo:rpn_R_18_FPN.yaml \
        --weights zoo:rpn_R_18_FPN --short-side 256 \
        --json $DETECTRON2_DATASETS/voc07/voc07_holdout.json --images $DETECTRON2_DATASETS/voc07

Only the backbone and the proposal generator of the config are built. Boxes are XYXY pixels of the
image resized to the short side; objects with `iscrowd` or `difficult` are not counted. `R50@k` is
the share of objects that one of the k best proposals covers with IoU >= 0.5; `AR@k` is the mean of
that share over IoU 0.5, 0.55, .., 0.95 (both in percent). Sizes are COCO's: box area below 32^2,
from 32^2 to 96^2, above 96^2 pixels.
"""

import logging
from collections import defaultdict

import numpy as np
import torch
from detectron2.checkpoint import DetectionCheckpointer
from detectron2.config import CfgNode, get_cfg
from detectron2.data import DatasetCatalog, build_detection_test_loader
from detectron2.evaluation import DatasetEvaluator, inference_on_dataset
from detectron2.modeling import build_model
from detectron2.structures import Boxes, BoxMode, pairwise_iou
from detectron2.utils import comm
from detectron2.utils.file_io import PathManager
from detectron2.utils.logger import setup_logger
from safetensors.torch import load_file
from tabulate import tabulate
from torch import Tensor

from zoomin_d2.cli.tool_arguments import ToolParser
from zoomin_d2.data.datasets.detection import load_detection_json
from zoomin_d2.modeling.zoo_paths import get_config_path

LIMITS = (10, 16, 30, 100, 300)
IOU_THRESHOLDS = np.arange(0.5, 0.951, 0.05)
SIZES = {"small": (0.0, 32.0**2), "medium": (32.0**2, 96.0**2), "large": (96.0**2, np.inf)}


def matched_overlaps(proposals: Tensor, gt_boxes: Tensor) -> Tensor:
    """IoU with which each object is covered if every proposal may cover only one object.

    Pairs are taken greedily, largest IoU first, as in Detectron2's box proposal evaluation.

    Args:
        proposals: (P, 4) XYXY.
        gt_boxes: (G, 4) XYXY.

    Returns:
        (G,) IoU in [0, 1]; 0 where no proposal is left.
    """
    covered = torch.zeros(len(gt_boxes))
    overlaps = pairwise_iou(Boxes(proposals), Boxes(gt_boxes))
    for _ in range(min(overlaps.shape)):
        p, g = divmod(int(overlaps.argmax()), overlaps.shape[1])
        if overlaps[p, g] <= 0:
            break
        covered[g] = overlaps[p, g]
        overlaps[p, :] = -1
        overlaps[:, g] = -1
    return covered


def summarize_recall(overlaps: dict[int, np.ndarray], areas: np.ndarray) -> dict[str, float]:
    """Recall in percent from the matched IoU of every object.

    Args:
        overlaps: number of proposals k -> (G,) IoU per object, in [0, 1].
        areas: (G,) box areas in pixels^2.

    Returns:
        `R50@k`, `AR@k` for all objects and `R50_small@k`, .. by size; nan where there is no object.
    """
    sizes = {"": np.ones(len(areas), dtype=bool)}
    sizes.update({f"_{n}": (areas >= lo) & (areas < hi) for n, (lo, hi) in SIZES.items()})
    results = {}
    for k, iou in overlaps.items():
        # + 1e-6: an IoU of exactly 0.6 counts at 0.6, whatever float32 rounds it to
        hits = iou[:, None] + 1e-6 >= IOU_THRESHOLDS[None]
        for size, chosen in sizes.items():
            recalls = hits[chosen].mean(axis=0) * 100 if chosen.any() else np.full(10, np.nan)
            results[f"R50{size}@{k}"] = float(recalls[0])
            results[f"AR{size}@{k}"] = float(recalls.mean())
    return results


class ProposalRecallEvaluator(DatasetEvaluator):
    """Collects matched IoUs of the `proposals` of a ProposalNetwork; see the module docstring.

    Args:
        records: Detectron2 detection dicts with `annotations` (`difficult` optional).
        short_side: pixels; the scale at which object sizes are measured.
    """

    def __init__(self, records: list[dict], short_side: int = 256, limits=LIMITS) -> None:
        self._records = {r["image_id"]: r for r in records}
        self._short_side = short_side
        self._limits = limits
        self.reset()

    def reset(self) -> None:
        self._overlaps = defaultdict(list)
        self._areas = []

    def process(self, inputs: list[dict], outputs: list[dict]) -> None:
        for image, output in zip(inputs, outputs):
            record = self._records[image["image_id"]]
            gt_boxes = torch.tensor(
                [
                    BoxMode.convert(a["bbox"], a["bbox_mode"], BoxMode.XYXY_ABS)
                    for a in record["annotations"]
                    if not a.get("iscrowd") and not a.get("difficult")
                ]
            ).reshape(-1, 4)
            proposals = output["proposals"].to("cpu")
            order = proposals.objectness_logits.argsort(descending=True)
            boxes = proposals.proposal_boxes.tensor[order].float()
            for k in self._limits:
                self._overlaps[k].append(matched_overlaps(boxes[:k], gt_boxes))
            scale = self._short_side / min(record["height"], record["width"])
            self._areas.append(Boxes(gt_boxes).area() * scale**2)

    def evaluate(self) -> dict | None:
        gathered = comm.gather((dict(self._overlaps), self._areas))
        if not comm.is_main_process():
            return None
        overlaps = {
            k: torch.cat([x for per_rank, _ in gathered for x in per_rank[k]]).numpy()
            for k in self._limits
        }
        areas = torch.cat([x for _, per_rank in gathered for x in per_rank]).numpy()
        results = summarize_recall(overlaps, areas)
        logging.getLogger(__name__).info(
            "Recall in percent over %d objects:\n%s", len(areas), format_table(results)
        )
        return {"proposals": results}


def format_table(results: dict[str, float]) -> str:
    """`results` of `summarize_recall` as a markdown table, one row per number of proposals."""
    columns = [f"{m}{s}" for s in ("", *(f"_{n}" for n in SIZES)) for m in ("R50", "AR")]
    limits = sorted({int(key.split("@")[1]) for key in results})
    rows = [[k, *(results[f"{c}@{k}"] for c in columns)] for k in limits]
    return tabulate(rows, headers=["proposals", *columns], floatfmt=".2f", tablefmt="github")


def build_proposal_network(cfg: CfgNode) -> torch.nn.Module:
    """Backbone and proposal generator of a detection config, with MODEL.WEIGHTS, in eval mode."""
    cfg = cfg.clone()
    cfg.MODEL.META_ARCHITECTURE = "ProposalNetwork"
    model = build_model(cfg)
    weights = PathManager.get_local_path(cfg.MODEL.WEIGHTS)
    if weights.endswith(".safetensors"):
        model.load_state_dict(load_file(weights), strict=True)
    else:
        DetectionCheckpointer(model).load(weights)
    return model.eval()


def main() -> None:
    parser = ToolParser(__doc__)
    parser.add_argument("--weights", required=True, help=".pth, .pkl, .safetensors or zoo:...")
    parser.add_argument("--json", required=True, help="COCO-style annotations")
    parser.add_argument("--images", required=True, help="folder of the json's file names")
    parser.add_argument("--short-side", type=int, default=256, help="pixels (default: 256)")
    parser.add_config()  # a detection yaml: a path, or zoo:...
    args = parser.parse_args()
    if not args.config_file:
        parser.error("--config-file is required: a detection yaml, or zoo:NAME.yaml")
    setup_logger()
    setup_logger(name=__name__)

    cfg = get_cfg()
    cfg.merge_from_file(get_config_path(args.config_file))
    cfg.MODEL.WEIGHTS = args.weights
    cfg.INPUT.MIN_SIZE_TEST = args.short_side
    cfg.INPUT.MAX_SIZE_TEST = 100 * args.short_side  # only the short side matters
    cfg.DATALOADER.NUM_WORKERS = 2
    if not torch.cuda.is_available():
        cfg.MODEL.DEVICE = "cpu"
    cfg.merge_from_list(args.opts)

    records = load_detection_json(args.json, args.images)
    name = "evaluate_proposals"
    DatasetCatalog.register(name, lambda: records)
    inference_on_dataset(
        build_proposal_network(cfg),
        build_detection_test_loader(cfg, name),
        ProposalRecallEvaluator(records, args.short_side),
    )


if __name__ == "__main__":
    main()
