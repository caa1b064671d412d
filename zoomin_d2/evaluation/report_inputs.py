"""What a report page or a figure needs besides the scores: proposals, ROI metrics, costs."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from zoomin_d2.evaluation.benchmark.report import common_size
from zoomin_d2.evaluation.lpips import MIN_SIZE, MissingLPIPSWeightsError, shared_lpips
from zoomin_d2.modeling.frozen_rpn import FrozenRPN, build_frozen_rpn
from zoomin_d2.visualization.quality_plot import Cost
from zoomin_d2.visualization.report import Scores
from zoomin_d2.visualization.report.triplets import RoiMetric


class ShippedProposals:
    """The RPN of the default config, built at the first frame that needs it."""

    def __init__(self) -> None:
        self._frozen_rpn: FrozenRPN | None = None

    def __call__(self, frame: Tensor) -> Tensor:
        """(3, H, W) uint8 -> boxes (R, 4) XYXY pixels, the best first."""
        if self._frozen_rpn is None:
            self._frozen_rpn = build_frozen_rpn()
        device = next(self._frozen_rpn.parameters()).device
        frames = frame[None].float().to(device) / 255
        return self._frozen_rpn.proposals(frames)[0].proposal_boxes.tensor


def roi_metrics() -> dict[str, RoiMetric]:
    """LPIPS of a ROI's pixels, if its weights are installed and the ROI is large enough."""
    try:
        model = shared_lpips(torch.device("cpu"))
    except MissingLPIPSWeightsError as error:
        print(f"Showing ROIs without LPIPS: {error}", file=sys.stderr)
        return {}

    def lpips(pred: Tensor, truth: Tensor) -> float | None:
        if min(pred.shape[-2:]) < MIN_SIZE:
            return None
        return model(pred[None], truth[None])[0].item()

    return {"LPIPS": lpips}


def find_costs(scores: Sequence[Scores]) -> dict[str, Cost]:
    """Parameters of the methods whose results record them."""
    return {
        item.method: Cost(parameters=item.provenance["parameters"])
        for item in scores
        if "parameters" in item.provenance
    }


def benchmark_costs(path: Path) -> tuple[dict[str, Cost], str]:
    """Time and parameters per method of a benchmark.json (tools/benchmark.py), and a time label.

    Each method is in its fastest mode, one pair at a time, at their `common_size`.

    Raises:
        ValueError: the file is not a benchmark.json, or has no latencies.
    """
    try:
        content = json.loads(path.read_text())
        timed = [
            row
            for row in content["rows"]
            if row["what"] == "latency" and row.get("batch") == 1 and "error" not in row
        ]
        facts, device = content["methods"], content["machine"]["device"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} was not written by tools/benchmark.py ({error!r})") from error
    size = common_size(content)
    if size is None:
        raise ValueError(f"{path} has no latencies")
    width, height = size
    costs: dict[str, Cost] = {}
    for row in timed:
        if (row["width"], row["height"]) != (width, height):
            continue
        before = costs.get(row["method"])
        if before is None or row["median_ms"] < before.milliseconds:
            parameters = facts.get(row["method"], {}).get("parameters")
            costs[row["method"]] = Cost(row["median_ms"], parameters)
    return costs, f"{width} x {height}, {device}"
