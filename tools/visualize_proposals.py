#!/usr/bin/env python3
"""Draw RPN proposals on interpolated frames, and zoom into each of them.

    tools/visualize_proposals.py --config-file configs/roigan.yaml --input a.png b.png \
        MODEL.WEIGHTS output/roigan/model_best.pth
    tools/visualize_proposals.py --config-file ... --input clip.mp4 --num 6 MODEL.WEIGHTS ...
    tools/visualize_proposals.py --config-file ... --input sample_clips_val MODEL.WEIGHTS ...

--input is two images (the inputs), three (the middle one is the truth), a video (frames k and
k + 2, with k + 1 as the truth, evenly spaced) or the name of a dataset. For each sample it writes
<name>_proposals.png (boxes on the interpolated frame), <name>_zoom.png (every ROI from prediction,
truth and average) and <name>_panel.png (inputs, flows, mask, error).
"""

import argparse
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from detectron2.modeling import build_model
from detectron2.utils.logger import setup_logger

from zoomin_d2.cli.tool_arguments import ToolParser, at_least
from zoomin_d2.data import build_interpolation_test_loader, is_dataset
from zoomin_d2.data.frame_store import read_image
from zoomin_d2.data.video_file import VideoFile
from zoomin_d2.engine import AtomicCheckpointer, setup_cfg
from zoomin_d2.evaluation import BASELINES
from zoomin_d2.frames import IMAGE_SUFFIXES
from zoomin_d2.user_errors import one_line_errors
from zoomin_d2.visualization import draw_proposals, interpolation_panel, save_picture, zoom_panel


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = ToolParser(__doc__)
    parser.add_argument("--input", nargs="+", required=True, help="images, a video or a dataset")
    parser.add_argument("--num", type=at_least(1), default=4, help="number of samples")
    parser.add_output("output/proposals")
    parser.add_config()
    return parser.parse_args(argv)


def read_samples(cfg, inputs: list[str], num: int) -> Iterator[dict]:
    """`batched_inputs` samples of the files or dataset in --input.

    Raises:
        ValueError: it is neither images, nor a video, nor a dataset.
    """
    paths = [Path(x) for x in inputs]
    if len(inputs) in (2, 3):
        frames = [read_image(str(p)) for p in paths]
        yield _sample(frames[0], frames[-1], frames[1] if len(frames) == 3 else None, paths[0].stem)
    elif len(inputs) == 1 and paths[0].is_file():
        if paths[0].suffix.lower() in IMAGE_SUFFIXES:
            raise ValueError(
                f"{paths[0]} is one image: give two, or three with the true one between"
            )
        video = VideoFile(paths[0])
        if len(video) < 3:
            raise ValueError(f"{paths[0]} has {len(video)} frames, at least three are needed")
        for k in np.linspace(0, len(video) - 3, min(num, len(video) - 2)).astype(int).tolist():
            first, truth, last = (video.read(k + i) for i in range(3))
            yield _sample(first, last, truth, f"{paths[0].stem}_{k:06d}")
    elif len(inputs) == 1 and is_dataset(inputs[0]):
        loader = build_interpolation_test_loader(cfg, inputs[0])
        step = max(len(loader) // num, 1)
        yield from (batch[0] for batch in islice(loader, 0, step * num, step))
    else:
        raise ValueError(
            f"--input {' '.join(inputs)}: give two or three images, one video file, or the name of "
            "a dataset (datasets/README.md)"
        )


def _sample(frame_1: np.ndarray, frame_2: np.ndarray, truth: np.ndarray | None, name: str) -> dict:
    frames = {"frame_1": frame_1, "frame_2": frame_2}
    if truth is not None:
        frames["frame_t"] = truth
    sizes = {frame.shape[:2] for frame in frames.values()}
    if len(sizes) > 1:
        raise ValueError(f"{name}: frames must have one size, got (height, width) {sorted(sizes)}")
    tensors = {
        k: torch.from_numpy(np.ascontiguousarray(v.transpose(2, 0, 1))) for k, v in frames.items()
    }
    return {**tensors, "t": 0.5, "file_name": name}


def draw_sample(model, sample: dict, output: Path) -> list[Path]:
    """Interpolate one sample and write its pictures; returns their paths."""
    result = model([sample])[0]
    pred = result["pred_frame"].cpu()
    boxes = model.frozen_rpn.proposals(result["pred_frame"][None])[0].proposal_boxes.to("cpu")
    stem = sample["file_name"].replace("/", "_")
    frame_1, frame_2 = (sample[k].float() / 255 for k in ("frame_1", "frame_2"))
    t = torch.tensor([sample["t"]])
    columns = {"prediction": pred}
    if "frame_t" in sample:
        columns["truth"] = sample["frame_t"].float() / 255
    columns["average"] = BASELINES["average"](frame_1[None], frame_2[None], t)[0]
    pictures = {
        "proposals": draw_proposals(pred, boxes, scale=2.0 if pred.shape[-1] < 640 else 1.0),
        "panel": interpolation_panel(
            frame_1=frame_1,
            frame_2=frame_2,
            frame_t=columns.get("truth"),
            **{k: v.cpu() for k, v in result.items() if k != "proposals"},
        ),
    }
    if len(boxes):
        pictures["zoom"] = zoom_panel(columns, boxes)
    paths = []
    for kind, picture in pictures.items():
        paths.append(output / f"{stem}_{kind}.png")
        save_picture(paths[-1], picture)
    return paths


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    logger = setup_logger(name="zoomin_d2")
    with one_line_errors(args.debug):
        cfg = setup_cfg(args.config_file, args.opts)
        cfg.TEST.ROI_METRICS = False  # boxes are drawn on the interpolated frame, not the truth
        cfg.DATALOADER.NUM_WORKERS = 0
        model = build_model(cfg).eval()
        if not cfg.MODEL.WEIGHTS:
            logger.warning("MODEL.WEIGHTS is empty: the generator is untrained")
        AtomicCheckpointer(model).resume_or_load(cfg.MODEL.WEIGHTS, resume=False)
        args.output.mkdir(parents=True, exist_ok=True)
        for sample in read_samples(cfg, args.input, args.num):
            for path in draw_sample(model, sample, args.output):
                print(path)


if __name__ == "__main__":
    main()
