"""Networks, the frozen detector, losses; importing registers the meta-architecture."""

from zoomin_d2.modeling.detector_files import load_detector_config
from zoomin_d2.modeling.discriminators import (
    ImageDiscriminator,
    ROIDiscriminator,
    build_discriminator,
)
from zoomin_d2.modeling.fast_generator import FastGenerator
from zoomin_d2.modeling.frozen_rpn import FrozenRPN
from zoomin_d2.modeling.generator import (
    GENERATOR_REGISTRY,
    GeneratorOutput,
    PaperGenerator,
    build_generator,
)
from zoomin_d2.modeling.interpolator import FrameInterpolator, StepRecord

__all__ = [
    "GENERATOR_REGISTRY",
    "FastGenerator",
    "FrameInterpolator",
    "FrozenRPN",
    "GeneratorOutput",
    "ImageDiscriminator",
    "PaperGenerator",
    "ROIDiscriminator",
    "StepRecord",
    "build_discriminator",
    "build_generator",
    "load_detector_config",
]
