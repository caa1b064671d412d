#!/usr/bin/env python3
"""Train or evaluate an interpolation model.

    tools/train_net.py --config-file configs/roigan.yaml
    tools/train_net.py --config-file configs/roigan.yaml --resume
    tools/train_net.py --config-file configs/roigan.yaml --eval-only MODEL.WEIGHTS model_best.pth
    tools/train_net.py --config-file configs/roigan.yaml --num-gpus 2 SOLVER.IMS_PER_BATCH 64

Everything lands in OUTPUT_DIR: log.txt, metrics.json, TensorBoard events, checkpoints and
inference/<dataset>/results.json.
"""

import argparse

from detectron2.engine import default_argument_parser, launch

from zoomin_d2.engine import InterpolationTrainer, setup_run


def main(args: argparse.Namespace) -> dict | None:
    cfg = setup_run(args)
    if args.eval_only:
        return InterpolationTrainer.evaluate(cfg, resume=args.resume)
    trainer = InterpolationTrainer(cfg)
    trainer.resume_or_load(resume=args.resume)
    return trainer.train()


if __name__ == "__main__":
    args = default_argument_parser(__doc__).parse_args()
    launch(
        main,
        args.num_gpus,
        num_machines=args.num_machines,
        machine_rank=args.machine_rank,
        dist_url=args.dist_url,
        args=(args,),
    )
