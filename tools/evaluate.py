#!/usr/bin/env python3
"""Score saved frames and baselines with the code that scores our own models.

    tools/evaluate.py frames --pred results/ --gt truth/ --output output/scores
    tools/evaluate.py frames --pred results/ \\
        --gt ucf101_interp_ours/ --gt-pattern "{id}/frame_01_gt" \\
        --mask motion_masks_ucf101_interp/ --mask-pattern "{id}/motion_mask"
    tools/evaluate.py frames --pred SAVED/ --pred-pattern "{id}/pred_frame" \\
        --gt SAVED/ --gt-pattern "{id}/frame_t" --roi-above 999 \\
        --roi-masks gtFine/val/ --roi-masks-pattern "{id}_gtFine_instanceIds"
    tools/evaluate.py baselines --dataset middlebury_other ucf101_interp_test
    tools/evaluate.py baselines --dataset triplets_dev --config-file configs/roigan.yaml

SAVED is the folder frames/DATASET of an evaluation with TEST.NUM_SAVED; docs/reproduction.md has
the whole example. To score one of our models, use tools/train_net.py --eval-only.
"""

import os
import re
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

import torch
from tqdm import tqdm

from zoomin_d2.cli.tool_arguments import ToolParser
from zoomin_d2.data import build_interpolation_test_loader
from zoomin_d2.data.frame_store import read_image, read_mask
from zoomin_d2.engine.resilience.provenance import how_it_was_made
from zoomin_d2.engine.setup import setup_cfg
from zoomin_d2.evaluation import BASELINES, InterpolationEvaluator
from zoomin_d2.evaluation.extra_metrics import EXTRA_METRICS, score_extra, usable_extra_metrics
from zoomin_d2.evaluation.metrics import score_image
from zoomin_d2.evaluation.results import format_results_table, summarize, write_results
from zoomin_d2.frames import IMAGE_SUFFIXES, CorruptFrameError
from zoomin_d2.modeling.frozen_rpn import build_frozen_rpn
from zoomin_d2.user_errors import one_line_errors

FRAMES = """Score interpolated frames that any method has saved.

Frames belong together if their paths below --pred and --gt are equal except for the extension, or,
with patterns, if their {id} is equal. Files that do not match a pattern are ignored; a frame
without a partner is an error. Means and per-image numbers are written to --output/results.json.
"""
BASELINE = """Score methods without learning on datasets.

With a config, they are also scored inside the proposals of its frozen detector (ROI_PSNR, ROI_IE).
Results are written to --output/<baseline>/<dataset>/results.json.
"""


def find_frames(folder: Path, pattern: str) -> dict[str, Path]:
    """The images below a folder by their {id}.

    Args:
        pattern: a path below the folder with {id} in it; the extension does not matter.

    Raises:
        ValueError: no such folder, a pattern without {id}, no image that matches, or two that share
            an id.
    """
    if not folder.is_dir():
        raise ValueError(f"there is no folder {folder}")
    if pattern.count("{id}") != 1:
        raise ValueError(f"the pattern '{pattern}' must contain {{id}} once")
    if Path(pattern).suffix.lower() in IMAGE_SUFFIXES:
        pattern = str(Path(pattern).with_suffix(""))
    before, after = (re.escape(part) for part in pattern.split("{id}"))
    frames: dict[str, Path] = {}
    below = [Path(at, x) for at, _, names in os.walk(folder, followlinks=True) for x in names]
    for path in sorted(below):
        name = path.relative_to(folder).with_suffix("").as_posix()
        match = re.fullmatch(f"{before}(.+){after}", name)
        if path.suffix.lower() not in IMAGE_SUFFIXES or match is None:
            continue
        if match[1] in frames:
            raise ValueError(f"{path} and {frames[match[1]]} are both the frame '{match[1]}'")
        frames[match[1]] = path
    if not frames:
        raise ValueError(f"no image in {folder} has a path like '{pattern}'")
    return frames


