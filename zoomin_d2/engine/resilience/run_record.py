"""What a run was made of, kept in its checkpoints; a resumed run reports the differences."""

import logging
from collections.abc import Mapping
from typing import Any

import torch
from detectron2.config import CfgNode

logger = logging.getLogger(__name__)

# A different network cannot continue from these states, or would silently start over.
_NETWORKS = ("MODEL.GENERATOR.", "MODEL.DISCRIMINATOR.")
# What may differ without changing the run.
_HARMLESS = (
    *("OUTPUT_DIR", "MODEL.WEIGHTS", "MODEL.DEVICE", "MODEL.GENERATOR.CHANNELS_LAST"),
    *("DATALOADER.", "VIS_PERIOD", "TEST."),
)


def config_record(cfg: CfgNode, prefix: str = "") -> dict[str, str]:
    """Every key of a config with its value as a string."""
    record = {}
    for key, value in cfg.items():
        if isinstance(value, CfgNode):
            record.update(config_record(value, f"{prefix}{key}."))
        else:
            record[prefix + key] = repr(_lists(value))
    return record


def _lists(value: Any) -> Any:
    """Tuples as lists, which they are in a config.yaml."""
    return [_lists(x) for x in value] if isinstance(value, list | tuple) else value


def check_config(then: Mapping[str, str], now: Mapping[str, str]) -> None:
    """Compare the configs of a run before and after it was interrupted.

    A key that only one of them has belongs to another version, and is left out.

    Raises:
        ValueError: the networks differ, so the run cannot continue from their states.
    """
    changed = {k: (then[k], now[k]) for k in then if k in now and then[k] != now[k]}
    changed = {k: v for k, v in changed.items() if not k.startswith(_HARMLESS)}
    text = [f"{key}: was {before}, is now {after}" for key, (before, after) in changed.items()]
    networks = [t for t in text if t.startswith(_NETWORKS)]
    if networks:
        raise ValueError(
            "this run was trained with different networks and cannot be resumed:\n  "
            + "\n  ".join(networks)
            + "\nUse its config, or start a new run from its weights: MODEL.WEIGHTS FILE, another "
            "OUTPUT_DIR, no --resume"
        )
    if text:
        logger.warning(
            "The config differs from the one this run was started with:\n  %s", "\n  ".join(text)
        )


def check_data(then: Mapping | None, now: Mapping) -> None:
    """Warn if the training data has changed since the run began (None: it was not recorded)."""
    if then is not None and then["fingerprint"] != now["fingerprint"]:
        logger.warning(
            "The training data has changed since this run was interrupted: it had %d clips with %d "
            "frames, it now has %d clips with %d frames. The run continues with the new data, so "
            "its samples are no longer those of an uninterrupted run",
            then["clips"],
            then["frames"],
            now["clips"],
            now["frames"],
        )


def get_rng_state(device: str) -> dict[str, torch.Tensor]:
    """The state of torch's generators. Data depends on seed and position alone, and our networks
    draw no random numbers; this is for networks that will."""
    state = {"cpu": torch.get_rng_state()}
    return state if device == "cpu" else {**state, "cuda": torch.cuda.get_rng_state()}


def set_rng_state(state: Mapping[str, torch.Tensor], device: str) -> None:
    torch.set_rng_state(state["cpu"])
    if "cuda" in state and device != "cpu":
        torch.cuda.set_rng_state(state["cuda"])
