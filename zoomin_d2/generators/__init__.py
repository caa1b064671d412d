"""Networks that make the frame between two frames: plain torch, plain arguments, no Detectron2.

A generator is a module with the call ``generator(frame_1, frame_2, t) -> GeneratorOutput`` for
frames of any size, and the attribute ``context``: a `ContextExtractor` into which training copies
the detector's first convolution, or None where the generator learns its own context features.
"""

from zoomin_d2.generators.build import GENERATORS, build_generator, current_options
from zoomin_d2.generators.fast import FastGenerator
from zoomin_d2.generators.output import GeneratorOutput
from zoomin_d2.generators.paper import ContextExtractor, PaperGenerator

__all__ = [
    "GENERATORS",
    "ContextExtractor",
    "FastGenerator",
    "GeneratorOutput",
    "PaperGenerator",
    "build_generator",
    "current_options",
]