def require_same_ids(name: str, frames: dict, gt_name: str, gt_frames: dict) -> None:
    """Raises ValueError if one of the folders has frames that the other lacks."""
    problems = [
        f"{len(ids)} frames of {there} have no partner in {here}: {', '.join(ids[:5])}"
        + (", ..." if len(ids) > 5 else "")
        for here, there, ids in (
            (name, gt_name, sorted(gt_frames.keys() - frames.keys())),
            (gt_name, name, sorted(frames.keys() - gt_frames.keys())),
        )
        if ids
    ]
    if problems:
        problems.append(
            f"If the files are named differently, see {name}-pattern and {gt_name}-pattern."
        )
        raise ValueError("\n".join(problems))


def score_folders(
    pred: dict[str, Path],
    gt: dict[str, Path],
    masks: dict[str, Path] | None,
    extra_metrics: Sequence[str] = (),
    roi_masks: dict[str, Path] | None = None,
    roi_above: int = 0,
) -> list[dict]:
    """Per image `file_name` and its numbers.

    Args:
        masks: what PSNR_masked counts. roi_masks: what the ROI numbers count, see `read_mask`.

    Raises:
        ValueError: a file cannot be read, or sizes differ; the message names the files.
    """
    folders = {"--pred": pred, "--gt": gt, "--mask": masks, "--roi-masks": roi_masks}
    images = []
    for frame_id in tqdm(sorted(gt), unit="frame", disable=None):
        paths = {key: str(found[frame_id]) for key, found in folders.items() if found is not None}
        try:
            frames = [
                torch.from_numpy(read_image(paths[key])).permute(2, 0, 1)
                for key in ("--pred", "--gt")
            ]
            mask = objects = None
            if masks is not None:
                mask = torch.from_numpy(read_mask(paths["--mask"]))
            if roi_masks is not None:
                objects = torch.from_numpy(read_mask(paths["--roi-masks"], roi_above))
            scores = score_image(*frames, mask=mask, boxes=objects)
            scores |= score_extra(extra_metrics, *frames, objects)
        except (CorruptFrameError, ValueError) as error:
            names = ", ".join(f"{key} {path}" for key, path in paths.items())
            raise ValueError(f"'{frame_id}' cannot be scored ({names}): {error}") from error
        images.append({"file_name": frame_id, **scores})
    return images


# Options of `frames` that say how to read a folder of another option, unless that is not given.
_READS = {"mask_pattern": "mask", "roi_masks_pattern": "roi_masks", "roi_above": "roi_masks"}


def evaluate_frames(args: Namespace) -> dict[str, float]:
    for option, folder in _READS.items():
        if getattr(args, option) not in ("{id}", 0) and getattr(args, folder) is None:
            names = [f"--{name.replace('_', '-')}" for name in (option, folder)]
            raise ValueError(f"{names[0]} has no effect without {names[1]}")
    pred = find_frames(args.pred, args.pred_pattern)
    gt = find_frames(args.gt, args.gt_pattern)
    require_same_ids("--pred", pred, "--gt", gt)
    masks = None
    if args.mask is not None:
        masks = find_frames(args.mask, args.mask_pattern)
        require_same_ids("--mask", masks, "--gt", gt)
    roi_masks = None
    if args.roi_masks is not None:
        found = find_frames(args.roi_masks, args.roi_masks_pattern)
        roi_masks = {k: v for k, v in found.items() if k in gt}  # data sets label further frames
        require_same_ids("--roi-masks", roi_masks, "--gt", gt)
    metrics = usable_extra_metrics(args.metrics)
    if args.output is not None:
        args.output.mkdir(parents=True, exist_ok=True)  # before the work, in case it cannot be
    summary = summarize(score_folders(pred, gt, masks, metrics, roi_masks, args.roi_above))
    print(f"{summary['num_images']} frames of {args.pred} against {args.gt}\n")
    print(format_results_table({args.pred.name: summary["results"]}, first_column="frames"))
    if args.output is not None:
        folders = {key: getattr(args, key) for key in ("pred", "gt", "mask", "roi_masks")}
        provenance = {key: str(folder) for key, folder in folders.items() if folder is not None}
        record = {"provenance": {**provenance, **how_it_was_made()}, **summary}
        if args.dataset is not None:  # named as the evaluator does, for one table with its rows
            record["dataset"] = args.dataset
            for image in record["images"]:
                image["file_name"] = f"{args.dataset}/{image['file_name']}"
        write_results(args.output / "results.json", record)
        print(f"\nPer-image numbers: {args.output / 'results.json'}")
    return summary["results"]


