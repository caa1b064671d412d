"""What the model gets and gives: two shown frames at a time, on its device, and those between."""

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import torch
from torch import Tensor

from zoomin_d2.frames import to_image, to_planes, to_samples, to_unit_range
from zoomin_d2.interpolate import Interpolate
from zoomin_d2.transfer import Transfer
from zoomin_d2.video.errors import ModelError, OptionError
from zoomin_d2.video.read.half_floats import from_network, to_network
from zoomin_d2.video.read.source import is_opaque
from zoomin_d2.video.time.alpha import (
    interpolate_premultiplied,
    interpolate_rgba,
    premultiplied,
    straight,
)
from zoomin_d2.video.time.scene_cuts import MarkedFrame

Made = tuple[np.ndarray, np.ndarray | None]  # an image, and its doubt if it is wanted


@dataclass
class Shown:
    """A source frame whose content is shown, as RGB, and the times of the original frames from it
    up to the next one that is shown."""

    marked: MarkedFrame
    conversion: Future[np.ndarray]
    times: list[Fraction]
    read_on: tuple[Fraction, int]
    last_duration: Fraction
    shot: int = 0
    tensor: Tensor | None = None
    overlay: np.ndarray | None = None

    @property
    def image(self) -> np.ndarray:
        return self.conversion.result()

    @property
    def begins_shot(self) -> bool:
        return self.marked.apart

    @property
    def time(self) -> Fraction:
        return self.times[0]

    @property
    def index(self) -> int:
        return self.marked.frame.index

    def as_tensor(self, transfer: Transfer, device: torch.device) -> Tensor:
        tensor = self.tensor
        if tensor is None:
            image = self.image
            image = to_network(image) if image.dtype == np.float16 else image
            planes = transfer.upload(to_planes(image), device)
            tensor = self.tensor = to_unit_range(planes)
        return tensor


class Model:
    """The model, with frames moving to and from the device while it works."""

    def __init__(self, interpolate: Interpolate, doubt: bool = False):
        """Raises OptionError if doubt is wanted and the model has none."""
        self._with_doubt: Interpolate | None = None
        if doubt:
            self._with_doubt = getattr(interpolate, "with_doubt", None)
            if self._with_doubt is None:
                raise OptionError(
                    f"{getattr(interpolate, 'name', 'this model')} has no flow, so it is never "
                    "unsure: leave --unsure out, or choose another model"
                )
        self.device = torch.device(getattr(interpolate, "device", "cpu"))
        self.workers: int = getattr(interpolate, "workers", 1)
        self._interpolate, self._transfer = interpolate, Transfer()

    def begin(self, a: Shown, b: Shown, ts: list[float]) -> Callable[[], list[Made]]:
        """Start making the frames between two; the returned function waits for them.

        Raises:
            ModelError: the frames have a wrong shape (raised here) or values that are not finite
                (raised by the returned function).
        """
        frame_1, frame_2 = (x.as_tensor(self._transfer, self.device) for x in (a, b))
        with torch.no_grad():
            frames, doubts = self._between(a, b, frame_1, frame_2, ts)
        a.tensor = None  # b is the next pair's first
        if len(frames) != len(ts) or any(f.shape != frame_1.shape for f in frames):
            shapes = [tuple(f.shape) for f in frames]
            raise ModelError(
                f"The model returned {shapes} for {len(ts)} frames {tuple(frame_1.shape)}"
            )
        deep = a.image.dtype != np.uint8
        is_light = a.image.dtype == np.float16
        # A sum is finite if all values are. It is read with the frames, because reading it now
        # would wait for the GPU.
        sums = [f.sum(dtype=torch.float32) for f in frames]
        wait = self._transfer.download([*sums, *(to_samples(f, deep) for f in frames), *doubts])
        seconds, count = float(a.time), len(ts)

        def finish() -> list[Made]:
            results = wait()
            if not all(map(torch.isfinite, results[:count])):
                raise ModelError(
                    f"The model returned values that are not finite at {seconds:.3f} s"
                )
            images = [to_image(samples.cpu()) for samples in results[count : 2 * count]]
            images = [from_network(image) for image in images] if is_light else images
            found = [x[0, 0].cpu().numpy() for x in results[2 * count :]]
            return list(zip(images, found)) if found else [(image, None) for image in images]

        return finish

    def _between(
        self, a: Shown, b: Shown, frame_1: Tensor, frame_2: Tensor, ts: list[float]
    ) -> tuple[list[Tensor], list[Tensor]]:
        """The frames, and their doubt if it is wanted."""
        has_alpha = frame_1.shape[1] == 4
        opaque = has_alpha and is_opaque(a.image) and is_opaque(b.image)
        colors = (frame_1[:, :3], frame_2[:, :3]) if opaque else (frame_1, frame_2)
        doubts: list[Tensor] = []
        if self._with_doubt is not None:
            if has_alpha and not opaque:
                colors = premultiplied(frame_1), premultiplied(frame_2)
            made = self._with_doubt(*colors, ts)
            made, doubts = [x[:, :-1] for x in made], [x[:, -1:] for x in made]
            if has_alpha and not opaque:
                made = [straight(frame) for frame in made]
        elif has_alpha and not opaque:
            is_light = a.image.dtype == np.float16  # whose colors are premultiplied already
            between = interpolate_premultiplied if is_light else interpolate_rgba
            made = between(self._interpolate, frame_1, frame_2, ts)
        else:
            made = self._interpolate(*colors, ts)
        if opaque:
            made = [torch.cat([frame, torch.ones_like(frame[:, :1])], 1) for frame in made]
        return made, doubts
