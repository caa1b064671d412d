"""Video frame interpolation on Detectron2, after "Zoom-In-to-Check" (Yuan et al., CVPR 2019).

Importing the package registers its datasets, its meta-architecture and the "zoo:" names. For use:
``from zoomin_d2 import Interpolator``.
"""

from typing import Any

from zoomin_d2 import data, model_zoo, modeling  # registration
from zoomin_d2.config import add_zoomin_config, get_zoomin_cfg

__version__ = "0.1.0"
__all__ = [
    "Interpolator",
    "add_zoomin_config",
    "data",
    "get_zoomin_cfg",
    "model_zoo",
    "modeling",
]


def __getattr__(name: str) -> Any:
    if name == "Interpolator":  # imported when asked for: training does not need it
        from zoomin_d2.model_zoo.interpolator import Interpolator

        return Interpolator
    raise AttributeError(f"module 'zoomin_d2' has no attribute '{name}'")
