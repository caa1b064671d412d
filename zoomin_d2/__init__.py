"""Video frame interpolation on Detectron2, after "Zoom-In-to-Check" (Yuan et al., CVPR 2019).

To use a model: ``from zoomin_d2 import Interpolator``, which needs no Detectron2. To train one:
``from zoomin_d2 import get_zoomin_cfg`` (or `add_zoomin_config`), which also registers the
datasets, the meta-architecture and the "zoo:" names with Detectron2.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from zoomin_d2.extras import extra
from zoomin_d2.version import __version__

if TYPE_CHECKING:
    from zoomin_d2.config import add_zoomin_config, get_zoomin_cfg
    from zoomin_d2.inference.interpolator import Interpolator

__all__ = ["Interpolator", "__version__", "add_zoomin_config", "get_zoomin_cfg"]

# Imported on first use: using a model needs no Detectron2, and training needs no Interpolator.
_HOMES = {
    "Interpolator": "zoomin_d2.inference.interpolator",
    "add_zoomin_config": "zoomin_d2.config",
    "get_zoomin_cfg": "zoomin_d2.config",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'zoomin_d2' has no attribute '{name}'")
    if _HOMES[name] == "zoomin_d2.config":
        with extra("train", "training"):
            import_module("zoomin_d2.data")  # registration
            import_module("zoomin_d2.modeling")
    return getattr(import_module(_HOMES[name]), name)
