#!/usr/bin/env python3
"""A training checkpoint -> a file that is ready to use, or to run elsewhere.

    tools/export_model.py output/fast/model_best.pth --output fast.safetensors
    tools/export_model.py zoo:fast --output fast.onnx --format onnx
    tools/export_model.py zoo:fast --output fast.int8.json --format int8 --clips FOLDER

safetensors (the default): the averaged weights in half precision, with everything needed to rebuild
the network; `Interpolator.from_pretrained(file)` and MODEL.WEIGHTS accept it. The tool starts a
model card beside it, fast.md, unless there is one, and prints the sha256 for model_zoo/catalog.py.
onnx, torchscript, torch.export: float32, any t, any H and W (torch.export: 8192 pixels at most);
these run without this package. A card beside the file, fast.onnx.md, says which sizes it accepts
and what can run it.
int8: the ranges of activations in frames 0 and 4 of every clip of a folder, at 360 rows or fewer;
--backend openvino:int8 rounds by them if the file lies beside the weights in model_zoo/weights/.
What --keep-float names loses much by rounding, in the model at hand.
"""

import argparse
import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from types import ModuleType

import torch
import torch.nn.functional as F
from torch import Tensor

from zoomin_d2.extras import extra
from zoomin_d2.files import write_atomically, write_json
from zoomin_d2.inference import int8
from zoomin_d2.inference.export import FORMATS, describe, export
from zoomin_d2.model_zoo.generator_file import LoadedGenerator, load_generator, save_generator
from zoomin_d2.user_errors import add_debug_option, one_line_errors

DTYPES = {"float16": torch.float16, "float32": torch.float32}
SUFFIXES = {
    "safetensors": ".safetensors",
    "int8": ".json",
    **{name: end for name, (end, _) in FORMATS.items()},
}


def card(
    complexity: ModuleType, loaded: LoadedGenerator, name: str, path: Path, sha256: str
) -> str:
    """The start of a model card: what the file tells; the rest is marked TO FILL."""
    learnt, frozen = complexity.count_parameters(loaded.generator)
    macs = complexity.count_macs(loaded.generator, 720, 1280)
    trained = json.loads(loaded.metadata.get("trained", "{}"))
    facts = [
        f"- {key}: {trained[key]}"
        for key in ("data", "iteration", "commit", "command", "device", "torch")
        if trained.get(key) is not None
    ]
    return "\n".join(
        [
            f"# `zoo:{name}`",
            "",
            f"Generator `{loaded.options['NAME']}`: {learnt / 1e6:.2f} M parameters"
            + (f" (and {frozen:,} frozen values)" if frozen else "")
            + f", {macs.kilo_per_pixel:.1f} kMAC per pixel at 1280x720 "
            f"({macs.total / 1e9:.1f} GMAC; tools/analyze_model.py explains what counts). "
            f"{path.stat().st_size / 1e6:.1f} MB, sha256",
            f"`{sha256}`.",
            "",
            f'**Use.** `Interpolator.from_pretrained("{name}")`, or MODEL.WEIGHTS zoo:{name}.',
            "",
            "**Training**, as its checkpoint records it:",
            "",
            *(facts or ["- the checkpoint records nothing"]),
            "",
            "**Data and licenses.** TO FILL",
            "",
            "**Numbers.** TO FILL, with the command for each",
            "",
            "**Limits.** TO FILL",
            "",
        ]
    )


def export_safetensors(loaded: LoadedGenerator, args: argparse.Namespace) -> None:
    with extra("train", "the format safetensors"):  # before anything is written
        from zoomin_d2.evaluation import complexity

    name = args.name or args.output.stem
    sha256 = save_generator(
        args.output,
        loaded.generator,
        loaded.options,
        name,
        dtype=DTYPES[args.dtype],
        trained=json.loads(loaded.metadata.get("trained", "{}")),
    )
    print(f"{args.output}: {args.output.stat().st_size / 1e6:.2f} MB")
    print(f"sha256 {sha256}")
    path = args.output.with_suffix(".md")
    if path.exists():
        print(f"{path} already exists and was not changed; it should name this sha256")
    else:
        text = card(complexity, loaded, name, args.output, sha256)
        write_atomically(path, lambda f: f.write(text.encode()))
        print(f"{path}: a model card to complete")


