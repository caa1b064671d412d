"""Detectron2's side: meta-architecture, frozen detector, losses; importing it registers them."""

from zoomin_d2.modeling import detectron2_classes  # noqa: F401 (imported for its side effects)
from zoomin_d2.modeling.detector_loading import load_detector_config
from zoomin_d2.modeling.discriminators import (
    ImageDiscriminator,
    ROIDiscriminator,
    build_discriminator,
)
from zoomin_d2.modeling.frozen_rpn import FrozenRPN
from zoomin_d2.modeling.generator_options import build_generator
from zoomin_d2.modeling.meta_arch import FrameInterpolator
from zoomin_d2.modeling.step_record import StepRecord
from zoomin_d2.modeling.zoo_paths import ZooPathHandler

__all__ = [
    "FrameInterpolator",
    "FrozenRPN",
    "ImageDiscriminator",
    "ROIDiscriminator",
    "StepRecord",
    "ZooPathHandler",
    "build_discriminator",
    "build_generator",
    "load_detector_config",
]
