"""MODEL.GENERATOR as plain values in, the generator out."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from zoomin_d2.generators.fast import FastGenerator
from zoomin_d2.generators.paper import PaperGenerator
from zoomin_d2.old_names import rename_keys

# MODEL.GENERATOR.NAME -> called with the keys of MODEL.GENERATOR.<NAME>, in lower case.
GENERATORS: dict[str, Callable[..., nn.Module]] = {"fast": FastGenerator, "paper": PaperGenerator}


def current_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """MODEL.GENERATOR of a file with this version's key names: old names become new ones."""
    current = dict(options)
    rename_keys(current, "MODEL.GENERATOR")
    return current


def build_generator(options: Mapping[str, Any], source: str = "MODEL.GENERATOR") -> nn.Module:
    """The generator that these options describe, with random weights, in training mode.

    Args:
        options: MODEL.GENERATOR of a config, or the same as plain dicts and lists: NAME, a node
            of its options, and CHANNELS_LAST.
        source: where the options come from, for messages.

    Raises:
        ValueError: there is no such generator, or it does not take one of the options.
    """
    options = current_options(options)
    name = options["NAME"]
    if name not in GENERATORS:
        raise ValueError(
            f"{source} holds a generator '{name}', which this version does not have; it has "
            f"{', '.join(sorted(GENERATORS))} (your own module can add one to "
            "zoomin_d2.generators.GENERATORS when it is imported)"
        )
    arguments = {key.lower(): value for key, value in options.get(name.upper(), {}).items()}
    # Values that belong to no node; the nodes of other generators are ignored.
    unknown = [
        key
        for key, value in options.items()
        if key not in ("NAME", "CHANNELS_LAST") and not isinstance(value, Mapping)
    ]
    try:
        if unknown:
            raise TypeError(f"unknown: {', '.join(unknown)}")
        generator = GENERATORS[name](**arguments)
    except TypeError as error:
        raise ValueError(
            f"{source} has options that the generator '{name}' does not take, or was written for "
            f"another version of zoomin_d2 ({error})"
        ) from error
    if options.get("CHANNELS_LAST"):
        generator = generator.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return generator
