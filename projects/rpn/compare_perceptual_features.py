#!/usr/bin/env python3
"""Do the frozen detector's features see what a person sees? (eq. 7, PERCEPTUAL.FEATURES)

    projects/rpn/compare_perceptual_features.py --config-file configs/roigan.yaml \\
        --dataset triplets_dev

For each triplet and each feature, it measures the distance of the true frame to (a) itself shifted
by half a pixel, which nobody notices, (b) itself blurred with sigma 1, which everybody notices, and
(c) the average of the inputs, which shows ghosts. A good feature ranks a < b and a < c.
"""

import sys
from collections import defaultdict
from itertools import islice

import torch
from detectron2.utils.logger import setup_logger
from tabulate import tabulate
from torchvision.transforms.functional import gaussian_blur

from zoomin_d2.cli.tool_arguments import ToolParser
from zoomin_d2.data import MissingDatasetError, build_interpolation_test_loader
from zoomin_d2.engine import setup_cfg
from zoomin_d2.layers import backward_warp
from zoomin_d2.modeling.frozen_rpn import FrozenRPN, build_frozen_rpn
from zoomin_d2.modeling.losses import perceptual_loss

FEATURES = ["rpn", "p2", "p3", "p4", "p5", "res2", "res3", "res4"]


def distort(frame_1: torch.Tensor, frame_t: torch.Tensor, frame_2: torch.Tensor) -> dict:
    """The three distortions of (1, 3, H, W) frames in [0, 1]."""
    flow = frame_t.new_zeros(1, 2, *frame_t.shape[-2:])
    flow[:, 0] = 0.5
    return {
        "shifted 0.5 px": backward_warp(frame_t, flow),
        "blurred": gaussian_blur(frame_t, kernel_size=[9, 9], sigma=[1.0, 1.0]),
        "average": (frame_1 + frame_2) / 2,
    }


def measure(frozen_rpn: FrozenRPN, samples, features: list[str]) -> dict[str, list[dict]]:
    """Feature name -> per sample {distortion: distance}; "pixels" is the mean |difference|."""
    distances = defaultdict(list)
    for sample in samples:
        frames = [sample[k][None].float() / 255 for k in ("frame_1", "frame_t", "frame_2")]
        frames = [x.to(frozen_rpn.pixel_mean.device) for x in frames]
        seen = {"truth": frames[1], **distort(*frames)}
        with torch.no_grad():
            found = {k: frozen_rpn.features(x, features) for k, x in seen.items()}
        for name in features:
            keys = [k for k in found["truth"] if k == name or k.startswith(f"{name}_")]
            picked = {kind: {k: f[k] for k in keys} for kind, f in found.items()}
            truth = picked.pop("truth")
            distances[name].append({k: perceptual_loss(f, truth).item() for k, f in picked.items()})
        truth = seen.pop("truth")
        distances["pixels"].append({k: (x - truth).abs().mean().item() for k, x in seen.items()})
    return distances


def make_table(distances: dict[str, list[dict]]) -> str:
    """A Markdown table: mean distances, ratios to the shift's, how often the ranking holds."""
    rows = []
    for name, samples in distances.items():
        shift, blur, average = (
            torch.tensor([s[k] for s in samples]) for k in ("shifted 0.5 px", "blurred", "average")
        )
        rows.append(
            [
                name,
                *(f"{x.mean():.4f}" for x in (shift, blur, average)),
                *(f"{(x / shift).median():.2f}" for x in (blur, average)),
                *(f"{int((shift < x).sum())} of {len(samples)}" for x in (blur, average)),
            ]
        )
    heads = ["feature", "a: shifted", "b: blurred", "c: average", "b/a", "c/a", "a < b", "a < c"]
    return tabulate(rows, heads, tablefmt="github", disable_numparse=True)


def main(argv: list[str] | None = None) -> int:
    parser = ToolParser(__doc__)
    parser.add_argument("--dataset", required=True)
    parser.add_argument("--num", type=int, default=20, help="triplets")
    parser.add_argument("--features", nargs="+", default=FEATURES)
    parser.add_config()
    args = parser.parse_args(argv)
    setup_logger(name="zoomin_d2")
    try:
        cfg = setup_cfg(args.config_file, args.opts)
        cfg.DATALOADER.NUM_WORKERS = 0
        frozen_rpn = build_frozen_rpn(cfg)
        loader = build_interpolation_test_loader(cfg, args.dataset)
        step = max(len(loader) // args.num, 1)
        samples = (batch[0] for batch in islice(loader, 0, step * args.num, step))
        print(make_table(measure(frozen_rpn, samples, args.features)))
    except (ValueError, OSError, MissingDatasetError) as error:
        print(f"compare_perceptual_features: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
