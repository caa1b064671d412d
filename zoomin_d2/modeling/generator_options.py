"""MODEL.GENERATOR as plain values, which files can carry; and back to a config."""

from collections.abc import Mapping
from typing import Any

from detectron2.config import CfgNode

from zoomin_d2.config import get_zoomin_cfg
from zoomin_d2.modeling.generator import GENERATOR_REGISTRY


def generator_options(cfg: CfgNode) -> dict:
    """MODEL.GENERATOR of a config as plain dicts, lists and values."""
    return _plain(cfg.MODEL.GENERATOR)


def config_of(options: Mapping[str, Any], source: str = "the file") -> CfgNode:
    """A config whose MODEL.GENERATOR has these options.

    Raises:
        ValueError: this version of the package does not know one of them, or its generator.
    """
    cfg = get_zoomin_cfg()
    try:
        cfg.MODEL.GENERATOR.merge_from_other_cfg(CfgNode(_plain(options)))
    except (KeyError, ValueError) as error:
        raise ValueError(
            f"{source} was written for another version of zoomin_d2: MODEL.GENERATOR does not "
            f"take its options ({error})"
        ) from error
    if cfg.MODEL.GENERATOR.NAME not in GENERATOR_REGISTRY:
        raise ValueError(
            f"{source} holds a generator '{cfg.MODEL.GENERATOR.NAME}', which this version does not "
            f"have; it has {', '.join(sorted(name for name, _ in GENERATOR_REGISTRY))}"
        )
    return cfg


def _plain(node: Any) -> Any:
    if isinstance(node, Mapping):
        return {key: _plain(value) for key, value in node.items()}
    return [_plain(x) for x in node] if isinstance(node, list | tuple) else node
