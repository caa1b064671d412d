"""One file in, a generator with its weights out; and the other way around.

The metadata of a generator's .safetensors file holds what is needed to rebuild the network, so that
it needs no yaml. Tensors are named as in training checkpoints ("generator.*"), so the file also
serves as MODEL.WEIGHTS. Metadata (safetensors only stores strings):

    format_version    "1"
    name              of the model, e.g. "fast"
    generator         MODEL.GENERATOR as JSON: NAME and all its options
    zoomin_d2, torch  versions that wrote the file
    trained           JSON: what the checkpoint says about its training (data, commit, ...), or {}
"""

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
import yaml
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from zoomin_d2.files import write_atomically
from zoomin_d2.generators import build_generator, current_options
from zoomin_d2.model_zoo import catalog
from zoomin_d2.version import __version__
from zoomin_d2.weight_files import UnreadableWeightsError, check_sha256, read_weights

FORMAT_VERSION = "1"
PREFIX = "generator."
_EXPORTS = {  # what else tools/export_model.py writes
    **dict.fromkeys((".onnx", ".pt", ".pt2"), "a network that runs elsewhere"),
    ".json": "the ranges of 8-bit convolutions",
}


class LoadedGenerator(NamedTuple):
    """A generator in eval mode, in float32, on the CPU, and the metadata of its file."""

    generator: nn.Module
    name: str
    options: dict  # MODEL.GENERATOR
    metadata: dict[str, str]  # of a training checkpoint, only "trained"


def save_generator(
    path: str | os.PathLike,
    generator: nn.Module,
    options: Mapping[str, Any],
    name: str,
    *,
    dtype: torch.dtype = torch.float16,
    trained: Mapping[str, Any] | None = None,
) -> str:
    """Write a generator's file, atomically.

    Weights with two dimensions or more are stored in ``dtype``; vectors (biases, slopes) stay
    float32, where rounding would cost more than it saves.

    Returns:
        its sha256.

    Raises:
        ValueError: a weight is nan or inf, or too large for ``dtype``.
    """
    tensors = {}
    for key, tensor in generator.state_dict().items():
        tensor = tensor.detach().cpu()
        if tensor.is_floating_point():
            tensor = tensor.to(dtype if tensor.dim() > 1 else torch.float32)
            if not torch.isfinite(tensor).all():
                raise ValueError(
                    f"'{key}' holds values that are nan, inf or too large for {dtype}: the "
                    "training diverged, or another dtype is needed"
                )
        tensors[PREFIX + key] = tensor.contiguous().clone()
    metadata = {
        "format": "pt",
        "format_version": FORMAT_VERSION,
        "name": name,
        "generator": json.dumps(options, sort_keys=True),
        "zoomin_d2": __version__,
        "torch": torch.__version__,
        "trained": json.dumps(trained or {}, default=str, sort_keys=True),
    }
    data = save(tensors, metadata)
    write_atomically(path, lambda f: f.write(data))
    return hashlib.sha256(data).hexdigest()


def load_generator(
    name_or_path: str | os.PathLike, *, averaged: bool = True, others: Iterable[str] = ()
) -> LoadedGenerator:
    """A generator by the name under which it ships, or from a file.

    Args:
        name_or_path: "fast" or "zoo:fast"; a .safetensors file that `save_generator` wrote; or a
            training checkpoint (.pth). A checkpoint that does not name its generator needs its
            run's config.yaml beside it, where training puts it.
        averaged: take a checkpoint's averaged weights if it has them, instead of the trained ones.
        others: names that the caller would have taken, for the message.

    Raises:
        FileNotFoundError: there is no such model or file; the message lists the models.
        UnreadableWeightsError: the file is damaged, or is not the one that ships (its sha256).
        ValueError: the file holds no generator, or one that this version cannot build.
    """
    path = _find(os.fspath(name_or_path), others)
    if path.suffix == ".safetensors":
        metadata = read_metadata(path)
        if "generator" not in metadata:
            raise ValueError(
                f"{path} holds no generator: its metadata does not name a network. Use a file "
                f"written by tools/export_model.py, or a model of the zoo ({_offer()})"
            )
        options = json.loads(metadata["generator"])
        weights = read_weights(str(path))["model"]
    else:
        checkpoint = _read_checkpoint(path)
        trained = {"iteration": checkpoint.get("iteration"), **(checkpoint.get("provenance") or {})}
        metadata = {"trained": json.dumps(trained, default=str)}
        options = checkpoint.get("generator_options") or _options_beside(path)
        kind = "ema_model" if averaged else "trained_model"
        weights = checkpoint.get(kind) or checkpoint["model"]
    options = current_options(options)
    with torch.random.fork_rng(devices=[]):  # weights are drawn, to be replaced at once
        generator = build_generator(options, str(path))
    _load_weights(generator, weights, path)
    return LoadedGenerator(generator.eval(), metadata.get("name", path.stem), options, metadata)