def score_baselines(args: Namespace, dataset_name: str) -> dict[str, dict[str, float]]:
    """Scores of the baselines on one dataset: baseline name -> {metric name: mean}."""
    cfg = setup_cfg(args.config_file, args.opts)
    frozen_rpn = build_frozen_rpn(cfg) if args.config_file else None
    evaluators = {
        name: InterpolationEvaluator(
            dataset_name,
            str(args.output / name / dataset_name),
            num_saved=cfg.TEST.NUM_SAVED,
            extra_metrics=cfg.TEST.METRICS,
            provenance={"method": name, **how_it_was_made()},
        )
        for name in args.baseline
    }
    for inputs in tqdm(
        build_interpolation_test_loader(cfg, dataset_name), desc=dataset_name, disable=None
    ):
        frame_1, frame_2, frame_t = (
            torch.stack([sample[key] for sample in inputs]) / 255
            for key in ("frame_1", "frame_2", "frame_t")
        )
        t = torch.tensor([sample["t"] for sample in inputs])
        shared = [{} for _ in inputs]
        if frozen_rpn is not None:
            proposals = frozen_rpn.proposals(frame_t.to(cfg.MODEL.DEVICE))
            shared = [{"proposals": instances} for instances in proposals]
        for name, evaluator in evaluators.items():
            frames = BASELINES[name](frame_1, frame_2, t)
            evaluator.process(inputs, [{"pred_frame": f, **s} for f, s in zip(frames, shared)])
    return {name: e.evaluate()["interpolation"] for name, e in evaluators.items()}


def evaluate_baselines(args: Namespace) -> dict[str, dict[str, dict[str, float]]]:
    results = {}
    args.output.mkdir(parents=True, exist_ok=True)
    for dataset_name in args.dataset:
        results[dataset_name] = score_baselines(args, dataset_name)
        print(f"\n## {dataset_name}\n")
        print(format_results_table(results[dataset_name], first_column="baseline"), flush=True)
    return results


def make_parser() -> ToolParser:
    parser = ToolParser(__doc__)
    kinds = parser.add_subparsers(dest="kind", required=True)
    frames = kinds.add_parser("frames", description=FRAMES, help=FRAMES.splitlines()[0])
    frames.add_argument("--pred", type=Path, required=True, help="folder of predicted frames")
    frames.add_argument("--gt", type=Path, required=True, help="folder of true frames")
    frames.add_argument("--mask", type=Path, help="folder of masks; non-black pixels count")
    frames.add_argument(
        "--roi-masks", type=Path, help="folder of object masks; adds the ROI numbers inside them"
    )
    frames.add_argument(
        "--roi-above",
        type=int,
        default=0,
        metavar="VALUE",
        help="only larger values in --roi-masks are objects (Cityscapes' instanceIds: 999)",
    )
    frames.add_argument(
        "--metrics", nargs="+", choices=EXTRA_METRICS, default=[], help="additional metrics"
    )
    for folder in ("pred", "gt", "mask", "roi-masks"):
        frames.add_argument(f"--{folder}-pattern", default="{id}", help="default: %(default)s")
    frames.add_argument(
        "--dataset",
        metavar="NAME",
        help="the data set's name, if --gt is one: a report then has these rows beside models'",
    )
    frames.add_output(None)
    frames.set_defaults(run=evaluate_frames)
    baselines = kinds.add_parser("baselines", description=BASELINE, help=BASELINE.splitlines()[0])
    baselines.add_argument("--dataset", nargs="+", required=True, help="names in the catalog")
    baselines.add_argument("--baseline", nargs="+", choices=BASELINES, default=list(BASELINES))
    baselines.add_output("output/baselines")
    baselines.add_config()
    baselines.set_defaults(run=evaluate_baselines)
    return parser


def main(argv: list[str] | None = None) -> dict:
    args = make_parser().parse_args(argv)
    return args.run(args)


if __name__ == "__main__":
    arguments = make_parser().parse_args()
    with one_line_errors(arguments.debug):
        arguments.run(arguments)
