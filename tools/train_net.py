#!/usr/bin/env python3
"""Train or evaluate an interpolation model.

    tools/train_net.py --config-file configs/roigan.yaml
    tools/train_net.py --config-file configs/roigan.yaml --resume
    tools/train_net.py --config-file configs/roigan.yaml --eval-only MODEL.WEIGHTS model_best.pth
    tools/train_net.py --config-file configs/roigan.yaml --num-gpus 2 SOLVER.IMS_PER_BATCH 64

Everything is written to OUTPUT_DIR: log.txt, metrics.json, TensorBoard events, checkpoints and
inference/<dataset>/results.json; at the end of an evaluation, also report/index.html, to look at.
With several machines (docs/reliability.md), run on each of them:

    tools/train_net.py --config-file C --num-gpus 8 --num-machines 2 --machine-rank R --dist-url U
    torchrun --nnodes 2 --nproc-per-node 8 --node-rank R --master-addr A tools/train_net.py ...
"""

import argparse
import logging
import os

import detectron2.utils.comm as comm
from detectron2.config import CfgNode
from detectron2.engine import default_argument_parser

from zoomin_d2.engine import InterpolationTrainer, run_distributed, setup_run
from zoomin_d2.engine.resilience.provenance import record_kept_until_trained
from zoomin_d2.evaluation import METRICS
from zoomin_d2.user_errors import add_debug_option
from zoomin_d2.visualization.report import find_scores, write_report


def main(args: argparse.Namespace) -> dict | None:
    cfg = setup_run(args)
    if args.eval_only:
        results = InterpolationTrainer.evaluate(cfg, resume=args.resume)
    else:
        with record_kept_until_trained(cfg.OUTPUT_DIR):
            trainer = InterpolationTrainer(cfg)
            trainer.resume_or_load(resume=args.resume)
            results = trainer.train()
    # (`train` returns results only if TEST.EXPECTED_RESULTS says what they should be.)
    if comm.is_main_process() and cfg.DATASETS.TEST:
        report(cfg)
    return results


def report(cfg: CfgNode) -> None:
    """Write the report page; if that fails, the training must not fail."""
    name = os.path.basename(os.path.normpath(cfg.OUTPUT_DIR))
    logging.getLogger("zoomin_d2").info("Making the report page")
    try:
        # Not all that is in inference/: an earlier run may have left other test sets there.
        tested = [f"{name}={cfg.OUTPUT_DIR}/inference/{dataset}" for dataset in cfg.DATASETS.TEST]
        scores = find_scores(tested)
        page = write_report(f"{cfg.OUTPUT_DIR}/report", scores, METRICS, title=name)
    except (OSError, ValueError) as error:
        logging.getLogger("zoomin_d2").warning("Could not write the report page: %s", error)
    else:
        logging.getLogger("zoomin_d2").info("Report page: %s", page)


if __name__ == "__main__":
    parser = default_argument_parser(__doc__)
    parser.add_argument(
        "--deterministic",
        action="store_true",
        help="make the run bit-reproducible; needs SEED >= 0 (not fully on GPUs)",
    )
    add_debug_option(parser)
    run_distributed(main, parser.parse_args())
