"""MODEL.GENERATOR of a config, as plain values that files can carry, and as a network."""

from collections.abc import Mapping
from typing import Any

from detectron2.config import CfgNode
from torch import nn

from zoomin_d2 import generators


def generator_options(cfg: CfgNode) -> dict:
    """MODEL.GENERATOR of a config as plain dicts, lists and values."""
    return _plain(cfg.MODEL.GENERATOR)


def build_generator(cfg: CfgNode) -> nn.Module:
    """Build ``cfg.MODEL.GENERATOR.NAME`` (weights are loaded by a checkpointer).

    Raises:
        ValueError: see `check_generator_keys` and `zoomin_d2.generators.build_generator`.
    """
    check_generator_keys(cfg)
    return generators.build_generator(generator_options(cfg))


def check_generator_keys(cfg: CfgNode) -> None:
    """MODEL.GENERATOR takes any key, for generators that others register.

    Raises:
        ValueError: a key belongs to no generator, or holds no options.
    """
    nodes = sorted(name.upper() for name in generators.GENERATORS)
    for key, value in cfg.MODEL.GENERATOR.items():
        if key not in ("NAME", "CHANNELS_LAST", *nodes):
            raise ValueError(
                f"MODEL.GENERATOR.{key} belongs to no generator: it must be NAME, CHANNELS_LAST, "
                f"or one of {', '.join(nodes)}"
            )
        if key in nodes and not isinstance(value, CfgNode):
            raise ValueError(f"MODEL.GENERATOR.{key} is {value!r}: it must be a node of options")


def _plain(node: Any) -> Any:
    if isinstance(node, Mapping):
        return {key: _plain(value) for key, value in node.items()}
    return [_plain(x) for x in node] if isinstance(node, list | tuple) else node
