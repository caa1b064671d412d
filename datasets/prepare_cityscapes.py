#!/usr/bin/env python3
"""Make cityscapes_sequence_{train,val}: the 256x512 inputs of the 1024x2048 video frames.

It needs ROOT/cityscapes/leftImg8bit_sequence/ (datasets/README.md), whose images stay in use as the
high-resolution partners, and writes about 35 GB (train) and 6 GB (val) beside it.

  python datasets/prepare_cityscapes.py
"""

import argparse
import os
import sys
from pathlib import Path

from detectron2.utils.logger import setup_logger

from zoomin_d2.cli.tool_arguments import at_least
from zoomin_d2.data.datasets.builtin import datasets_root
from zoomin_d2.data.datasets.cityscapes import PREPARED, prepare_cityscapes
from zoomin_d2.user_errors import add_debug_option, one_line_errors


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--root", type=Path, default=None, help="default: $DETECTRON2_DATASETS or ./datasets"
    )
    parser.add_argument("--splits", nargs="+", choices=("train", "val"), default=("train", "val"))
    parser.add_argument(
        "--workers", type=at_least(1), default=os.cpu_count() or 1, help="processes"
    )
    add_debug_option(parser)
    args = parser.parse_args(argv)
    logger = setup_logger(name="zoomin_d2")
    folder = Path(args.root or datasets_root()) / "cityscapes"
    for split in args.splits:
        with one_line_errors(args.debug):
            index = prepare_cityscapes(folder, split, args.workers)
        for item in index["corrupt_videos"]:
            logger.warning("Skipped a snippet: %s: %s", item["file"], item["reason"])
        logger.info("%s", ", ".join(f"{n} {name}" for name, n in index["counts"].items()))
        logger.info(
            "Dataset cityscapes_sequence_%s is ready in %s", split, folder / PREPARED / split
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
