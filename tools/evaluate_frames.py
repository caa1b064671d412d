#!/usr/bin/env python3
"""Score interpolated frames that any method has saved, with the code that scores our own models.

    tools/evaluate_frames.py --pred results/ --gt truth/ --json scores.json
    tools/evaluate_frames.py --pred results/ \\
        --gt ucf101_interp_ours/ --gt-pattern "{id}/frame_01_gt" \\
        --mask motion_masks_ucf101_interp/ --mask-pattern "{id}/motion_mask"

Frames belong together when their paths below --pred and --gt are equal but for the extension, or,
with patterns, when {id} is. Files that do not fit a pattern are ignored; a frame without partner is
an error.
"""

import argparse
import re
from collections.abc import Sequence
from pathlib import Path

import torch
from tqdm import tqdm

from zoomin_d2.data.frame_store import read_image, read_mask
from zoomin_d2.evaluation.extra_metrics import EXTRA_METRICS, score_extra, usable_extra_metrics
from zoomin_d2.evaluation.metrics import score_image
from zoomin_d2.evaluation.results import format_results_table, summarize, write_results
from zoomin_d2.frames import CorruptFrameError
from zoomin_d2.user_errors import add_debug_option, one_line_errors

IMAGE_EXTENSIONS = {".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff", ".ppm"}


def find_frames(folder: Path, pattern: str) -> dict[str, Path]:
    """The images below a folder by their {id}.

    Args:
        pattern: a path below the folder with {id} in it; the extension does not matter.

    Raises:
        ValueError: no such folder, a pattern without {id}, no image that fits, or two that share
            an id.
    """
    if not folder.is_dir():
        raise ValueError(f"there is no folder {folder}")
    if pattern.count("{id}") != 1:
        raise ValueError(f"the pattern '{pattern}' must contain {{id}} once")
    if Path(pattern).suffix.lower() in IMAGE_EXTENSIONS:
        pattern = str(Path(pattern).with_suffix(""))
    before, after = (re.escape(part) for part in pattern.split("{id}"))
    frames: dict[str, Path] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).with_suffix("").as_posix()
        match = re.fullmatch(f"{before}(.+){after}", name)
        if path.suffix.lower() not in IMAGE_EXTENSIONS or match is None:
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
        problems.append("If the files are named differently, see --pred-pattern and --gt-pattern.")
        raise ValueError("\n".join(problems))


def score_folders(
    pred: dict[str, Path],
    gt: dict[str, Path],
    masks: dict[str, Path] | None,
    extra_metrics: Sequence[str] = (),
) -> list[dict]:
    """Per image `file_name` and its numbers.

    Raises:
        ValueError: a file cannot be read, or sizes differ; the message names the files.
    """
    images = []
    for frame_id in tqdm(sorted(gt), unit="frame", disable=None):
        paths = [pred[frame_id], gt[frame_id]]
        try:
            frames = [torch.from_numpy(read_image(str(path))).permute(2, 0, 1) for path in paths]
            mask = None
            if masks is not None:
                paths.append(masks[frame_id])
                mask = torch.from_numpy(read_mask(str(masks[frame_id])))
            scores = score_image(*frames, mask=mask)
            scores |= score_extra(extra_metrics, *frames)
        except (CorruptFrameError, ValueError) as error:
            names = ", ".join(map(str, paths))
            raise ValueError(f"'{frame_id}' cannot be scored ({names}): {error}") from error
        images.append({"file_name": frame_id, **scores})
    return images


def main(args: argparse.Namespace) -> dict:
    pred = find_frames(args.pred, args.pred_pattern)
    gt = find_frames(args.gt, args.gt_pattern)
    require_same_ids("--pred", pred, "--gt", gt)
    masks = None
    if args.mask is not None:
        masks = find_frames(args.mask, args.mask_pattern)
        require_same_ids("--mask", masks, "--gt", gt)
    summary = summarize(score_folders(pred, gt, masks, usable_extra_metrics(args.metrics)))
    print(f"{summary['num_images']} frames of {args.pred} against {args.gt}\n")
    print(format_results_table({args.pred.name: summary["results"]}, first_column="frames"))
    if args.json is not None:
        folders = {key: str(getattr(args, key)) for key in ("pred", "gt", "mask")}
        write_results(args.json, {"provenance": folders, **summary})
        print(f"\nPer-image numbers: {args.json}")
    return summary["results"]


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pred", type=Path, required=True, help="folder of predicted frames")
    parser.add_argument("--gt", type=Path, required=True, help="folder of true frames")
    parser.add_argument("--mask", type=Path, help="folder of masks; what is not black counts")
    parser.add_argument("--json", type=Path, help="file for means and per-image numbers")
    parser.add_argument(
        "--metrics", nargs="+", choices=EXTRA_METRICS, default=[], help="more numbers"
    )
    for folder in ("pred", "gt", "mask"):
        parser.add_argument(f"--{folder}-pattern", default="{id}", help="default: %(default)s")
    add_debug_option(parser)
    return parser.parse_args(argv)


if __name__ == "__main__":
    arguments = parse_args()
    with one_line_errors(arguments.debug):
        main(arguments)
