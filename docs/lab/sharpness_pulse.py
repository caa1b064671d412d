#!/usr/bin/env python3
"""Models in, how sharp their made frames are out: the pulse one sees at 24 -> 60 fps.

    docs/lab/sharpness_pulse.py fast fast:0.5 fast:1 fast-roigan --dataset triplets_dev

A number after a model's name is the strength of detail (generators/detail.py).

Two ratios per triplet, 1 = as sharp, printed as their mean: the mean gradient length, as
TEST.METRICS "sharpness" has it, and the variance of the Laplacian (8-bit luma). At t = 0.5 the
made frame is compared with the truth; at 0.4, where there is no truth, and at 0.5 once more with
the mean of the two input frames.
"""

import argparse

import cv2
import numpy as np
import torch
from detectron2.data import DatasetCatalog

from zoomin_d2 import Interpolator
from zoomin_d2.data.datasets.builtin import register_all_interpolation
from zoomin_d2.data.frame_store import FrameStore
from zoomin_d2.evaluation.sharpness import sharpness

TIMES = (0.4, 0.5)


def laplacian_variance(frame: np.ndarray) -> float:
    """(H, W, 3) uint8 RGB -> variance of the Laplacian of its luma."""
    return cv2.Laplacian(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), cv2.CV_64F).var()


def gradient_ratio(frame: np.ndarray, reference: np.ndarray) -> float:
    images = [torch.from_numpy(x).permute(2, 0, 1)[None] for x in (frame, reference)]
    return sharpness(*images)[0].item()


def main(args: argparse.Namespace) -> None:
    register_all_interpolation()
    records = DatasetCatalog.get(args.dataset)
    store = FrameStore()
    models = {}
    for name in args.models:
        model, _, detail = name.partition(":")
        options = {"device": args.device, "detail": float(detail) if detail else None}
        models[name] = Interpolator.from_pretrained(model, **options)
    rows: dict[str, list[list[float]]] = {name: [] for name in ["truth", *models]}
    for record in records:
        first, truth, last = (store.read(x) for x in record["frames"])
        for name in rows:
            made = [truth, truth]
            if name != "truth":
                made = list(models[name](first, last, TIMES))
            inputs = (laplacian_variance(first) + laplacian_variance(last)) / 2
            rows[name].append(
                [
                    gradient_ratio(made[1], truth),
                    laplacian_variance(made[1]) / laplacian_variance(truth),
                    *((gradient_ratio(x, first) + gradient_ratio(x, last)) / 2 for x in made),
                    *(laplacian_variance(x) / inputs for x in made),
                ]
            )
    columns = ["gradient / truth", "Laplacian / truth"]
    columns += [f"{what} / inputs, t = {t}" for what in ("gradient", "Laplacian") for t in TIMES]
    print(f"| model | {' | '.join(columns)} |\n|---|{'---|' * len(columns)}")
    for name, values in rows.items():
        means = " | ".join(f"{x:.3f}" for x in np.mean(values, axis=0))
        print(f"| {name} | {means} |", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", nargs="+", help="names of the model zoo, or files")
    parser.add_argument("--dataset", default="triplets_dev", metavar="NAME")
    parser.add_argument("--device", default="cpu")
    main(parser.parse_args())
