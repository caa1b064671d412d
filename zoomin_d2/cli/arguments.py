"""The options of zoomin-interpolate, and what they mean to zoomin_d2.video."""

import argparse
import os
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import torch

from zoomin_d2.cli import values
from zoomin_d2.inference.interpolator import Interpolator
from zoomin_d2.video.jobs.container_job import JobOptions
from zoomin_d2.video.read.filter_graph import DEINTERLACE
from zoomin_d2.video.read.open_source import PIPE
from zoomin_d2.video.time.cut_list import read_cuts
from zoomin_d2.video.time.pipeline import StreamOptions
from zoomin_d2.video.time.step_detection import CUT_MIN, MAX_GAP
from zoomin_d2.video.time.timeline import Target
from zoomin_d2.video.write.encoder import EncodeOptions

DTYPES = {str(x).removeprefix("torch."): x for x in (torch.float32, torch.float16, torch.bfloat16)}

EPILOG = """
examples:
  zoomin-interpolate in.mp4 out.mp4                      twice the frames
  zoomin-interpolate in.mkv out.mkv --fps 60000/1001     23.976 -> 59.94, sound and subtitles kept
  zoomin-interpolate in.mp4 slow.mp4 --slowmo 4          4 times as long
  zoomin-interpolate anime.mkv out.mkv --fps 60 --dedupe
  zoomin-interpolate frames/ out.mp4 --input-fps 24      a folder of images
  zoomin-interpolate a.png b.png between/ --multi 8      two images
  zoomin-interpolate *.mp4 smooth/ --fps 60              many videos into a folder

exit codes: 0 done, 1 unexpected error, 2 wrong options, 3 bad input, 4 damaged input (the output is
complete, earlier frames stand in for lost ones), 5 output cannot be written, 6 disk full, 7 the
model failed, 8 output failed verification, 9 done, but the output lacks part of the input (named in
the messages), 130 stopped (--resume continues). With several inputs, the first code that is not 0.
"""


def paths_before_devices(argv: Sequence[str]) -> list[str]:
    """`--device` takes several values, and would take the paths behind it as devices."""
    words, result, at = list(argv), [], 0
    while at < len(words) and words[at] != "--":
        end = behind = at + 1
        if words[at] in ("--device", "--devic", "--devi", "--dev"):
            while _is_value(words[end:]) and (end == at + 1 or not _is_path(words[end])):
                end += 1
            behind = end
            while _is_value(words[behind:]):
                behind += 1
        result += words[end:behind] + words[at:end]
        at = behind
    return result + words[at:]


def _is_value(words: Sequence[str]) -> bool:
    """Whether the next word is not an option."""
    return bool(words) and (words[0] == PIPE or not words[0].startswith("-"))


def _is_path(word: str) -> bool:
    """Not a device, well written or not."""
    return word == PIPE or any(x in word for x in "./\\") or os.path.exists(word)


