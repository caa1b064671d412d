#!/usr/bin/env python3
"""How long one interpolated frame takes, how much memory, and how good it is: ours and others.

    tools/benchmark.py --model fast paper-roigan
    tools/benchmark.py --config-file configs/fast/baseline.yaml      # random weights: speed only
    tools/benchmark.py --model fast --peer rife_peer:rife_v4_6 --dataset triplets_dev
    OMP_NUM_THREADS=2 tools/benchmark.py --model fast --device cpu --size 640x480 --dtype float32

One json holds everything (--output, written after every measurement, so that nothing is lost when
the time is up); benchmark.md and fig4.png are made from it. Existing measurements in the json are
kept and not repeated with --resume. --budget SECONDS starts nothing new after that time; what
matters most comes first: latency and memory at the sizes 448x256, 2048x1024 and 3840x2160, the same
compiled, quality, other sizes, throughput.

Latency: median (10th to 90th percentile) of --calls calls for one pair, t = 0.5, frames on the
device: 8-bit in and out for our models, as they are used; peers get [0, 1] frames of the dtype,
converted before the clock runs. GPU events on a GPU, wall time on a CPU. Every method runs in
every mode by the same code: eager; graph (one recorded CUDA graph); triton (our fused kernels in a
CUDA graph); compiled (torch.compile, inside a CUDA graph on a GPU). The environment's
ZOOMIN_TRITON=1 puts the cost volume's kernel into the other modes, too.
"""

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from analyze_model import parse_size
from benchmark_measurements import latency, peer_macs, quality, several_times, streamed
from benchmark_report import draw_quality_against_time, format_report

from zoomin_d2.data import MissingDatasetError, build_interpolation_test_loader
from zoomin_d2.engine.resilience.provenance import git_commit
from zoomin_d2.engine.setup import setup_cfg
from zoomin_d2.evaluation.complexity import count_macs, count_parameters
from zoomin_d2.files import write_json
from zoomin_d2.inference.engine import can_use_triton
from zoomin_d2.inference.peers import MODES, TimedModel, TimedPeer, load_model, load_peer
from zoomin_d2.modeling import build_generator

SIZES = ["448x256", "1280x720", "1920x1080", "2048x1024", "3840x2160", "7680x4320"]
BARS = {(256, 448), (1024, 2048), (2160, 3840)}  # (height, width) that come first
DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}

Make = Callable[[str, torch.dtype], TimedModel | TimedPeer]


class Benchmark:
    """The measurements of one json file.

    Args:
        path: of the json; what is in it is kept if `resume`.
        budget: seconds after which nothing new is started.
    """

    def __init__(self, path: Path, resume: bool, budget: float, settings: dict):
        self.path = path
        self.begin = time.monotonic()
        self.deadline = self.begin + budget
        self.content = {**settings, "rows": [], "left_out": []}
        if resume and path.exists():
            old = json.loads(path.read_text())
            if old.get("machine") != settings["machine"]:
                raise ValueError(f"{path} was measured on another machine: give another --output")
            self.content["rows"] = old["rows"]
        path.parent.mkdir(parents=True, exist_ok=True)

    def measure(self, key: dict, call: Callable[[], dict]) -> None:
        """Add what ``call()`` returns to the row that ``key`` names, or the error it ends with."""
        if any(key.items() <= row.items() and "error" not in row for row in self.content["rows"]):
            return
        if self.late():
            self.content["left_out"].append(key)
            self.save()
            return
        label = " ".join(str(v) for v in key.values())
        try:
            result = call()
        except torch.OutOfMemoryError:
            result = {"error": "out of memory"}
        except Exception as error:  # a peer's or a compiler's: the other rows still count
            result = {"error": f"{type(error).__name__}: {str(error).splitlines()[:1]}"}
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        torch.compiler.reset()  # else the ninth size would run uncompiled
        self.content["rows"] = [r for r in self.content["rows"] if not key.items() <= r.items()]
        self.content["rows"].append({**key, **result})
        shown = {k: v for k, v in result.items() if k in ("median_ms", "fps", "PSNR", "error")}
        print(f"[{time.monotonic() - self.begin:5.0f} s] {label}: {shown}", flush=True)
        self.save()

    def late(self) -> bool:
        return time.monotonic() > self.deadline

    def save(self) -> None:
        write_json(self.path, self.content)


