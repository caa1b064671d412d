#!/usr/bin/env python3
"""Score methods without learning on datasets, through the evaluator that scores our models.

    tools/evaluate_baselines.py --dataset middlebury_other ucf101_interp_test
    tools/evaluate_baselines.py --dataset triplets_dev --config-file configs/roigan.yaml

With a config, also inside the proposals of its frozen detector (ROI_PSNR, ROI_IE). Results land in
OUTPUT_DIR/<baseline>/<dataset>/results.json.
"""

import argparse
import os
import shlex
import sys

import torch
from tqdm import tqdm

from zoomin_d2.data import MissingDatasetError, build_interpolation_test_loader
from zoomin_d2.engine.resilience.provenance import git_commit
from zoomin_d2.engine.setup import setup_cfg
from zoomin_d2.evaluation import BASELINES, InterpolationEvaluator, format_results_table
from zoomin_d2.modeling.frozen_rpn import build_frozen_rpn


def evaluate(args: argparse.Namespace, dataset_name: str) -> dict[str, dict[str, float]]:
    """Scores of the baselines on one dataset: baseline name -> {metric name: mean}."""
    cfg = setup_cfg(args.config_file, args.opts)
    frozen_rpn = build_frozen_rpn(cfg) if args.config_file else None
    evaluators = {
        name: InterpolationEvaluator(
            dataset_name,
            os.path.join(args.output_dir, name, dataset_name),
            num_saved=cfg.TEST.NUM_SAVED,
            extra_metrics=cfg.TEST.METRICS,
            provenance={
                "method": name,
                "commit": git_commit(),
                "command": shlex.join([os.path.basename(sys.executable), *sys.argv]),
            },
        )
        for name in args.baseline
    }
    for inputs in tqdm(
        build_interpolation_test_loader(cfg, dataset_name), desc=dataset_name, disable=None
    ):
        frame_1, frame_2, frame_t = (
            torch.stack([sample[key] for sample in inputs]) / 255
            for key in ("frame_1", "frame_2", "frame_t")
        )
        t = torch.tensor([sample["t"] for sample in inputs])
        shared = [{} for _ in inputs]
        if frozen_rpn is not None:
            proposals = frozen_rpn.proposals(frame_t.to(cfg.MODEL.DEVICE))
            shared = [{"proposals": instances} for instances in proposals]
        for name, evaluator in evaluators.items():
            frames = BASELINES[name](frame_1, frame_2, t)
            evaluator.process(inputs, [{"pred_frame": f, **s} for f, s in zip(frames, shared)])
    return {name: e.evaluate()["interpolation"] for name, e in evaluators.items()}


def main(args: argparse.Namespace) -> dict[str, dict[str, dict[str, float]]]:
    results = {}
    for dataset_name in args.dataset:
        results[dataset_name] = evaluate(args, dataset_name)
        print(f"\n## {dataset_name}\n")
        print(format_results_table(results[dataset_name], first_column="baseline"), flush=True)
    return results


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dataset", nargs="+", required=True, help="names in the DatasetCatalog")
    parser.add_argument("--baseline", nargs="+", choices=BASELINES, default=list(BASELINES))
    parser.add_argument("--config-file", default="", help="a config whose proposals are the ROIs")
    parser.add_argument("--output-dir", default="output/baselines")
    parser.add_argument("--opts", nargs="+", default=[], help="config overrides, KEY VALUE ...")
    return parser.parse_args(argv)


if __name__ == "__main__":
    try:
        main(parse_args())
    except (MissingDatasetError, ValueError, FileNotFoundError) as error:
        sys.exit(f"evaluate_baselines: {error}")
