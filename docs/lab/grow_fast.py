#!/usr/bin/env python3
"""Weights of a trained `fast` in, those of a wider or deeper one out, which start at its quality.

    docs/lab/grow_fast.py zoo:fast grown.safetensors --config-file FILE
    tools/train_net.py --config-file FILE MODEL.WEIGHTS grown.safetensors

What can grow, and what new weights start from: zoomin_d2/generators/grow_weights.py.
"""

import argparse
import json

import torch

from zoomin_d2.engine.setup import setup_cfg
from zoomin_d2.generators.grow_weights import grow_weights
from zoomin_d2.model_zoo.generator_file import load_generator, save_generator
from zoomin_d2.modeling import build_generator
from zoomin_d2.modeling.generator_options import generator_options


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("weights", help="of the smaller network: zoo:NAME or a file")
    parser.add_argument("output", help="the .safetensors file to write")
    parser.add_argument("--config-file", required=True, help="of the larger network")
    parser.add_argument("--seed", type=int, default=0, help="of the new weights")
    parser.add_argument("opts", nargs="*", help="KEY VALUE pairs of the config")
    args = parser.parse_intermixed_args()
    old = load_generator(args.weights)
    cfg = setup_cfg(args.config_file, args.opts)
    torch.manual_seed(args.seed)
    new = build_generator(cfg)
    grow_weights(old.generator, new)
    trained = json.loads(old.metadata.get("trained", "{}")) | {"grown_from": args.weights}
    options = generator_options(cfg)
    # float32: the old weights stay what they were to the last bit.
    save_generator(
        args.output, new, options, f"{old.name}-grown", dtype=torch.float32, trained=trained
    )
    print(f"Wrote {args.output}: {sum(p.numel() for p in new.parameters()) / 1e6:.2f} M parameters")


if __name__ == "__main__":
    main()
