#!/usr/bin/env python3
"""Remake the pictures of the documentation, after the paper's figures.

    docs/tools/make_figures.py rois --dataset triplets_dev --model fast --output rois.png
    docs/tools/make_figures.py rois output/baseline output/gan output/roigan --output rois.png
    docs/tools/make_figures.py frames output/baseline output/roigan --output frames.png
    docs/tools/make_figures.py failures output/baseline output/roigan --output failures.png
    docs/tools/make_figures.py quality RUN [RUN ...] --time roigan=9.5 --output fig4.svg

rois (Fig. 1, 3) and frames (Fig. 5, 6) take evaluations as tools/report.py does, with saved
frames; rois also interpolates by itself, with --model. They show the ROIs where most moves (the
average of the inputs is farthest from the truth), whatever the methods made of them. failures
(Fig. 7) shows the ROIs where the last method is farthest from the truth, one per scene. quality
(Fig. 4) draws PSNR against milliseconds (--benchmark, or --time METHOD=MS), or parameters. The
pictures of docs/index.md and docs/model_zoo.md:

    docs/tools/make_figures.py teaser --dataset sample_clips_train \\
        --image bikes_mp4/002/0/17 --num 2 --model fast-roigan --output docs/images/teaser.webp
    docs/tools/make_figures.py rois --dataset sample_clips_train sample_clips_val --num 6 \\
        --model fast fast-roigan --output docs/images/rois.webp
"""

import argparse
from pathlib import Path

import numpy as np
from live_rois import find_rois, live_rows, live_teaser
from PIL import Image

from zoomin_d2.cli.tool_arguments import ToolParser
from zoomin_d2.evaluation.report_inputs import (
    ShippedProposals,
    benchmark_costs,
    find_costs,
    roi_metrics,
)
from zoomin_d2.files import write_atomically
from zoomin_d2.user_errors import one_line_errors
from zoomin_d2.visualization.paper_figures import frame_figure, hardest_rois, roi_rows, teaser
from zoomin_d2.visualization.quality_plot import Cost, quality_plot_svg
from zoomin_d2.visualization.report import Scores, find_scores
from zoomin_d2.visualization.roi_grid import draw_roi_grid

INK = "#6e7781"  # reads on white and on black


def one_dataset(sources: list[str], asked: list[str]) -> list[Scores]:
    """The methods on one dataset.

    Raises:
        ValueError: there are several datasets and not one was named, or no such one.
    """
    scores = find_scores(sources)
    names = sorted({item.dataset for item in scores})
    if len(asked) > 1 or (not asked and len(names) > 1):
        raise ValueError(f"name one of the datasets with --dataset: {', '.join(names)}")
    chosen = [item for item in scores if not asked or item.dataset == asked[0]]
    if not chosen:
        raise ValueError(f"there are no results on '{asked[0]}', only on {', '.join(names)}")
    return chosen


def make_rois(args: argparse.Namespace) -> None:
    metrics = roi_metrics()
    if args.model:
        rois = find_rois(args.dataset, args.num, args.per_scene)
        rows = live_rows(args.dataset, rois, args.model, metrics)
    else:
        scores = saved_scores(args)
        rois = hardest_rois(scores, args.num, ShippedProposals())
        rows = roi_rows(scores, rois, metrics)
    save_image(args.output, draw_roi_grid(rows))
    for roi, row in zip(rois, rows):
        print(f"{roi.name} {roi.box}, average off by {roi.difficulty:.1f} of 255")
        for method, numbers in row.numbers.items():
            print(f"    {method}: {', '.join(f'{k} {v:.4g}' for k, v in numbers.items())}")


def make_frames(args: argparse.Namespace) -> None:
    scores = saved_scores(args)
    rois = hardest_rois(scores, args.num, ShippedProposals())
    save_image(args.output, frame_figure(scores, rois))
    for roi in rois:
        print(f"{roi.name}: {roi.box}, average off by {roi.difficulty:.1f} of 255")


def make_failures(args: argparse.Namespace) -> None:
    scores = saved_scores(args)
    method = scores[-1].method
    rois = hardest_rois(scores, args.num, ShippedProposals(), method, args.per_scene)
    save_image(args.output, draw_roi_grid(roi_rows(scores, rois, roi_metrics())))
    for roi in rois:
        print(f"{roi.name}: {roi.box}, {method} off by {roi.difficulty:.1f} of 255")


