#!/usr/bin/env python3
"""Measure time, memory and quality: of a frame, of training, of the video pipeline.

    tools/benchmark.py frame --model fast paper-roigan
    tools/benchmark.py frame --config-file configs/fast/baseline.yaml     # speed only
    tools/benchmark.py frame --model fast --peer rife_peer:rife_v4_6 --dataset triplets_dev
    tools/benchmark.py training --config-file configs/roigan.yaml --gpus 1 2 --mode eager compiled
    tools/benchmark.py video memory                            # peak memory against length
    tools/benchmark.py video overhead --model dis              # of the job over its model
    tools/benchmark.py video stages real.mp4 --fps 60 --repeat 4     # what bounds the job

`tools/benchmark.py frame --help` (training, video ...) explains what is measured, and how.
"""

import sys
import tempfile
from argparse import Namespace
from fractions import Fraction
from pathlib import Path

import torch

from zoomin_d2 import Interpolator
from zoomin_d2.cli.tool_arguments import ToolParser, at_least, frame_size
from zoomin_d2.engine import training_benchmark
from zoomin_d2.engine.resilience.provenance import git_commit
from zoomin_d2.engine.setup import setup_cfg
from zoomin_d2.evaluation.benchmark import frame, video
from zoomin_d2.evaluation.benchmark.measurements import Effort
from zoomin_d2.evaluation.benchmark.report import format_report
from zoomin_d2.files import write_json
from zoomin_d2.inference.devices import as_device
from zoomin_d2.inference.peers import MODES, load_model
from zoomin_d2.modeling import build_generator
from zoomin_d2.user_errors import UserError, one_line_errors
from zoomin_d2.video import Target
from zoomin_d2.video.read.rates import parse_rate

FRAME = """How long one interpolated frame takes, how much memory, and how good it is.

Everything is in --output/benchmark.json, written after every measurement; benchmark.md and fig4.png
are made from it. --resume keeps its measurements. After --budget SECONDS, no new measurement
starts. The most important come first: latency and memory at the sizes 448x256, 2048x1024 and
3840x2160, the same compiled, quality, other sizes, throughput.

Latency is the median (10th to 90th percentile) of --calls calls for one pair, t = 0.5, with frames
on the device: 8-bit in and out for our models, as they are used; peers get [0, 1] frames of the
dtype, converted before the clock starts. GPU events are used on a GPU, wall time on a CPU. The same
code runs every method in every mode: eager; graph (one recorded CUDA graph); triton (our fused
kernels in a CUDA graph); compiled (torch.compile, inside a CUDA graph on a GPU). ZOOMIN_TRITON=1 in
the environment also uses the cost volume's kernel in the other modes.
"""
TRAINING = """How many samples per second a training processes, and how that grows with GPUs.

Every measurement is a short training in its own process. The first third of its iterations is left
out (cuDNN's search, compilation); the clock starts and stops with the GPU idle.
SOLVER.IMS_PER_BATCH is the batch of ONE process here, so two processes do twice the work, and a
speed-up of 2 is the maximum. --minutes also prints how many iterations fit into that time. The
table is printed and written to --output/benchmark_training.json. Without a GPU, processes on the
CPU are measured.
"""
SIZES = ["448x256", "1280x720", "1920x1080", "2048x1024", "3840x2160", "7680x4320"]


def benchmark_frame(args: Namespace) -> dict:
    device = as_device(args.device)
    plan = frame.FramePlan(
        device=device,
        modes=args.mode,
        dtypes=args.dtype,
        sizes=args.size,
        effort=Effort(args.calls, args.seconds),
        batch=args.batch,
        batch_pixels=args.batch_pixels[0] * args.batch_pixels[1],
        samples=frame.read_samples(args.dataset) if args.dataset else [],
        compiled_quality=args.compiled_quality,
    )
    contestants = [
        frame.our_contestant(Path(x).stem, lambda x=x: load_model(x), plan) for x in args.model
    ]
    for config in args.config_file:
        cfg = setup_cfg(config, args.opts)
        recipe = "/".join(Path(config).resolve().with_suffix("").parts[-2:])  # fast/baseline
        label = f"{cfg.MODEL.GENERATOR.NAME} ({recipe}, random weights)"
        contestants.append(
            frame.our_contestant(
                label, lambda cfg=cfg: build_generator(cfg).eval(), plan, random_weights=True
            )
        )
    contestants += [frame.peer_contestant(x, plan) for x in args.peer]
    if not contestants:
        raise ValueError("nothing to measure: give --model, --config-file or --peer")
    names = [x.name for x in contestants]
    if twice := [x for x in names if names.count(x) > 1]:
        raise ValueError(
            f"two methods have the name '{twice[0]}', by which results are kept: rename one file"
        )
    settings = frame.benchmark_settings(device, git_commit())
    path = args.output / "benchmark.json"
    bench = frame.Measurements(path, args.resume, args.budget, settings)
    content = frame.FrameBenchmark(contestants, plan, bench).run()
    print("\n" + format_report(content))
    if content["rows"] and all("error" in row for row in content["rows"]):
        raise UserError("nothing could be measured: see the errors above")
    return content


