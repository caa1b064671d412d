#!/usr/bin/env python3
"""Make ucf101_train from the UCF101 videos: four random triplets of every training clip.

It needs ROOT/ucf101/UCF-101/ and ROOT/ucf101/ucfTrainTestlist/ (datasets/README.md), and writes
about 30 GB to ROOT/ucf101/triplets_train/. The choice of triplets depends only on the clips' names
and --seed. Only --overwrite replaces a set with another list, size or seed; the old set stays until
the new one is complete.

  python datasets/prepare_ucf101.py
"""

import argparse
import os
import sys
from pathlib import Path

from detectron2.utils.logger import setup_logger

from zoomin_d2.cli.tool_arguments import at_least
from zoomin_d2.data.datasets.builtin import datasets_root
from zoomin_d2.data.datasets.ucf101 import SHORT_SIDE, prepare_ucf101
from zoomin_d2.user_errors import add_debug_option, one_line_errors


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--root", type=Path, default=None, help="default: $DETECTRON2_DATASETS or ./datasets"
    )
    parser.add_argument("--list", type=int, choices=(1, 2, 3), default=1, help="official split")
    parser.add_argument(
        "--short-side",
        type=at_least(16),
        default=SHORT_SIDE,
        help="rows of the 320x240 frames after resizing; 240 keeps them, but limits "
        "INPUT.CROP_SIZE to 240 (default: %(default)s)",
    )
    parser.add_argument(
        "--seed", type=at_least(0), default=0, help="seed of the choice of triplets"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace a set with other options")
    parser.add_argument(
        "--workers", type=at_least(1), default=os.cpu_count() or 1, help="processes"
    )
    add_debug_option(parser)
    args = parser.parse_args(argv)
    logger = setup_logger(name="zoomin_d2")
    folder = Path(args.root or datasets_root()) / "ucf101"
    with one_line_errors(args.debug):
        index = prepare_ucf101(
            folder,
            args.list,
            args.short_side,
            args.seed,
            args.workers,
            overwrite=args.overwrite,
        )
    for item in index["corrupt_videos"]:
        logger.warning("Skipped a corrupt clip: %s: %s", item["file"], item["reason"])
    logger.info("%s", ", ".join(f"{n} {name}" for name, n in index["counts"].items()))
    logger.info("Dataset ucf101_train is ready in %s", folder / "triplets_train")
    return 0


if __name__ == "__main__":
    sys.exit(main())