def make_teaser(args: argparse.Namespace) -> None:
    if len(args.model) != 1 or not args.image:
        raise ValueError("a teaser takes one --model, --dataset, and the --image to show")
    rows, boxes = live_teaser(args.dataset, args.image, args.model[0], args.num, roi_metrics())
    save_image(args.output, teaser(rows, boxes, list(rows[0].frames)[-1]))


def saved_scores(args: argparse.Namespace) -> list[Scores]:
    scores = [x for x in one_dataset(args.sources, args.dataset) if x.saved_frames]
    if not scores:
        raise ValueError("none of the evaluations has saved frames (TEST.NUM_SAVED)")
    return scores


def save_image(path: Path, picture: np.ndarray) -> None:
    """(H, W, 3) RGB or (H, W, 4) RGBA in the format of the suffix; JPEG gets a white ground."""
    image = Image.fromarray(picture)
    kind = Image.registered_extensions()[path.suffix.lower()]
    options = {"quality": 92} if kind in ("JPEG", "WEBP") else {}
    if kind == "JPEG" and image.mode == "RGBA":
        ground = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(ground, image).convert("RGB")
    write_atomically(path, lambda f: image.save(f, kind, **options))


def make_quality(args: argparse.Namespace) -> None:
    scores = one_dataset(args.sources, args.dataset)
    costs, time_label = find_costs(scores), args.time_label
    if args.benchmark is not None:
        measured, time_label = benchmark_costs(args.benchmark)
        costs |= measured
    for item in args.time:
        method, _, milliseconds = item.rpartition("=")
        if method not in {x.method for x in scores}:
            raise ValueError(f"--time {item}: there are no results of '{method}'")
        parameters = costs.get(method, Cost()).parameters
        costs[method] = Cost(float(milliseconds), parameters)
    quality = {x.method: x.means["PSNR"] for x in scores}
    label = f"PSNR in dB on {scores[0].dataset}"
    svg = quality_plot_svg(quality, costs, label, time_label)
    if svg is None:
        raise ValueError("fewer than two methods have a cost: give --benchmark or --time METHOD=MS")
    text = svg.replace("currentColor", INK)
    write_atomically(args.output, lambda f: f.write(text.encode()))


PICTURES = (".png", ".jpg", ".webp")
FIGURES = {
    "rois": (make_rois, PICTURES),
    "frames": (make_frames, PICTURES),
    "failures": (make_failures, PICTURES),
    "teaser": (make_teaser, PICTURES),
    "quality": (make_quality, (".svg",)),
}


def main(args: argparse.Namespace) -> None:
    make, suffixes = FIGURES[args.figure]
    can_interpolate = args.figure in ("rois", "teaser")
    if args.model and (not can_interpolate or args.sources or not args.dataset):
        raise ValueError(
            "--model is for rois and teaser, with --dataset and without folders of evaluations"
        )
    if not args.model and not args.sources:
        raise ValueError("no folders of runs were given")
    if args.output.suffix.lower() not in suffixes:
        raise ValueError(f"{args.output} should end in one of {', '.join(suffixes)}")
    args.output.parent.mkdir(parents=True, exist_ok=True)
    make(args)
    print(args.output)


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = ToolParser(__doc__)
    parser.add_argument("figure", choices=FIGURES)
    parser.add_argument("sources", nargs="*", default=[], metavar="[NAME=]FOLDER")
    parser.add_argument("--output", type=Path, required=True, metavar="FILE")
    parser.add_argument("--dataset", nargs="+", default=[], help="one, if the sources have several")
    parser.add_argument("--model", nargs="+", default=[], help="names, files or checkpoints")
    parser.add_argument("--image", default="", help="its name, or the end of it (teaser)")
    parser.add_argument("--num", type=int, default=4, help="ROIs shown")
    parser.add_argument(
        "--per-scene", type=int, default=1, help="most of one scene (--model, failures)"
    )
    parser.add_argument("--benchmark", type=Path, help="benchmark.json of tools/benchmark.py")
    parser.add_argument("--time", nargs="+", default=[], metavar="METHOD=MS")
    parser.add_argument("--time-label", default="", help="what the times are of")
    return parser.parse_args(argv)


if __name__ == "__main__":
    arguments = parse_args()
    with one_line_errors(arguments.debug):
        main(arguments)
