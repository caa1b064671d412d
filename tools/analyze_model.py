#!/usr/bin/env python3
"""Parameters, multiply-accumulates and bytes moved of generators; with --profile, kernel by kernel.

    tools/analyze_model.py --config-file configs/baseline.yaml
    tools/analyze_model.py --config-file a.yaml b.yaml --size 1280x720 --output output/analysis
    tools/analyze_model.py --config-file configs/gan.yaml MODEL.GENERATOR.PAPER.SYNTHESIS_KERNEL 5
    tools/analyze_model.py --model fast --profile                  # launches and bytes by stage
    tools/analyze_model.py --model fast --profile triton graph eager         # and GPU times

For configs it runs no network and needs no weights, GPU or detector. What counts as a MAC is
explained in zoomin_d2/evaluation/complexity.py and below the table. A profile counts kernels and
megabytes in half precision, by stage, of PyTorch's eager mode and of the fused Triton kernels. It
also times the named modes (as in tools/benchmark.py), five calls each under torch.profiler.
--output gets analysis.json or profile.md.
"""

import copy
from argparse import Namespace
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from tabulate import tabulate
from torch import nn

from zoomin_d2.cli.tool_arguments import ToolParser, at_least, frame_size
from zoomin_d2.engine.setup import setup_cfg
from zoomin_d2.evaluation.complexity import MACs, count_macs, count_parameters
from zoomin_d2.evaluation.memory_traffic import count_traffic
from zoomin_d2.evaluation.profiling import format_counts, format_times
from zoomin_d2.files import write_atomically, write_json
from zoomin_d2.inference.devices import as_device
from zoomin_d2.inference.peers import MODES, TimedModel
from zoomin_d2.model_zoo.generator_file import load_generator
from zoomin_d2.modeling import build_generator
from zoomin_d2.user_errors import one_line_errors

SIZES = ["256x256", "448x256", "1280x720", "1920x1080", "2048x1024", "3840x2160"]
PROFILE_SIZES = ["448x256", "2048x1024", "3840x2160"]
CONVENTION = (
    "kMAC/px: thousand multiply-accumulates per pixel of the frame, one pair of frames, one t. "
    "conv: convolutions and matrix products, what most papers count; all: with bilinear sampling "
    "and resizing (4 MACs per value). Biases, activations and copies are not counted. MB moved: "
    "read and written by all kernels of eager mode in half precision, each operand once."
)


def analyze(
    label: str, facts: dict, generator: nn.Module, sizes: Sequence[tuple[int, int]]
) -> dict:
    """Parameters, and MACs and traffic at every size, of a generator."""
    learnt, frozen = count_parameters(generator)
    measured = [
        _as_json(count_macs(generator, *size))
        | {
            "half_precision_bytes": traffic.total,
            "unavoidable_bytes": traffic.unavoidable,
            "kernels": traffic.num_kernels,
        }
        for size in sizes
        for traffic in [count_traffic(generator, *size)]
    ]
    return {
        "label": label,
        **facts,
        "parameters": learnt,
        "frozen_values": frozen,
        "sizes": measured,
    }


def _as_json(macs: MACs) -> dict:
    return {
        "width": macs.width,
        "height": macs.height,
        "macs": macs.total,
        "kmac_per_pixel": round(macs.kilo_per_pixel, 3),
        "by_operation": macs.by_operation,
        "by_part": macs.by_part,
    }