def read_pairs(folder: Path) -> Iterator[tuple[Tensor, Tensor]]:
    """Frames 0 and 4 of every clip, (1, 3, H, W) in [0, 1] with H at most 360."""
    with extra("train", "the format int8"):
        from zoomin_d2.data.video_file import iter_frames

    for path in sorted(folder.glob("*.mp4")):
        frames = [frame.image for frame in islice(iter_frames(path), 5)]
        if len(frames) == 5:
            height, width = frames[0].shape[:2]
            rows = min(360, height)
            first, last = (
                F.interpolate(
                    torch.from_numpy(x).permute(2, 0, 1)[None] / 255,
                    (rows, round(width * rows / height)),
                    mode="area",
                )
                for x in frames[::4]
            )
            yield first, last


def export_ranges(loaded: LoadedGenerator, args: argparse.Namespace) -> None:
    pairs = list(read_pairs(args.clips)) if args.clips else []
    if not pairs:
        raise ValueError(
            "the format int8 needs --clips, a folder of .mp4 clips of 5 frames or more"
        )
    generator = loaded.generator.float().eval()
    ranges = int8.measure_ranges(generator, pairs)
    exact = tuple(args.keep_float)
    for start in exact:
        if not any(name.startswith(start) for name in ranges):
            raise ValueError(
                f"--keep-float {start}: the name of no rounded convolution begins so; they "
                f"begin with {', '.join(sorted({name.split('.')[0] for name in ranges}))}"
            )
    inputs = {
        name: torch.tensor(pair, dtype=torch.float64).round(decimals=4).tolist()
        for name, pair in ranges.items()
        if not name.startswith(exact)
    }
    write_json(args.output, {"weights": int8.weights_digest(generator), "inputs": inputs})
    print(f"{args.output}: {len(inputs)} convolutions, from {len(pairs)} pairs")


def main(args: argparse.Namespace) -> None:
    if args.output.suffix != SUFFIXES[args.format]:
        raise ValueError(
            f"{args.output} must end in {SUFFIXES[args.format]} for the format {args.format}"
        )
    loaded = load_generator(args.checkpoint, averaged=args.weights == "averaged")
    args.output.parent.mkdir(parents=True, exist_ok=True)
    if args.format == "safetensors":
        export_safetensors(loaded, args)
        return
    if args.format == "int8":
        export_ranges(loaded, args)
        return
    export(loaded.generator, args.format, args.output)
    print(f"{args.output}: {args.output.stat().st_size / 1e6:.2f} MB, float32")
    path = args.output.with_name(args.output.name + ".md")
    text = f"# {args.output.name}: `{loaded.name}` as {args.format}\n\n"
    text += describe(loaded.generator, args.format) + "\n"
    write_atomically(path, lambda f: f.write(text.encode()))
    print(f"{path}: what it accepts, and what can run it")


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("checkpoint", help="training checkpoint, exported file, or zoo:<name>")
    parser.add_argument("--output", type=Path, required=True, metavar="FILE")
    parser.add_argument("--name", help="name of the model; default: the output's")
    parser.add_argument("--format", choices=SUFFIXES, default="safetensors")
    parser.add_argument("--weights", choices=("averaged", "trained"), default="averaged")
    parser.add_argument("--dtype", choices=DTYPES, default="float16", help="type of stored weights")
    parser.add_argument("--clips", type=Path, metavar="FOLDER", help="for --format int8")
    parser.add_argument(
        "--keep-float",
        nargs="+",
        default=(),
        metavar="NAME",
        help="for --format int8: convolutions that are not rounded, by how their names begin",
    )
    add_debug_option(parser)
    return parser.parse_args(argv)


if __name__ == "__main__":
    arguments = parse_args()
    with one_line_errors(arguments.debug):
        main(arguments)
