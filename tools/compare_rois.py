#!/usr/bin/env python3
"""The same objects under every method: zoom panels of the hardest ROIs of a dataset.

    tools/compare_rois.py --dataset triplets_dev --model fast fast-roigan paper-roigan
    tools/compare_rois.py --dataset triplets_dev --model output/fast_roigan/model_best.pth --num 24

One row per ROI: where it is, then the ROI from the average of the inputs, DIS flow, each model, and
the truth, with its PSNR and, where the weights are installed (make lpips), its LPIPS. ROIs are
proposals of zoo:rpn_R_18_FPN on the true frame. Hardest first: by the PSNR of DIS flow inside the
ROI, so that the choice does not depend on the models that are compared. rois.json has all numbers.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor
from torchvision.ops import box_iou
from tqdm import tqdm

from zoomin_d2 import Interpolator
from zoomin_d2.data import MissingDatasetError, build_interpolation_test_loader
from zoomin_d2.engine.setup import setup_cfg
from zoomin_d2.evaluation import BASELINES
from zoomin_d2.evaluation.extra_metrics import score_extra, usable_extra_metrics
from zoomin_d2.evaluation.metrics import roi_psnr
from zoomin_d2.evaluation.results import write_results
from zoomin_d2.modeling.frozen_rpn import FrozenRPN
from zoomin_d2.visualization import save_picture, tile_pictures, to_picture
from zoomin_d2.visualization.draw import whole_pixels, zoom

Method = Callable[[Tensor, Tensor, Tensor], Tensor]
REFERENCE = "DIS flow"  # decides which ROIs are hard
_MAX_IOU = 0.3  # of two ROIs of one frame


def build_methods(models: list[str], device: str, dtype: torch.dtype) -> dict[str, Method]:
    """Name of the column -> (frame_1, frame_2, t) -> frame, all (N, 3, H, W) in [0, 1]."""
    methods: dict[str, Method] = {
        "average": BASELINES["average"],
        REFERENCE: BASELINES["dis_flow"],
    }
    for name in models:
        interpolator = Interpolator.from_pretrained(name, device=device, dtype=dtype)
        column = interpolator.name if interpolator.name not in methods else name
        if interpolator.name.startswith("model_"):  # a checkpoint: its folder says more
            column = Path(name).parent.name or name
        methods[column] = interpolator
    return methods


def score_rois(
    sample: dict,
    methods: dict[str, Method],
    frozen_rpn: FrozenRPN,
    extra: list[str],
    per_frame: int,
) -> list[dict]:
    """The hardest ROIs of one sample that overlap little, each with its numbers and pictures."""
    frame_1, frame_2, truth = (
        sample[k][None].float() / 255 for k in ("frame_1", "frame_2", "frame_t")
    )
    t = torch.tensor([float(sample["t"])])
    device = frozen_rpn.pixel_mean.device
    boxes = frozen_rpn.proposals(truth.to(device))[0].proposal_boxes.tensor.cpu()
    frames = {name: method(frame_1, frame_2, t)[0].cpu() for name, method in methods.items()}
    hardness = [roi_psnr(frames[REFERENCE][None], truth, [b[None]]).item() for b in boxes]
    chosen: list[int] = []
    for i in np.argsort(hardness, kind="stable").tolist():
        if len(chosen) < per_frame and all(
            box_iou(boxes[i][None], boxes[j][None]) <= _MAX_IOU for j in chosen
        ):
            chosen.append(i)
    rois = []
    for i in chosen:
        box = boxes[i][None]
        numbers = {
            name: {"PSNR": roi_psnr(frame[None], truth, [box]).item()}
            | {
                k.removeprefix("ROI_"): v
                for k, v in score_extra(extra, frame, truth[0], box).items()
                if k.startswith("ROI_")
            }
            for name, frame in frames.items()
        }
        rois.append(
            {
                "file_name": sample["file_name"],
                "box": [round(x, 1) for x in boxes[i].tolist()],
                "hardness": hardness[i],
                "methods": numbers,
                "frames": {**frames, "truth": truth[0]},
            }
        )
    return rois


def choose(rois: list[dict], num: int, per_scene: int) -> list[dict]:
    """The first ``num`` ROIs of which at most ``per_scene`` are of one scene (folder of frames)."""
    counts: Counter = Counter()
    chosen = []
    for roi in rois:
        scene = roi["file_name"].rpartition("/")[0]
        if len(chosen) < num and counts[scene] < per_scene:
            counts[scene] += 1
            chosen.append(roi)
    return chosen


def draw_rois(rois: list[dict], zoom_size: int) -> np.ndarray:
    """One row per ROI: its place, then the ROI from every frame, enlarged to one size."""
    tiles = []
    for roi in rois:
        pictures = {name: to_picture(frame) for name, frame in roi["frames"].items()}
        height, width = pictures["truth"].shape[:2]
        x0, y0, x1, y1 = whole_pixels(roi["box"], height, width)
        place = cv2.rectangle(
            pictures["truth"].copy(),
            (x0, y0),
            (x1 - 1, y1 - 1),
            (255, 220, 0),
            max(width // 200, 2),
        )
        scale = zoom_size / max(height, width)
        size = (round(width * scale), round(height * scale))
        caption = f"{roi['file_name'].split('/', 1)[-1]}, {x1 - x0} x {y1 - y0} px"
        tiles.append((caption, cv2.resize(place, size, interpolation=cv2.INTER_AREA)))
        for name, picture in pictures.items():
            tiles.append((_caption(name, roi), _enlarge(picture[y0:y1, x0:x1], zoom_size)))
    return tile_pictures(tiles, columns=1 + len(rois[0]["frames"]), font_size=13)


def _caption(name: str, roi: dict) -> str:
    if name == "truth":
        return name
    numbers = roi["methods"][name]
    text = f"{name}: {min(numbers['PSNR'], 100):.1f} dB"
    return text + (f", {numbers['LPIPS']:.3f}" if "LPIPS" in numbers else "")


def _enlarge(crop: np.ndarray, size: int) -> np.ndarray:
    """Its longer side becomes ``size`` pixels; the aspect ratio stays."""
    scale = size / max(crop.shape[:2])
    return zoom(crop, (max(round(crop.shape[1] * scale), 1), max(round(crop.shape[0] * scale), 1)))


def main(args: argparse.Namespace) -> list[dict]:
    cfg = setup_cfg("", ["DATALOADER.NUM_WORKERS", "0", "MODEL.DEVICE", args.device])
    frozen_rpn = FrozenRPN(cfg).to(args.device)
    extra = usable_extra_metrics(["LPIPS", "sharpness"])
    methods = build_methods(args.model, args.device, getattr(torch, args.dtype))
    rois: list[dict] = []
    for batch in tqdm(build_interpolation_test_loader(cfg, args.dataset), disable=None):
        for sample in batch:
            rois += score_rois(sample, methods, frozen_rpn, extra, args.per_frame)
            rois = sorted(rois, key=lambda roi: roi["hardness"])
            drawn = choose(rois, args.num, args.per_scene)
            for roi in rois:
                if not any(roi is other for other in drawn):
                    roi.pop("frames", None)  # they need much memory, and are not drawn
    if not rois:
        raise ValueError(f"no proposal was found in any frame of {args.dataset}")
    args.output.mkdir(parents=True, exist_ok=True)
    for sheet, start in enumerate(range(0, len(drawn), args.rows), start=1):
        path = args.output / f"rois_{sheet:02d}.png"
        save_picture(path, draw_rois(drawn[start : start + args.rows], args.zoom_size))
        print(path)
    for roi in rois:
        roi.pop("frames", None)
    write_results(args.output / "rois.json", {"dataset": args.dataset, "rois": rois})
    return rois


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    gpu = torch.cuda.is_available()
    parser.add_argument("--dataset", required=True, help="a name in the DatasetCatalog")
    parser.add_argument("--model", nargs="+", default=[], help="names, files or checkpoints")
    parser.add_argument("--num", type=int, default=16, help="ROIs that are drawn")
    parser.add_argument("--per-frame", type=int, default=2, help="most ROIs of one frame")
    parser.add_argument("--per-scene", type=int, default=3, help="most drawn ROIs of one scene")
    parser.add_argument("--rows", type=int, default=8, help="ROIs per picture")
    parser.add_argument("--zoom-size", type=int, default=192, help="pixels")
    parser.add_argument("--device", default="cuda" if gpu else "cpu")
    parser.add_argument("--dtype", choices=("float32", "float16", "bfloat16"), default="float32")
    parser.add_argument("--output", type=Path, default=Path("output/rois"))
    return parser.parse_args(argv)


if __name__ == "__main__":
    try:
        main(parse_args())
    except (MissingDatasetError, ValueError, OSError) as error:
        sys.exit(f"compare_rois: {error}")
