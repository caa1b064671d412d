#!/usr/bin/env python3
"""Weights of runs with one origin and one network in, their average out.

    docs/lab/average_weights.py output/{a,b}/ema.safetensors averaged.safetensors

Run 13 of the lab diary averages a run with its start.
"""

import argparse
import json

import torch

from zoomin_d2.model_zoo.generator_file import load_generator, save_generator


def main(args: argparse.Namespace) -> None:
    loaded = [load_generator(file) for file in args.weights]
    first = loaded[0]
    if any(one.options != first.options for one in loaded):
        raise SystemExit("average_weights.py: these are not the same network")
    states = [one.generator.state_dict() for one in loaded]
    mean = {key: sum(x[key].float() for x in states) / len(states) for key in states[0]}
    first.generator.load_state_dict(mean)
    trained = json.loads(first.metadata.get("trained", "{}")) | {"average_of": args.weights}
    save_generator(
        args.output,
        first.generator,
        first.options,
        "averaged",
        dtype=torch.float32,
        trained=trained,
    )
    print(f"Wrote {args.output}, the average of {len(loaded)}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("weights", nargs="+", help="of each run: zoo:NAME or a file")
    parser.add_argument("output", help="the .safetensors file to write")
    main(parser.parse_args())