def make_parser() -> argparse.ArgumentParser:
    """The options of `zoomin-interpolate`."""
    parser = argparse.ArgumentParser(
        prog="zoomin-interpolate",
        usage="zoomin-interpolate INPUT [INPUT ...] OUTPUT [options]   (--help lists them)",
        description="Make a video smoother or slower, and keep everything else in it.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "paths",
        nargs="+",
        metavar="INPUT ... OUTPUT",
        help="inputs: videos, GIFs, a folder of images, two images, or - for standard input (y4m, "
        "or --raw-input). The last argument is the output: .mp4, .mov, .mkv, .webm, .gif, .apng, "
        ".webp, a folder, or - for y4m on standard output. Several inputs, or a folder of videos, "
        "need a folder as the output",
    )
    target = parser.add_argument_group("what to make (default: --multi 2)")
    target.add_argument(
        "--multi", type=values.multi, help="output frames per input frame: 2, 3, 4, ..."
    )
    target.add_argument(
        "--fps", type=values.rate, help="output frames per second: 60, 59.94 or 60000/1001, exact"
    )
    target.add_argument(
        "--slowmo",
        type=values.positive,
        default=Fraction(1),
        help="how many times longer the output lasts",
    )
    model = parser.add_argument_group("model")
    model.add_argument(
        "--model",
        default="fast",
        help="a model that ships, a file of weights, or a method without learning: dis, average, "
        "nearest (default: fast)",
    )
    model.add_argument(
        "--device",
        nargs="+",
        help="auto (a CUDA GPU if there is one, else the CPU; the default), cpu, cuda, cuda:1, mps "
        "(Apple), or xpu (Intel); several devices share the work",
    )
    model.add_argument(
        "--backend",
        default="torch",
        help="torch (default), or onnx: ONNX Runtime with the first provider that is installed, or "
        "onnx:cpu, onnx:cuda, onnx:tensorrt, onnx:directml, onnx:openvino, onnx:coreml; or "
        "openvino: the CPU, in 0.6 of the time with AMX, or openvino:int8: with convolutions of 8 "
        "bits, for CPUs without AMX",
    )
    model.add_argument(
        "--dtype",
        choices=DTYPES,
        help="precision of the model (default: depends on the device)",
    )
    model.add_argument(
        "--tile",
        type=values.tile,
        default="auto",
        help="side in pixels of the overlapping tiles that large frames are cut into, off, or auto "
        "(default): as large as free memory allows",
    )
    model.add_argument(
        "--flow-scale",
        type=values.flow_scale,
        help="estimate motion on frames of this size, relative to the input's; auto: half or a "
        "quarter for a pair with large motion, if that fits better (default: auto; 1 with onnx, "
        "and for paper on a GPU)",
    )
    model.add_argument(
        "--quality",
        choices=("standard", "best"),
        default="standard",
        help="best: average each frame with those of mirrored pairs, for four times the work",
    )
    model.add_argument(
        "--detail",
        type=float,
        help="0 to 2: how far made frames get the fine structure of the frames around them "
        "(default: 1 for fast-roigan and fine-roigan, 0 for others)",
    )
    frames = parser.add_argument_group("frames")
    frames.add_argument("--no-cuts", action="store_true", help="do not look for scene cuts")
    frames.add_argument(
        "--cut-threshold",
        type=values.threshold,
        help=f"from 0 to 255; higher values find fewer cuts (default: {CUT_MIN:g})",
    )
    frames.add_argument(
        "--on-cut",
        choices=["nearest", "blend"],
        default="nearest",
        help="across a cut, show the nearer frame (default) or blend both",
    )
    frames.add_argument(
        "--list-cuts",
        type=Path,
        metavar="FILE.csv",
        help="make no video: write the cuts, fades and dissolves of the input to this file, and "
        "pictures of them to a .png of the same name",
    )
    frames.add_argument(
        "--cuts",
        type=Path,
        metavar="FILE.csv",
        help="take these instead of looking for any (from --list-cuts, edited or not)",
    )
    frames.add_argument(
        "--loop",
        action="store_true",
        help="for clips that repeat: after the last frame comes the first one again",
    )
    frames.add_argument(
        "--dedupe", action="store_true", help="anime, telecine: spread motion over repeated frames"
    )
    frames.add_argument(
        "--max-gap",
        type=values.gap,
        default=MAX_GAP,
        metavar="SECONDS",
        help="hold the last frame over pauses longer than this, if they are also far longer than "
        "the steps around them (screen recordings); off interpolates every pause (default: "
        f"{MAX_GAP:g})",
    )
    frames.add_argument(
        "--on-damage",
        choices=["hold", "fail"],
        default="hold",
        help="for frames that cannot be read: hold the last good frame (default), or stop",
    )
    frames.add_argument(
        "--shutter",
        type=values.shutter,
        metavar="ANGLE",
        help="motion blur of a shutter that is open for this much of the time between two output "
        "frames, in degrees: 180 is a film camera's, 360 all of it (16 made frames for each output "
        "frame at 180)",
    )
    _add_protection(parser)
    output = parser.add_argument_group("output")
    output.add_argument(
        "--codec",
        help="h264, h265, av1, vp9, prores, ffv1, h264_nvenc, hevc_nvenc, av1_nvenc (default: "
        "h264; h265 for 10 bits; vp9 or av1 in .webm)",
    )
    output.add_argument(
        "--crf",
        type=int,
        help="quality; lower is better (default: h264 16, h265 18, vp9 20, av1 24)",
    )
    output.add_argument(
        "--preset",
        help="the encoder's own speed preset: ultrafast to veryslow for h264 and h265, 0 (slow) to "
        "13 for av1, 0 to 8 for vp9; for prores its profile, proxy to 4444xq",
    )
    output.add_argument("--pix-fmt", help="FFmpeg's name, such as yuv420p (default: the input's)")
    output.add_argument(
        "--audio",
        choices=["copy", "encode", "stretch", "drop"],
        help="default: copy; with --slowmo: stretch, which keeps the pitch",
    )
    output.add_argument(
        "--estimate",
        action="store_true",
        help="make no output; measure some frames and print the time, memory, and disk needed",
    )
    output.add_argument("--overwrite", action="store_true", help="replace an existing output")
    output.add_argument("--resume", action="store_true", help="continue an unfinished run")
    output.add_argument(
        "--preview", type=values.seconds, metavar="5s", help="stop after this much of the input"
    )
    output.add_argument(
        "--compare",
        choices=["side", "split"],
        help="show the input (held) on the left, the result on the right",
    )
    output.add_argument(
        "--draw-proposals", action="store_true", help="draw the RPN's boxes on the frames"
    )
    output.add_argument(
        "--json", action="store_true", help="print progress and report as JSON lines"
    )
    output.add_argument("--quiet", action="store_true", help="print only warnings and errors")
    output.add_argument("--debug", action="store_true", help="show where errors come from")
    before = parser.add_argument_group("before interpolation")
    before.add_argument(
        "--deinterlace",
        action="store_true",
        help="make a frame of every field (bwdif): 50i becomes 50p, to which --multi and --fps "
        "then apply; --fps 50 adds no frames",
    )
    before.add_argument(
        "--filter",
        type=values.filters,
        metavar="FILTERS",
        help="video filters of FFmpeg, such as crop=1920:800,unsharp; after --deinterlace",
    )
    sources = parser.add_argument_group("input without timestamps")
    sources.add_argument("--input-fps", type=values.rate, help="frame rate of images (default: 24)")
    sources.add_argument(
        "--raw-input", metavar="1920x1080:rgb24:30", help="raw video on standard input"
    )
    return parser


