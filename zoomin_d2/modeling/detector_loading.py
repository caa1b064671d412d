"""Names in, a detector's config and weights out: local files, Detectron2's model zoo, or ours."""

import logging
import os

import yaml
from detectron2.config import CfgNode, get_cfg
from torch import nn

from zoomin_d2.modeling.safe_checkpointer import SafeCheckpointer
from zoomin_d2.modeling.zoo_paths import get_config_path, get_local_path

logger = logging.getLogger(__name__)


def load_detector_config(name: str) -> CfgNode:
    """The Detectron2 config of a detector.

    Args:
        name: a yaml file, "zoo:<name>" for one that ships with this package, or the name of a
            config in Detectron2's model zoo ("COCO-Detection/faster_rcnn_R_50_FPN_1x.yaml").

    Raises:
        FileNotFoundError: if it is none of the three.
        ValueError: if it is one of Detectron2's lazy configs, or not a yaml that is safe to read.
    """
    cfg = get_cfg()
    # Some of Detectron2's own configs have tags that run code; no other config may.
    is_of_detectron2 = False
    if name.startswith("zoo:"):
        path = get_config_path(name)
    elif os.path.isfile(name):
        path = name
    else:
        from detectron2 import model_zoo  # imports pkg_resources, so only when needed

        try:
            path = model_zoo.get_config_file(name)
            is_of_detectron2 = True
        except RuntimeError as error:
            raise FileNotFoundError(
                f"MODEL.FROZEN_RPN.CONFIG_FILE '{name}' is neither a file, nor a config of "
                "Detectron2's model zoo, nor 'zoo:<name>'"
            ) from error
    if path.endswith(".py"):
        raise ValueError(
            f"MODEL.FROZEN_RPN.CONFIG_FILE '{name}' is a lazy config (.py): name a yaml config"
        )
    try:
        cfg.merge_from_file(path, allow_unsafe=is_of_detectron2)
    except yaml.YAMLError as error:
        raise ValueError(f"{path} is not a config that can be read safely: {error}") from error
    cfg.MODEL.WEIGHTS = ""
    return cfg


class _DetectorCheckpointer(SafeCheckpointer):
    """Missing weights are an error, because the detector is never trained."""

    def _log_incompatible_keys(self, incompatible) -> None:
        # Other keys than those of backbone and RPN are the detector's heads, which are not needed.
        wrong = [k for k in incompatible.missing_keys if "anchor_generator" not in k]
        wrong += [name for name, *_ in incompatible.incorrect_shapes]
        if wrong:
            raise ValueError(
                f"the detector's weights lack {len(wrong)} tensors that "
                "MODEL.FROZEN_RPN.CONFIG_FILE needs, or have them in another shape, first "
                f"'{wrong[0]}': "
                "MODEL.FROZEN_RPN.CONFIG_FILE and .WEIGHTS must belong together"
            )


def load_detector_weights(detector: nn.Module, weights: str) -> None:
    """Load "backbone.*" and "proposal_generator.*" from a file; its heads are ignored.

    Args:
        weights: a local .pkl, .pth or .safetensors file, "detectron2://...", "zoo:<name>", or ""
            for the random weights that ``detector`` has.

    Raises:
        FileNotFoundError: if the file does not exist and cannot be downloaded; the message says
            what to do.
        UnreadableWeightsError: if it is damaged or holds more than weights.
        ValueError: if the file lacks parts of the detector.
    """
    if weights:
        _DetectorCheckpointer(detector).load(get_local_path(weights))
    else:
        logger.warning(
            "MODEL.FROZEN_RPN.WEIGHTS is empty: the frozen detector has RANDOM weights, so its "
            "proposals and features are meaningless (for tests only)"
        )