def read_metadata(path: str | os.PathLike) -> dict[str, str]:
    """The metadata of a .safetensors file.

    Raises:
        UnreadableWeightsError: it is damaged.
    """
    try:
        with safe_open(os.fspath(path), framework="pt") as f:
            return f.metadata() or {}
    except SafetensorError as error:
        raise UnreadableWeightsError(path, f"is truncated or damaged ({error})") from error


def shipped_generators() -> list[str]:
    """Names that `load_generator` takes without a path."""
    files = filter(None, map(catalog.weights_file, catalog.available()))
    return [file.stem for file in files if "generator" in read_metadata(file)]


def _offer() -> str:
    return ", ".join(shipped_generators()) or "no generator yet"


def _read_checkpoint(path: Path) -> dict[str, Any]:
    try:
        return read_weights(str(path))
    except UnreadableWeightsError as error:
        if path.suffix not in _EXPORTS:
            raise
        raise UnreadableWeightsError(
            path,
            f"is no checkpoint. A {path.suffix} that tools/export_model.py wrote holds "
            f"{_EXPORTS[path.suffix]}: use the .safetensors or .pth file that it was made from",
        ) from error


def _find(name_or_path: str, others: Iterable[str]) -> Path:
    """The file; one that ships is checked against its sha256."""
    path, is_name = Path(name_or_path), name_or_path.startswith(catalog.PREFIX)
    if is_name or (path.name == name_or_path and not path.suffix):
        file = catalog.weights_file(name_or_path)
        if file is not None:
            check_sha256(file, catalog.WEIGHTS_SHA256.get(file.stem))
            return file
    if path.is_file() and not is_name:
        return path
    known = "".join(f", {name}" for name in others)
    raise FileNotFoundError(
        f"'{name_or_path}' is neither a model of the zoo ({_offer()}{known}) nor an existing "
        ".safetensors or .pth file"
    )


def _options_beside(path: Path) -> dict:
    config = path.parent / "config.yaml"
    if not config.is_file():
        raise ValueError(
            f"{path} does not name its generator, and there is no config.yaml of its training "
            "beside it: put it there, or load a file written by tools/export_model.py"
        )
    try:
        return yaml.safe_load(config.read_text())["MODEL"]["GENERATOR"]
    except (KeyError, TypeError, yaml.YAMLError) as error:
        raise ValueError(
            f"{path} does not name its generator, nor does {config} (MODEL.GENERATOR): it belongs "
            "to another program"
        ) from error


def _load_weights(generator: nn.Module, weights: Mapping[str, Any], path: Path) -> None:
    state = {
        key.removeprefix(PREFIX): torch.as_tensor(value)
        for key, value in weights.items()
        if key.startswith(PREFIX)
    }
    expected: dict[str, Tensor] = generator.state_dict()
    wrong = [k for k in expected if k not in state or state[k].shape != expected[k].shape]
    wrong += [k for k in state if k not in expected]
    if wrong:
        raise ValueError(
            f"the weights in {path} do not fit its generator: {len(wrong)} tensors are missing, "
            f"left over or of another shape; the first is '{wrong[0]}'"
        )
    generator.load_state_dict(state)