def describe_machine(device: torch.device) -> dict:
    return {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "cpu": _cpu_name(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "cuda": torch.version.cuda if device.type == "cuda" else None,
        "python": platform.python_version(),
    }


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(x.split(":", 1)[1].strip() for x in lines if x.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def methods(args: argparse.Namespace, device: torch.device) -> Iterator[tuple[str, Make, dict]]:
    """Name, maker and constant facts of everything that is to be measured."""
    for name, load, random_weights in _generators(args):
        generator = load()
        learnt, frozen = count_parameters(generator)
        macs = count_macs(generator, *args.size[0]).kilo_per_pixel
        facts = {"parameters": learnt, "frozen_values": frozen, "kmac_per_pixel": round(macs, 3)}
        facts["triton"] = can_use_triton(generator)

        def make(mode: str, dtype: torch.dtype, load=load, random_weights=random_weights):
            return TimedModel(load(), device, dtype, mode, random_weights=random_weights)

        yield name, make, facts
    for name in args.peer:
        peer = load_peer(name)

        def make_peer(mode: str, dtype: torch.dtype, peer=peer):
            return TimedPeer(peer, device, dtype, mode)

        yield name.split(":")[1], make_peer, {}


def _generators(args: argparse.Namespace) -> Iterator[tuple[str, Callable, bool]]:
    for name in args.model:
        yield Path(name).stem, lambda name=name: load_model(name), False
    for config in args.config_file:
        cfg = setup_cfg(config, [])
        label = f"{cfg.MODEL.GENERATOR.NAME} ({Path(config).stem}, random weights)"
        yield label, lambda cfg=cfg: build_generator(cfg).eval(), True


def run(args: argparse.Namespace) -> dict:
    device = torch.device(args.device)
    modes = [m for m in args.mode if device.type == "cuda" or m not in ("graph", "triton")]
    quick = [m for m in modes if m != "compiled"]
    compiled = [m for m in modes if m == "compiled"]
    torch.backends.cudnn.benchmark = device.type == "cuda"
    settings = {"machine": describe_machine(device), "commit": git_commit(), "command": sys.argv}
    settings["ZOOMIN_TRITON"] = os.environ.get("ZOOMIN_TRITON", "")
    bench = Benchmark(args.output / "benchmark.json", args.resume, args.budget, settings)
    samples = read_samples(args.dataset) if args.dataset else []
    everything = list(methods(args, device))
    bench.content["methods"] = {name: facts for name, _, facts in everything}
    bars = [s for s in args.size if s in BARS]
    others = [s for s in args.size if s not in BARS]

    def measure(which, sizes, what):
        # A compiled peer is what the bars are measured by: peers first.
        for mode in which:
            for name, make, facts in sorted(everything, key=lambda x: bool(x[2])):
                if mode == "triton" and not facts.get("triton"):
                    continue
                for dtype in args.dtype:
                    measure_method(bench, name, make, mode, dtype, sizes, what, device, args)

    def score(which):
        for mode in which:
            for name, make, facts in everything:
                if samples and (mode != "triton" or facts.get("triton")):
                    for dtype in args.dtype:
                        measure_quality(bench, name, make, mode, dtype, samples, device)

    measure(quick, bars, "latency")
    measure(compiled, bars, "latency")
    score(quick)
    if "float32" not in args.dtype:
        for name, make, _ in everything if samples else []:  # what others are compared with
            measure_quality(bench, name, make, "eager", "float32", samples, device)
    measure(quick, others, "latency")
    measure(quick, args.size, "throughput")
    measure(compiled, others, "latency")
    if args.compiled_quality:
        score(compiled)
    for name, make, facts in everything:
        if not facts and not bench.late():
            bench.content["methods"][name] = peer_facts(make("eager", torch.float32), args, device)
    bench.save()
    (args.output / "benchmark.md").write_text(format_report(bench.content))
    draw_quality_against_time(bench.content, args.output / "fig4.png")
    return bench.content


def peer_facts(method: TimedPeer, args: argparse.Namespace, device: torch.device) -> dict:
    """Parameters and MACs as far as they can be seen from outside."""
    try:
        macs = peer_macs(method, *args.size[0], device)
    except Exception as error:  # a peer may do anything
        print(f"the MACs of a peer could not be counted: {type(error).__name__}: {error}")
        macs = None
    facts = {} if macs is None else {"kmac_per_pixel": round(macs, 3)}
    if method.module is not None:
        facts["parameters"] = count_parameters(method.module)[0]
    return facts


def measure_method(bench, name, make, mode, dtype, sizes, what, device, args) -> None:
    """One kind of measurement of one method in one mode and precision, at some sizes."""
    key = {"method": name, "mode": mode, "dtype": dtype}
    built = []

    def method():
        if not built:  # made only if something is left to measure, once for all sizes
            built.append(make(mode, DTYPES[dtype]))
        return built[0]

    for height, width in sizes:
        size = {"width": width, "height": height}
        if what == "latency":
            bench.measure(
                {"what": "latency", **key, **size, "batch": 1},
                lambda h=height, w=width: latency(method(), h, w, device, args),
            )
            continue
        if args.batch > 1 and height * width <= args.batch_pixels:
            bench.measure(
                {"what": "latency", **key, **size, "batch": args.batch},
                lambda h=height, w=width: latency(method(), h, w, device, args, args.batch),
            )
        if name in args.peer_names:
            continue
        bench.measure(
            {"what": "stream", **key, **size},
            lambda h=height, w=width: streamed(method().engine, h, w, args),
        )
        bench.measure(
            {"what": "three times", **key, **size},
            lambda h=height, w=width: several_times(method(), h, w, device, args),
        )


def measure_quality(bench, name, make, mode, dtype, samples, device) -> None:
    bench.measure(
        {"what": "quality", "method": name, "mode": mode, "dtype": dtype},
        lambda: quality(make(mode, DTYPES[dtype]), samples, device),
    )


def read_samples(dataset: str) -> list[dict]:
    """The triplets of a dataset whose middle frame is at t = 0.5."""
    cfg = setup_cfg("", ["DATALOADER.NUM_WORKERS", "0"])
    samples = [s for batch in build_interpolation_test_loader(cfg, dataset) for s in batch]
    return [s for s in samples if s["t"] == 0.5]


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    gpu = torch.cuda.is_available()
    parser.add_argument("--model", nargs="+", default=[], help="names in the zoo, or files")
    parser.add_argument("--config-file", nargs="+", default=[], help="random weights: speed only")
    parser.add_argument("--peer", nargs="+", default=[], metavar="MODULE:FUNCTION")
    parser.add_argument("--dataset", default="", help="PSNR on these triplets, for every mode")
    parser.add_argument(
        "--size", nargs="+", type=parse_size, default=[parse_size(s) for s in SIZES]
    )
    parser.add_argument("--mode", nargs="+", choices=MODES, default=["triton", "graph", "eager"])
    parser.add_argument("--compiled-quality", action="store_true", help="of compiled modes, too")
    parser.add_argument(
        "--dtype", nargs="+", choices=DTYPES, default=["float16" if gpu else "float32"]
    )
    parser.add_argument("--device", default="cuda" if gpu else "cpu")
    parser.add_argument("--batch", type=int, default=8, help="pairs at once, for throughput")
    parser.add_argument("--batch-pixels", type=parse_size, default="1920x1080", help="largest size")
    parser.add_argument("--calls", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=20.0, help="most per measurement")
    parser.add_argument("--budget", type=float, default=1e9, help="seconds for everything")
    parser.add_argument("--resume", action="store_true", help="keep what the json has")
    parser.add_argument("--output", type=Path, default=Path("output/benchmark"))
    args = parser.parse_args(argv)
    args.batch_pixels = args.batch_pixels[0] * args.batch_pixels[1]
    args.peer_names = [name.split(":")[-1] for name in args.peer]
    if not (args.model or args.config_file or args.peer):
        parser.error("name something to measure: --model, --config-file or --peer")
    return args


if __name__ == "__main__":
    try:
        print("\n" + format_report(run(parse_args())))
    except (MissingDatasetError, ImportError, ValueError, OSError) as error:
        sys.exit(f"benchmark: {error}")
