#!/usr/bin/env python
"""Which of a pair's mirror images to average for `--quality best`, on triplets with a true frame.

    docs/lab/mirror_images.py MODEL DATASET [DATASET ...] [--every N]

Sixteen images: transposed or not, flipped along none, one, or both axes, in either order. The PSNR
of any mean follows from the products of their errors, so each is made once (bfloat16, on the CPU).
Prints what means win over the pair alone, in dB, the mean over triplets: of sixteen, of the eight
that keep the frames' shape, of the four in use, and of the best fours by the mean of all datasets.
"""

import argparse
import itertools

import numpy as np
import torch

from zoomin_d2 import Interpolator
from zoomin_d2.evaluation.benchmark.frame import read_samples
from zoomin_d2.inference.averaging import _VARIANTS

IMAGES: list[tuple[bool, tuple[int, ...], bool]] = [
    (transposed, axes, reverse)
    for transposed in (False, True)
    for axes in ((), (-1,), (-2,), (-2, -1))
    for reverse in (False, True)
]


def error_products(model: Interpolator, sample: dict) -> np.ndarray:
    """(16, 16) mean products of the images' errors."""
    first, second, truth = (sample[f"frame_{x}"][None].float() / 255 for x in "12t")
    errors = []
    for transposed, axes, reverse in IMAGES:
        pair = (second, first) if reverse else (first, second)
        turned = [(x.mT if transposed else x).flip(axes).contiguous() for x in pair]
        made = model(*turned).flip(axes)
        errors.append(((made.mT if transposed else made) - truth).flatten())
    rows = torch.stack(errors).double()
    return (rows @ rows.T / rows.shape[1]).numpy()


def mean_psnr(products: np.ndarray, chosen: tuple[int, ...]) -> float:
    """Of the mean of the chosen images; products: (triplets, 16, 16)."""
    return float(-10 * np.log10(products[:, chosen][:, :, chosen].mean((1, 2))).mean())


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model")
    parser.add_argument("datasets", nargs="+", metavar="DATASET")
    parser.add_argument("--every", type=int, default=1, help="use every N-th triplet")
    args = parser.parse_args()
    model = Interpolator.from_pretrained(
        args.model, device="cpu", dtype=torch.bfloat16, tile=None, flow_scale=1
    )
    products = []
    for dataset in args.datasets:
        samples = list(read_samples(dataset))[:: args.every]
        products.append(np.stack([error_products(model, x) for x in samples]))

    def gains(chosen: tuple[int, ...]) -> list[float]:
        return [mean_psnr(x, chosen) - mean_psnr(x, (0,)) for x in products]

    def show(name: str, chosen: tuple[int, ...]) -> None:
        print(f"{name:16} {' '.join(f'{x:+.3f}' for x in gains(chosen))}  ", end="")
        print(*[IMAGES[i] for i in chosen] if len(chosen) == 4 else "", flush=True)

    print(args.model, *args.datasets)
    show("all sixteen", tuple(range(16)))
    show("all of one shape", tuple(range(8)))
    show("in use", tuple(IMAGES.index((False, *x)) for x in _VARIANTS))
    for name, count in (("best", 16), ("of one shape", 8)):
        fours = [x for x in itertools.combinations(range(count), 4) if x[0] == 0]
        for chosen in sorted(fours, key=lambda x: -sum(gains(x)))[:5]:
            show(name, chosen)


if __name__ == "__main__":
    main()
