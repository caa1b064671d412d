#!/usr/bin/env python3
"""Make a training set from any folder of video files: shots, usable frames, an index.

The result is the dataset videos_NAME. Each shot becomes one packed file that training reads at
memory speed. Cuts, repeated frames, still stretches, and uneven time steps part a video into runs;
frames in no run of at least three are left out, and counted by reason.
Running the same command again resumes where it stopped. A NAME that holds other videos, or frames
of another size, is refused without --overwrite; the old set stays until the new one is complete.

  python datasets/prepare_videos.py ~/my_videos --name mine --short-side 540
  python datasets/prepare_videos.py ~/my_validation_videos --name mine_val --short-side 540
  python tools/train_net.py --config-file configs/roigan.yaml DATASETS.TRAIN '("videos_mine",)'
"""

import argparse
import os
import sys
from pathlib import Path

from detectron2.utils.logger import setup_logger

from zoomin_d2.cli.tool_arguments import at_least, check_plain_name
from zoomin_d2.data.datasets.builtin import datasets_root
from zoomin_d2.data.video_packing import PackOptions, prepare_video_folder
from zoomin_d2.user_errors import add_debug_option, one_line_errors


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", type=Path, help="folder of videos, searched recursively")
    parser.add_argument("--name", required=True, help="the dataset becomes videos_NAME")
    parser.add_argument(
        "--root", type=Path, default=None, help="default: $DETECTRON2_DATASETS or ./datasets"
    )
    parser.add_argument(
        "--short-side", type=at_least(16), default=None, help="shrink frames to this many pixels"
    )
    parser.add_argument(
        "--hr-scale",
        type=at_least(0),
        default=0,
        help="S: keep the source frames as high-resolution partners of frames 1/S the size",
    )
    parser.add_argument(
        "--index-only",
        action="store_true",
        help="write no frames: training decodes the video files (slower, no resizing)",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace another set of this name")
    parser.add_argument(
        "--workers", type=at_least(1), default=os.cpu_count() or 1, help="processes"
    )
    add_debug_option(parser)
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    args = parse_args(argv)
    logger = setup_logger(name="zoomin_d2")
    with one_line_errors(args.debug):
        check_plain_name(args.name, "videos")
        root = args.root if args.root is not None else Path(datasets_root())
        options = PackOptions(args.short_side, args.hr_scale, pack=not args.index_only)
        destination = root / "videos" / args.name
        try:
            index = prepare_video_folder(
                args.source, destination, options, args.workers, overwrite=args.overwrite
            )
        except KeyboardInterrupt:
            logger.error("Stopped. Run the same command again to resume")
            return 130
    for item in index["corrupt_videos"]:
        logger.warning("Skipped a corrupt video: %s: %s", item["file"], item["reason"])
    counts = {name.replace("_", " "): n for name, n in index["counts"].items()}
    logger.info("%s", ", ".join(f"{name}: {n}" for name, n in counts.items()))
    logger.info("Dataset videos_%s is ready in %s", args.name, destination)
    return 0


if __name__ == "__main__":
    sys.exit(main())
