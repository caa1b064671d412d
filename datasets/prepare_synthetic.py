#!/usr/bin/env python3
"""Make a test set of synthetic layered triplets (448x256, t = 0.5) from images.

The result is the dataset triplets_NAME. Its truth is exact; its layers move by up to 40 pixels and
include fine stripes, grids and text. Use images that no training sees.

  python datasets/prepare_synthetic.py FOLDER_OF_IMAGES --name synthetic_val
  python datasets/prepare_synthetic.py          # frames of sample_clips_val
  python tools/evaluate.py baselines --dataset triplets_synthetic_val
"""

import argparse
import sys
from pathlib import Path

from detectron2.utils.logger import setup_logger

from zoomin_d2.cli.tool_arguments import at_least, check_plain_name
from zoomin_d2.data.datasets.builtin import SAMPLE_CLIPS_FOLDER, datasets_root
from zoomin_d2.data.datasets.sample_clips import load_sample_clips
from zoomin_d2.data.datasets.synthetic_triplets import (
    find_images,
    stills_of_clips,
    write_synthetic_triplets,
)
from zoomin_d2.user_errors import add_debug_option, one_line_errors


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "sources",
        nargs="*",
        type=Path,
        help="images, or folders to search for images (default: frames of sample_clips_val)",
    )
    parser.add_argument(
        "--name", default="synthetic_val", help="the dataset becomes triplets_NAME (%(default)s)"
    )
    parser.add_argument(
        "--num", type=at_least(1), default=100, help="triplets (default: %(default)s)"
    )
    parser.add_argument(
        "--seed", type=at_least(0), default=0, help="random seed (default: %(default)s)"
    )
    parser.add_argument(
        "--root", type=Path, default=None, help="default: $DETECTRON2_DATASETS or ./datasets"
    )
    add_debug_option(parser)
    args = parser.parse_args(argv)
    logger = setup_logger(name="zoomin_d2")
    root = Path(args.root or datasets_root())
    folder = root / "triplets" / args.name
    with one_line_errors(args.debug):
        check_plain_name(args.name, "triplets")
        if args.sources:
            stills, num_skipped = find_images(args.sources)
            if num_skipped:
                logger.warning(
                    "Skipping %d images: smaller than 448x256, or unreadable", num_skipped
                )
        else:
            stills = stills_of_clips(load_sample_clips(root / SAMPLE_CLIPS_FOLDER, "val"))
        logger.info("Making %d triplets from %d stills", args.num, len(stills))
        write_synthetic_triplets(stills, folder, args.num, args.seed)
    logger.info("Dataset triplets_%s is ready in %s", args.name, folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
