"""What makes the frames, by name: a model that ships, a file, or a method without learning."""

from dataclasses import dataclass

import torch
from torch import Tensor

from zoomin_d2.evaluation.baselines import average, dis_flow, nearest_frame
from zoomin_d2.video.pipeline import Interpolate

_BASELINES = {"average": average, "nearest": nearest_frame, "dis": dis_flow}


@dataclass(frozen=True)
class Model:
    """`interpolate` as zoomin_d2.video calls it; `network`: the generator, if there is one."""

    name: str
    device: str
    interpolate: Interpolate
    network: torch.nn.Module | None = None


def load_model(name: str, device: str | None = None, dtype: str | None = None) -> Model:
    """A model by name.

    Args:
        name: "average", "nearest", "dis" (OpenCV's DIS flow, no learning), a name of
            Interpolator.available(), or a file.
        device: "cpu", "cuda", "cuda:1"; None: a GPU where there is one.
        dtype: "float32", "float16", "bfloat16"; None: what suits the device.

    Raises:
        FileNotFoundError, ValueError: no such model, or it cannot be read.
    """
    if name in _BASELINES:
        return Model(name, "cpu", _one_by_one(_BASELINES[name]))
    from zoomin_d2.model_zoo.interpolator import Interpolator

    interpolator = Interpolator.from_pretrained(
        name, device=device, dtype=None if dtype is None else getattr(torch, dtype)
    )
    return Model(interpolator.name, str(interpolator.device), interpolator, interpolator.generator)


def _one_by_one(baseline) -> Interpolate:
    def interpolate(frame_1: Tensor, frame_2: Tensor, ts: list[float]) -> list[Tensor]:
        return [baseline(frame_1, frame_2, torch.tensor([t])) for t in ts]

    return interpolate
