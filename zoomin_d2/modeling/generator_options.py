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
        ValueError: see `zoomin_d2.generators.build_generator`.
    """
    return generators.build_generator(generator_options(cfg))


def _plain(node: Any) -> Any:
    if isinstance(node, Mapping):
        return {key: _plain(value) for key, value in node.items()}
    return [_plain(x) for x in node] if isinstance(node, list | tuple) else node
