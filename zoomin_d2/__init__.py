"""Video frame interpolation on Detectron2, after "Zoom-In-to-Check" (Yuan et al., CVPR 2019).

Importing the package registers its datasets, its meta-architecture and the "zoo:" names.
"""

from zoomin_d2 import data, model_zoo, modeling  # registration
from zoomin_d2.config import add_zoomin_config, get_zoomin_cfg

__version__ = "0.1.0"
__all__ = ["add_zoomin_config", "data", "get_zoomin_cfg", "model_zoo", "modeling"]
