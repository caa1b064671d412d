#!/usr/bin/env python3
"""tools/train_net.py with code of your own: import it, register it, then train as usual.

    examples/train_with_my_dataset.py --config-file configs/baseline.yaml \
        DATASETS.TRAIN "('my_frames',)"
"""

import sys
from pathlib import Path

from detectron2.engine import default_argument_parser

from zoomin_d2.engine import run_distributed

ROOT = Path(__file__).resolve().parents[1]
sys.path += [str(ROOT / "examples"), str(ROOT / "tools")]  # where your module and train_net.py are

import add_dataset  # noqa: E402
import train_net  # noqa: E402


def main(args):
    add_dataset.register()  # here, so that every process of --num-gpus registers it
    return train_net.main(args)


if __name__ == "__main__":
    run_distributed(main, default_argument_parser(__doc__).parse_args())
