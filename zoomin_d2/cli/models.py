"""What makes the frames, by name: a model that ships, a file, or a method without learning."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from zoomin_d2.inference.baselines import average, dis_flow, nearest_frame
from zoomin_d2.inference.flow_scale import FlowScaled
from zoomin_d2.inference.interpolator import Interpolator
from zoomin_d2.inference.tiles import TiledInterpolate
from zoomin_d2.video.time.pipeline import Interpolate

_BASELINES = {"average": average, "nearest": nearest_frame, "dis": dis_flow}


@dataclass(frozen=True)
class Model:
    """`interpolate` as zoomin_d2.video calls it, on frames of `device`; `workers`: how many calls
    it serves at a time."""

    name: str
    device: str
    interpolate: Interpolate
    workers: int = 1


def load_model(
    name: str,
    devices: list[str] | None = None,
    dtype: str | None = None,
    flow_scale: float = 1.0,
    tile: int | Literal["auto", "off"] | None = "auto",
    on_change=None,
) -> Model:
    """A model by name, on one device or several that take turns.

    Args:
        name: "average", "nearest", "dis" (OpenCV's DIS flow, no learning), a name of
            Interpolator.available(), or a file.
        devices: "cpu", "cuda", "cuda:1", ...; None: a GPU where there is one.
        dtype: "float32", "float16", "bfloat16"; None: what suits the device.
        flow_scale: size of the frames on which motion is estimated; 1: the frames themselves.
        tile: see TiledInterpolate; "off" or None: whole frames.
        on_change: called with a message when tiles change.

    Raises:
        FileNotFoundError, ValueError: no such model, or it cannot be read.
    """
    side = None if tile == "off" else tile
    if name in _BASELINES:
        if flow_scale != 1:
            raise ValueError(f"--flow-scale is for networks, {name} is none")
        made = TiledInterpolate(_one_by_one(_BASELINES[name]), side, on_change)
        return Model(name, "cpu", made)
    precision = None if dtype is None else getattr(torch, dtype)
    models = []
    wanted: Sequence[str | None] = devices or [None]
    for device in wanted:
        interpolator = Interpolator.from_pretrained(name, device=device, dtype=precision)
        scaled = FlowScaled(interpolator, flow_scale) if flow_scale != 1 else interpolator
        tiled = TiledInterpolate(scaled, side, on_change)
        models.append(Model(interpolator.name, str(interpolator.device), tiled))
    return models[0] if len(models) == 1 else take_turns(models)


def take_turns(models: list[Model]) -> Model:
    """One model out of several on devices of their own: each pair goes to one that is free."""
    free = list(models)
    lock = threading.Condition()

    def interpolate(frame_1: Tensor, frame_2: Tensor, ts: list[float]) -> list[Tensor]:
        with lock:
            while not free:
                lock.wait()
            model = free.pop(0)
        try:
            device = model.device
            return model.interpolate(frame_1.to(device), frame_2.to(device), ts)
        finally:
            with lock:
                free.append(model)
                lock.notify()

    return Model(models[0].name, "cpu", interpolate, workers=len(models))


def _one_by_one(baseline) -> Interpolate:
    def interpolate(frame_1: Tensor, frame_2: Tensor, ts: list[float]) -> list[Tensor]:
        return [baseline(frame_1, frame_2, torch.tensor([t])) for t in ts]

    return interpolate
