"""Makes Detectron2's own classes work with our configs, or explain why they cannot.

Importing this module is enough. `DetectionCheckpointer` (and `DefaultPredictor`, which uses it)
then reads .safetensors, the format of everything that "zoo:" names. Its `GradientClipType` explains
the one clip type that is ours.
"""

from detectron2.checkpoint import DetectionCheckpointer
from detectron2.solver.build import GradientClipType

from zoomin_d2.weight_files import read_weights

_load_file = DetectionCheckpointer._load_file


def _load_any_file(self: DetectionCheckpointer, filename: str) -> dict:
    if filename.endswith(".safetensors"):
        return read_weights(filename)
    return _load_file(self, filename)


def _explain(kind: type, value: object) -> None:
    if value == "full_model":
        raise ValueError(
            "SOLVER.CLIP_GRADIENTS.CLIP_TYPE 'full_model' belongs to zoomin_d2: Detectron2's "
            "DefaultTrainer has neither it nor a mapper for clips of frames. Train with "
            "zoomin_d2.engine.InterpolationTrainer, which is a DefaultTrainer"
        )


DetectionCheckpointer._load_file = _load_any_file
# Enum calls this for a value that it does not have.
GradientClipType._missing_ = classmethod(_explain)
