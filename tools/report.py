#!/usr/bin/env python3
"""One page to look at, from the results that evaluations have saved.

    tools/report.py output/fast output/roigan output/baselines --output output/report
    tools/report.py fast=output/run_7 rife=scores/ --output output/report --title "Run 7"

Every source is a folder with results.json somewhere below it (what tools/train_net.py and
tools/evaluate_baselines.py leave), and NAME=FOLDER names the method. The page opens from disk
(index.html), needs no network, and can be copied or zipped as a folder. Pictures come from the
frames that each evaluation has saved (TEST.NUM_SAVED), for those images that all methods of
a dataset share. tools/train_net.py writes the page of its own evaluation to OUTPUT_DIR/report.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from zoomin_d2.engine import setup_cfg
from zoomin_d2.evaluation import METRICS
from zoomin_d2.evaluation.lpips import MIN_SIZE, MissingLPIPSWeightsError, shared_lpips
from zoomin_d2.modeling.frozen_rpn import build_frozen_rpn
from zoomin_d2.visualization.quality_plot import Cost
from zoomin_d2.visualization.report import Scores, find_scores, write_report
from zoomin_d2.visualization.report.triplets import RoiMetric


class ShippedProposals:
    """The RPN of the default config, built at the first frame that needs it."""

    def __init__(self):
        self._frozen_rpn = None

    def __call__(self, frame: Tensor) -> Tensor:
        """(3, H, W) uint8 -> boxes (R, 4) XYXY pixels, the best first."""
        if self._frozen_rpn is None:
            self._frozen_rpn = build_frozen_rpn(setup_cfg("", []))
        device = next(self._frozen_rpn.parameters()).device
        frames = frame[None].float().to(device) / 255
        return self._frozen_rpn.proposals(frames)[0].proposal_boxes.tensor


def roi_metrics() -> dict[str, RoiMetric]:
    """LPIPS of a ROI's pixels where its weights are installed and the ROI is large enough."""
    try:
        model = shared_lpips(torch.device("cpu"))
    except MissingLPIPSWeightsError as error:
        print(f"ROIs are shown without LPIPS: {error}", file=sys.stderr)
        return {}

    def lpips(pred: Tensor, truth: Tensor) -> float | None:
        if min(pred.shape[-2:]) < MIN_SIZE:
            return None
        return model(pred[None], truth[None])[0].item()

    return {"LPIPS": lpips}


def find_costs(scores: Sequence[Scores]) -> dict[str, Cost]:
    """Parameters of the methods whose results say so."""
    return {
        item.method: Cost(parameters=item.provenance["parameters"])
        for item in scores
        if "parameters" in item.provenance
    }


def benchmark_costs(path: Path) -> tuple[dict[str, Cost], str]:
    """Time and parameters of the methods of a benchmark.json (tools/benchmark.py), and of what.

    Of each method its fastest mode, one pair at a time, at the size most methods were timed at.

    Raises:
        ValueError: the file is none, or has no latencies.
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
        raise ValueError(f"{path} is no file of tools/benchmark.py ({error!r})") from error
    if not timed:
        raise ValueError(f"{path} has no latencies")
    methods: dict[tuple[int, int], set[str]] = {}
    for row in timed:
        methods.setdefault((row["width"], row["height"]), set()).add(row["method"])
    width, height = max(methods, key=lambda size: (len(methods[size]), size[0] * size[1]))
    costs: dict[str, Cost] = {}
    for row in timed:
        if (row["width"], row["height"]) != (width, height):
            continue
        before = costs.get(row["method"])
        if before is None or row["median_ms"] < before.milliseconds:
            parameters = facts.get(row["method"], {}).get("parameters")
            costs[row["method"]] = Cost(row["median_ms"], parameters)
    return costs, f"{width} x {height}, {device}"


def main(args: argparse.Namespace) -> Path:
    scores = find_scores(args.sources)
    costs, time_label = find_costs(scores), ""
    if args.benchmark is not None:
        measured, time_label = benchmark_costs(args.benchmark)
        costs |= measured
    page = write_report(
        args.output,
        scores,
        METRICS,
        title=args.title,
        max_triplets=args.max_triplets,
        costs=costs,
        time_label=time_label,
        roi_metrics=roi_metrics(),
        propose=ShippedProposals(),
    )
    methods = {item.method for item in scores}
    datasets = {item.dataset for item in scores}
    print(f"{len(methods)} methods on {', '.join(sorted(datasets))}: {page}")
    return page


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sources", nargs="+", metavar="[NAME=]FOLDER")
    parser.add_argument("--output", type=Path, default=Path("output/report"))
    parser.add_argument("--title", default="Interpolation report")
    parser.add_argument("--benchmark", type=Path, help="benchmark.json, for quality against time")
    parser.add_argument("--max-triplets", type=int, default=12, help="per dataset")
    return parser.parse_args(argv)


if __name__ == "__main__":
    try:
        main(parse_args())
    except (ValueError, OSError) as error:
        sys.exit(f"report: {error}")
