#!/usr/bin/env python3
"""Parameters, multiply-accumulates and bytes moved of generators, from their configs alone.

    tools/analyze_model.py --config-file configs/baseline.yaml
    tools/analyze_model.py --config-file configs/a.yaml configs/b.yaml --size 1280x720 --json m.json
    tools/analyze_model.py --config-file configs/gan.yaml MODEL.GENERATOR.PAPER.SYNTHESIS_KERNEL 5

Runs no network and needs no weights, GPU or detector. What counts as a MAC, and what does not, is
said in zoomin_d2/evaluation/complexity.py and below the table.
"""

import argparse
import re
import sys
from pathlib import Path

from tabulate import tabulate

from zoomin_d2.engine.setup import setup_cfg
from zoomin_d2.evaluation.complexity import MACs, count_macs, count_parameters
from zoomin_d2.evaluation.memory_traffic import count_traffic
from zoomin_d2.files import write_json
from zoomin_d2.modeling import build_generator

SIZES = ["256x256", "448x256", "1280x720", "1920x1080", "2048x1024", "3840x2160"]
CONVENTION = (
    "kMAC/px: thousand multiply-accumulates per pixel of the frame, one pair of frames, one t. "
    "conv: convolutions and matrix products, what most papers count; all: with bilinear sampling "
    "and resizing (4 MACs per value). Biases, activations and copies are not counted. MB moved: "
    "read and written by all kernels of eager mode in half precision, each operand once."
)


def parse_size(text: str) -> tuple[int, int]:
    """ "1280x720" (width x height, as screens are named) -> (height, width)."""
    match = re.fullmatch(r"(\d+)x(\d+)", text)
    if not match or "0" in (match[1], match[2]):
        raise argparse.ArgumentTypeError(f"'{text}' is no size like 1280x720 (width x height)")
    return int(match[2]), int(match[1])


def analyze(config_file: str, overrides: list[str], sizes: list[tuple[int, int]]) -> dict:
    """Parameters, and MACs at every size, of the generator that a config builds."""
    cfg = setup_cfg(config_file, overrides)
    generator = build_generator(cfg)
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
        "config": config_file,
        "overrides": overrides,
        "generator": cfg.MODEL.GENERATOR.NAME,
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
        label = f"{result['generator']} ({Path(result['config']).name or 'defaults'})"
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


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config-file", nargs="+", default=[], metavar="FILE")
    parser.add_argument(
        "--size", nargs="+", type=parse_size, default=[parse_size(s) for s in SIZES], metavar="WxH"
    )
    parser.add_argument("--json", type=Path, help="file for all numbers")
    parser.add_argument("opts", nargs="*", help="KEY VALUE pairs of the config")
    args = parser.parse_args(_options_first(sys.argv[1:] if argv is None else argv))
    return args


def _options_first(argv: list[str]) -> list[str]:
    # "--size 64x64 KEY VALUE": argparse would give all of it to --size. Overrides start at the
    # first word in capitals; "--" says so to argparse.
    for i, word in enumerate(argv):
        if "." in word and word.split(".")[0].isupper():
            return [*argv[:i], "--", *argv[i:]]
    return argv


def main(args: argparse.Namespace) -> list[dict]:
    results = [analyze(config, args.opts, args.size) for config in args.config_file or [""]]
    print(format_tables(results))
    if args.json is not None:
        write_json(args.json, {"convention": CONVENTION, "models": results})
    return results


if __name__ == "__main__":
    try:
        main(parse_args())
    except (ValueError, OSError) as error:
        sys.exit(f"analyze_model: {error}")
