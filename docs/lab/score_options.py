#!/usr/bin/env python3
"""Options of Interpolator in, scores of the frame halfway between neighbors out.

    docs/lab/score_options.py fast "fast flow_scale=auto" "fast-roigan flow_scale=0.5" \
        --dataset videos_motion_val --stride 9

PSNR, LPIPS, and sharpness (mean gradient over the truth's), each the mean over triplets of
neighboring frames, every `stride` frames of a clip; then the PSNR of every triplet.
"""

import argparse

import numpy as np
import torch
from detectron2.data import DatasetCatalog

from zoomin_d2 import Interpolator
from zoomin_d2.data.datasets.builtin import register_all_interpolation
from zoomin_d2.data.frame_store import FrameStore
from zoomin_d2.evaluation.lpips import LPIPS
from zoomin_d2.evaluation.metrics import psnr
from zoomin_d2.evaluation.sharpness import sharpness


def value_of(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def load(line: str, device: str) -> Interpolator:
    name, *options = line.split()
    keywords = {key: value_of(value) for key, value in (x.split("=") for x in options)}
    return Interpolator.from_pretrained(name, device, tile=None, **keywords)


def triplets(dataset: str, stride: int):
    for record in DatasetCatalog.get(dataset):
        frames = record["frames"]
        for k in range(0, len(frames) - 2, stride):
            yield frames[k : k + 3]


def main(args: argparse.Namespace) -> None:
    register_all_interpolation()
    store, lpips = FrameStore(), LPIPS()
    models = {line: load(line, args.device) for line in args.models}
    rows: dict[str, list[list[float]]] = {line: [] for line in models}
    for frames in triplets(args.dataset, args.stride):
        tensors = [torch.from_numpy(store.read(x)).permute(2, 0, 1)[None] for x in frames]
        first, truth, last = tensors
        for line, model in models.items():
            made = model(first, last)
            scores = [psnr(made, truth), lpips(made / 255, truth / 255), sharpness(made, truth)]
            rows[line].append([float(x[0]) for x in scores])
    print(f"{len(next(iter(rows.values())))} triplets of {args.dataset}")
    for line, values in rows.items():
        means = np.mean(values, axis=0)
        each = " ".join(f"{x[0]:.1f}" for x in values)
        print(f"{line}: {means[0]:.3f} dB, LPIPS {means[1]:.4f}, sharpness {means[2]:.3f}; {each}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", nargs="+", help="a model, and options of Interpolator")
    parser.add_argument("--dataset", default="triplets_dev", metavar="NAME")
    parser.add_argument("--stride", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    main(parser.parse_args())
