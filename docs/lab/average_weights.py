#!/usr/bin/env python3
r"""Weights of runs with one origin and one network in, their average, or another sum, out.

    docs/lab/average_weights.py output/{a,b}/ema.safetensors averaged.safetensors
    docs/lab/average_weights.py new.safetensors roigan.safetensors old.safetensors \
        sum.safetensors --factors 1 1 -1

Run 13 of the lab diary averages a run with its start. Run 14 adds what run 11 changed in the old
weights to the new ones (Ilharco et al., ICLR 2023, call the difference a task vector).
"""

import argparse
import json

import torch

from zoomin_d2.model_zoo.generator_file import load_generator, save_generator


def _differs(options: list[dict], key: str) -> bool:
    """Detail, which is not learned, may differ."""
    return key != "DETAIL" and any(x["FAST"].get(key) != options[0]["FAST"][key] for x in options)


def main(args: argparse.Namespace) -> None:
    factors = args.factors or [1 / len(args.weights)] * len(args.weights)
    if len(factors) != len(args.weights) or abs(sum(factors) - 1) > 1e-6:
        raise SystemExit("average_weights.py: --factors needs one for each file, with the sum 1")
    loaded = [load_generator(file) for file in args.weights]
    states = [one.generator.state_dict() for one in loaded]
    if any(
        {k: v.shape for k, v in x.items()} != {k: v.shape for k, v in states[0].items()}
        for x in states
    ):
        raise SystemExit("average_weights.py: these are not the same network")
    # The same tensors with other activations, for example.
    different = [k for k in loaded[0].options["FAST"] if _differs([x.options for x in loaded], k)]
    if different:
        raise SystemExit(f"average_weights.py: the networks differ in {', '.join(different)}")
    total = {key: sum(f * x[key].float() for f, x in zip(factors, states)) for key in states[0]}
    like = loaded[args.like]
    like.generator.load_state_dict(total)
    trained = json.loads(like.metadata.get("trained", "{}"))
    trained |= {"sum_of": dict(zip(args.weights, factors))}
    dtype = getattr(torch, args.dtype)
    save_generator(
        args.output, like.generator, like.options, args.name, dtype=dtype, trained=trained
    )
    print(f"Wrote {args.output}: factors {', '.join(f'{x:g}' for x in factors)}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("weights", nargs="+", help="of each run: zoo:NAME or a file")
    parser.add_argument("output", help="the .safetensors file to write")
    parser.add_argument("--factors", type=float, nargs="+", help="of each; default: their mean")
    parser.add_argument("--like", type=int, default=0, help="which one's options and card to keep")
    parser.add_argument("--name", default="averaged")
    parser.add_argument("--dtype", choices=("float16", "float32"), default="float32")
    main(parser.parse_args())