def format_tables(results: list[dict]) -> str:
    """One row per config and size, then each config's parts."""
    rows, parts = [], []
    for result in results:
        label = result["label"]
        for size in result["sizes"]:
            pixels = size["width"] * size["height"] * 1e3
            networks = size["by_operation"]["convolution"] + size["by_operation"]["matmul"]
            rows.append(
                [
                    label,
                    f"{result['parameters'] / 1e6:.2f} M",
                    f"{size['width']}x{size['height']}",
                    f"{size['macs'] / 1e9:.1f}",
                    f"{networks / pixels:.1f}",
                    f"{size['kmac_per_pixel']:.1f}",
                    f"{size['half_precision_bytes'] / 1e6:.0f}",
                    f"{size['kernels']}",
                ]
            )
        largest = result["sizes"][-1]
        pixels = largest["width"] * largest["height"] * 1e3
        parts += [
            [label, part, f"{macs / pixels:.2f}", f"{100 * macs / max(largest['macs'], 1):.0f} %"]
            for part, macs in largest["by_part"].items()
        ]
    heads = ["generator", "parameters", "size", "GMAC", "conv kMAC/px", "all kMAC/px"]
    heads += ["MB moved", "kernels"]
    align = ("left", *["right"] * 7)
    style = {"tablefmt": "github", "disable_numparse": True}
    table = tabulate(rows, headers=heads, colalign=align, **style)
    by_part = tabulate(
        parts,
        headers=["generator", "part (largest size)", "kMAC/px", "share"],
        colalign=("left", "left", "right", "right"),
        **style,
    )
    return f"{table}\n\n{CONVENTION}\n\n{by_part}"


def profile(args: Namespace) -> str:
    """Tables of where a frame's time goes; each is written to --output/profile.md at once."""
    device = as_device(args.device)
    dtype = torch.float16 if device.type == "cuda" else torch.float32
    sections: list[str] = []

    def add(title: str, table: str) -> None:
        sections.append(f"## {title}\n\n{table}\n")
        print(sections[-1], flush=True)
        if args.output is not None:
            text = "\n".join(sections).encode()
            write_atomically(args.output / "profile.md", lambda f: f.write(text))

    torch.backends.cudnn.benchmark = device.type == "cuda"
    for label, _, generator in _generators(args):
        for mode in args.profile:
            method = TimedModel(copy.deepcopy(generator), device, dtype, mode)
            for height, width in args.size:
                title = f"{label}, {mode}, {width}x{height}"
                add(title, format_times(method, height, width, device, args.rows))
        for height, width in args.size:
            add(f"{label}, {width}x{height}: counts", format_counts(generator, height, width))
    return "\n".join(sections)


def _generators(args: Namespace) -> Iterator[tuple[str, dict, nn.Module]]:
    """Label, recorded facts and network of every generator that is named."""
    for name in args.model:
        loaded = load_generator(name)
        facts = {"model": name, "generator": loaded.options["NAME"]}
        yield name, facts, loaded.generator
    for config in args.config_file or ([] if args.model else [""]):
        cfg = setup_cfg(config, args.opts)
        facts = {"config": config, "overrides": args.opts, "generator": cfg.MODEL.GENERATOR.NAME}
        label = f"{cfg.MODEL.GENERATOR.NAME} ({Path(config).name or 'defaults'})"
        yield label, facts, build_generator(cfg).eval()


def make_parser() -> ToolParser:
    gpu = torch.cuda.is_available()
    parser = ToolParser(__doc__)
    parser.add_argument("--model", nargs="+", default=[], help="names in the zoo, or files")
    parser.add_argument("--size", nargs="+", type=frame_size, metavar="WxH")
    parser.add_argument(
        "--profile", nargs="*", choices=MODES, help="kernels by stage; also time these modes"
    )
    parser.add_argument("--device", default="cuda" if gpu else "cpu", help="device for --profile")
    parser.add_argument(
        "--rows", type=at_least(1), default=25, help="kernels in a table of --profile"
    )
    parser.add_output(None)
    parser.add_config(several=True)
    return parser


def analyze_models(args: Namespace) -> list[dict] | str:
    if args.output is not None:
        args.output.mkdir(parents=True, exist_ok=True)
    if args.profile is not None:
        args.size = args.size or [frame_size(s) for s in PROFILE_SIZES]
        return profile(args)
    args.size = args.size or [frame_size(s) for s in SIZES]
    results = [analyze(*named, args.size) for named in _generators(args)]
    print(format_tables(results))
    if args.output is not None:
        write_json(args.output / "analysis.json", {"convention": CONVENTION, "models": results})
    return results


def main(argv: list[str] | None = None) -> list[dict] | str:
    return analyze_models(make_parser().parse_args(argv))


if __name__ == "__main__":
    arguments = make_parser().parse_args()
    with one_line_errors(arguments.debug):
        analyze_models(arguments)