def _add_protection(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("text, logos, and pixels that cannot be trusted")
    group.add_argument(
        "--no-still",
        action="store_true",
        help="interpolate text, logos and HUDs like the motion around them (default: what stands "
        "still over motion, and equal pixels, stay as they are)",
    )
    group.add_argument(
        "--mask",
        metavar="IMAGE",
        help="of the input's size; where it is white, the nearer frame is shown",
    )
    group.add_argument(
        "--unsure",
        choices=["keep", "nearest", "blend"],
        default="keep",
        help="where the model is unsure, keep what it made (default), or show the nearest frame or "
        "a blend of both there; on a GPU, the last two take longer (1.4 times at 1080p)",
    )


def make_target(args: argparse.Namespace) -> Target:
    """Raises ValueError for options that contradict each other."""
    multi = args.multi
    if multi is None and args.fps is None and args.slowmo == 1:
        multi = 2
    return Target(multi, args.fps, args.slowmo)


def check_cut_options(args: argparse.Namespace) -> None:
    """Raises ValueError for options on cuts and loops that contradict each other."""
    if args.cuts is not None:
        for name in ("list_cuts", "no_cuts", "cut_threshold"):
            if getattr(args, name) not in (None, False):
                raise ValueError(f"--cuts cannot be combined with --{name.replace('_', '-')}")
    if args.list_cuts is not None and (args.no_cuts or args.estimate):
        other = "--no-cuts" if args.no_cuts else "--estimate"
        raise ValueError(f"--list-cuts cannot be combined with {other}")
    if args.loop and args.preview is not None:
        raise ValueError("--loop cannot be combined with --preview, which leaves out the end")


def cut_threshold(args: argparse.Namespace) -> float:
    """The given one, or the default."""
    return CUT_MIN if args.cut_threshold is None else args.cut_threshold


def filters_of(args: argparse.Namespace) -> str:
    """The filters that frames go through before interpolation, as one chain."""
    return ",".join(filter(None, [DEINTERLACE if args.deinterlace else "", args.filter]))


def make_options(args: argparse.Namespace, model: Interpolator) -> JobOptions:
    """The parsed options as options of a job."""
    stream = StreamOptions(
        cut_threshold=None if args.no_cuts else cut_threshold(args),
        cuts=None if args.cuts is None else read_cuts(args.cuts),
        loop=args.loop,
        on_cut=args.on_cut,
        dedupe=args.dedupe,
        max_gap=args.max_gap,
        keep_still=not args.no_still,
        mask=args.mask,
        unsure=args.unsure,
        shutter=args.shutter,
    )
    drawn = {"compare": args.compare, "draw_proposals": args.draw_proposals}
    return JobOptions(
        stream=stream,
        encode=EncodeOptions(args.codec, args.crf, args.preset, args.pix_fmt),
        audio="encode" if args.audio == "stretch" else args.audio,
        resume=args.resume,
        overwrite=args.overwrite,
        on_damage=args.on_damage,
        model=model.name,
        limit=args.preview,
        extra=model.settings | {k: v for k, v in drawn.items() if v},
    )