def benchmark_training(args: Namespace) -> list[dict]:
    args.output.mkdir(parents=True, exist_ok=True)
    results = []
    for mode, processes in ((m, n) for m in args.mode for n in args.gpus):
        folder = args.output / f"{mode}_{processes}"
        try:
            result = training_benchmark.run_measurement(
                args.config_file, args.opts, folder, mode, processes, args.iterations
            )
        except RuntimeError as error:
            print(error, file=sys.stderr)
            continue
        results.append(result)
        write_json(args.output / "benchmark_training.json", results)
        if args.minutes:
            fits = int(60 * args.minutes / result["s/iteration"])
            print(f"{mode}, {processes}: SOLVER.MAX_ITER {fits} in {args.minutes:g} minutes")
    if not results:
        raise ValueError("nothing was measured: every training failed, see above")
    print(training_benchmark.format_table(results))
    return results


def benchmark_video(args: Namespace) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if args.what == "memory":
            video.measure_memory(args.frames, args.size[::-1], folder)
        elif args.what == "overhead":
            if args.config_file:
                cfg = setup_cfg(args.config_file, args.opts)
                label = f"{cfg.MODEL.GENERATOR.NAME}, random weights"
                interpolate = Interpolator(build_generator(cfg).eval())
            else:
                interpolate = Interpolator.from_pretrained(args.model)
                label = interpolate.name
            video.measure_overhead(label, interpolate, args.num_pairs, folder)
        else:
            model = Interpolator.from_pretrained(args.model, device=args.device)
            video.measure_stages(
                args.clip,
                model,
                Target(fps=args.fps),
                folder,
                repeat=args.repeat,
                preset=args.preset,
            )


def make_parser() -> ToolParser:
    parser = ToolParser(__doc__)
    kinds = parser.add_subparsers(dest="kind", required=True)
    _add_frame(kinds.add_parser("frame", description=FRAME, help=FRAME.splitlines()[0]))
    _add_training(kinds.add_parser("training", description=TRAINING, help=TRAINING.splitlines()[0]))
    line = video.__doc__.splitlines()[0]
    _add_video(kinds.add_parser("video", description=video.__doc__, help=line))
    return parser


def _add_frame(parser: ToolParser) -> None:
    gpu = torch.cuda.is_available()
    parser.add_argument("--model", nargs="+", default=[], help="names in the zoo, or files")
    parser.add_argument("--peer", nargs="+", default=[], metavar="MODULE:FUNCTION")
    parser.add_argument("--dataset", default="", help="PSNR on these triplets, for every mode")
    parser.add_argument("--size", nargs="+", type=frame_size, default=list(map(frame_size, SIZES)))
    parser.add_argument("--mode", nargs="+", choices=MODES, default=["triton", "graph", "eager"])
    parser.add_argument(
        "--compiled-quality", action="store_true", help="also PSNR of compiled modes"
    )
    parser.add_argument(
        "--dtype", nargs="+", choices=frame.DTYPES, default=["float16" if gpu else "float32"]
    )
    parser.add_argument("--device", default="cuda" if gpu else "cpu")
    parser.add_argument(
        "--batch", type=at_least(1), default=8, help="pairs per call, for throughput"
    )
    parser.add_argument(
        "--batch-pixels", type=frame_size, default="1920x1080", help="largest size for --batch"
    )
    parser.add_argument("--calls", type=at_least(1), default=20, help="maximum per measurement")
    parser.add_argument("--seconds", type=float, default=20.0, help="maximum per measurement")
    parser.add_argument("--budget", type=float, default=1e9, help="seconds for everything")
    parser.add_argument("--resume", action="store_true", help="keep the results in benchmark.json")
    parser.add_output("output/benchmark")
    parser.add_config(several=True)
    parser.set_defaults(run=benchmark_frame)


def _add_training(parser: ToolParser) -> None:
    modes = training_benchmark.MODES
    parser.add_argument("--gpus", type=at_least(1), nargs="+", default=[1], metavar="N")
    parser.add_argument("--mode", nargs="+", choices=modes, default=["eager"])
    parser.add_argument(
        "--iterations",
        type=at_least(6),
        default=60,
        help="per measurement, 6 or more: a third of them warms up",
    )
    parser.add_argument("--minutes", type=float, help="print how many iterations fit")
    parser.add_output("output/benchmark")
    parser.add_config()
    parser.set_defaults(run=benchmark_training)


def _add_video(parser: ToolParser) -> None:
    parts = parser.add_subparsers(dest="what", required=True)
    memory = parts.add_parser("memory", help="peak memory of clips of several lengths, made here")
    memory.add_argument("--frames", type=at_least(2), nargs="+", default=[1000, 4000])
    memory.add_argument("--size", type=frame_size, default="640x360")
    overhead = parts.add_parser(
        "overhead", help="what a job takes beyond its model, on clips made here"
    )
    overhead.add_argument("--model", default="dis")
    overhead.add_argument("--num-pairs", type=at_least(1), default=40)
    overhead.add_config()
    stages = parts.add_parser("stages", help="output frames per second of a job and its stages")
    stages.add_argument("clip", type=Path)
    stages.add_argument("--fps", type=parse_rate, default=Fraction(60))
    stages.add_argument(
        "--repeat", type=at_least(1), default=1, help="how many times the clip is played"
    )
    stages.add_argument("--model", default="fast")
    stages.add_argument("--device", nargs="+")
    stages.add_argument("--preset", help="the encoder's preset")
    parser.set_defaults(run=benchmark_video)


if __name__ == "__main__":
    arguments = make_parser().parse_args()
    with one_line_errors(arguments.debug):
        arguments.run(arguments)
