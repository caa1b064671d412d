"""What the model gets and gives: two shown frames at a time, on its device, and those between."""

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from itertools import chain, islice
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from zoomin_d2.frames import to_image, to_planes, to_samples, to_unit_range
from zoomin_d2.interpolate import Interpolate
from zoomin_d2.transfer import Transfer
from zoomin_d2.video.errors import ModelError, OptionError
from zoomin_d2.video.read.color import ColorPath
from zoomin_d2.video.read.half_floats import from_network, to_network
from zoomin_d2.video.read.planes import Planes
from zoomin_d2.video.read.source import is_opaque
from zoomin_d2.video.time import yuv_on_device
from zoomin_d2.video.time.alpha import (
    interpolate_premultiplied,
    interpolate_rgba,
    premultiplied,
    straight,
)
from zoomin_d2.video.time.pixels import Pixels, Still
from zoomin_d2.video.time.protection import MIN_SHARE, Protection
from zoomin_d2.video.time.scene_cuts import MarkedFrame


class Made(NamedTuple):
    """A made frame, the share of its pixels that were unsure and were replaced, 0 to 1, and whether
    an overlay was kept still in it."""

    pixels: Pixels
    unsure: float
    has_overlay: bool


@dataclass
class Shown:
    """A source frame whose content is shown, and the times of the original frames from it up to the
    next one that is shown."""

    marked: MarkedFrame
    pixels: Pixels
    times: list[Fraction]
    read_on: tuple[Fraction, int]
    last_duration: Fraction
    shot: int = 0
    tensor: Tensor | None = None
    overlay: np.ndarray | None = None

    @property
    def luma(self) -> np.ndarray:
        return self.pixels.luma

    @property
    def image(self) -> np.ndarray:
        return self.pixels.image

    @property
    def begins_shot(self) -> bool:
        return self.marked.apart

    @property
    def time(self) -> Fraction:
        return self.times[0]

    @property
    def index(self) -> int:
        return self.marked.frame.index


class Model:
    """The model, with frames moving to and from the device while it works.

    Args:
        protection: what is changed in the frames that it makes.
        color: of the source. stored_as: the pixel format of the output, if frames may come in it.
        as_rgb: frames reach it as images, because these hold light or alpha, which planes lack.

    Raises:
        OptionError: the protection needs doubt, and the model has none.
    """

    def __init__(
        self,
        interpolate: Interpolate,
        protection: Protection,
        color: ColorPath,
        stored_as: str | None = None,
        as_rgb: bool = False,
    ):
        self._with_doubt: Interpolate | None = None
        if protection.needs_doubt:
            self._with_doubt = getattr(interpolate, "with_doubt", None)
            if self._with_doubt is None:
                raise OptionError(
                    f"{getattr(interpolate, 'name', 'this model')} gives no flow here, so it is "
                    "never unsure: leave --unsure out, or choose another model or backend (torch "
                    "or openvino)"
                )
        self.device = torch.device(getattr(interpolate, "device", "cpu"))
        self.workers: int = getattr(interpolate, "workers", 1)
        self._interpolate, self._transfer = interpolate, Transfer()
        self._protection, self._color = protection, color
        self._stored_as, self._as_rgb = stored_as, as_rgb

    def takes(self, planes: Planes | None) -> bool:
        """Whether a frame goes to the device as its planes."""
        return planes is not None and self._converts(planes.pix_fmt, *planes.arrays[0].shape)

    def begin(self, a: Shown, b: Shown, ts: list[float]) -> Callable[[], list[Made]]:
        """Start making the frames between two; the returned function waits for them.

        Raises:
            ModelError: the frames have a wrong shape or type (raised here) or values that are not
                finite (raised by the returned function).
        """
        frame_1, frame_2 = self._as_tensor(a), self._as_tensor(b)
        with torch.no_grad():
            frames, doubts = self._between(a, b, frame_1, frame_2, ts)
            a.tensor = None  # b is the next pair's first
            if len(frames) != len(ts) or any(f.shape != frame_1.shape for f in frames):
                shapes = [tuple(f.shape) for f in frames]
                raise ModelError(
                    f"The model returned {shapes} for {len(ts)} frames {tuple(frame_1.shape)}"
                )
            if wrong := [f.dtype for f in frames if not f.is_floating_point()]:
                raise ModelError(f"The model returned {wrong[0]}; it must give floats in [0, 1]")
            # A sum is finite if all values are. It is read with the frames, because reading it now
            # would wait for the GPU.
            sums = [f.sum(dtype=torch.float32) for f in frames]
            where = frames[0].device  # one of several takes its frames from the CPU
            overlay = None
            if b.overlay is not None:
                overlay = self._transfer.upload(torch.from_numpy(b.overlay), where)
            first, second = (self._beside(frame, where) for frame in (frame_1, frame_2))
            protect = self._protection.between(first, second, overlay)
            doubt_of = iter(doubts)
            protected = [protect(f, t, next(doubt_of, None)) for f, t in zip(frames, ts)]
            samples, to_pixels = self._stored(a, [x.frame for x in protected])
        shares = [x.unsure for x in protected if x.unsure is not None]
        planes, masks = a.pixels.planes, []
        if planes is not None and planes.pix_fmt == self._stored_as:
            masks = [x.still[0, 0].to(torch.uint8) * 255 for x in protected if x.still is not None]
        groups = (sums, shares, masks, samples)
        wait = self._transfer.download(list(chain.from_iterable(groups)))
        seconds = float(a.time)

        def finish() -> list[Made]:
            results = iter(wait())
            finite, unsure, still, stored = (list(islice(results, len(x))) for x in groups)
            if not all(map(torch.isfinite, finite)):
                raise ModelError(
                    f"The model returned values that are not finite at {seconds:.3f} s"
                )
            pixels = to_pixels(stored)
            for frame, mask in zip(pixels, still):
                assert planes is not None
                frame.still = Still(mask.cpu().numpy(), planes)
            shares_of = map(float, unsure)
            return [Made(x, _counted(next(shares_of, 0.0)), overlay is not None) for x in pixels]

        return finish

    def _converts(self, pix_fmt: str | None, height: int, width: int) -> bool:
        """Whether frames go to the device, or come from it, in a pixel format. On a CPU, swscale is
        faster."""
        can = self.device.type == "cuda" and not self._as_rgb
        return can and yuv_on_device.is_convertible(pix_fmt, height, width)

    def _as_tensor(self, shown: Shown) -> Tensor:
        tensor = shown.tensor  # read once: with several devices, another thread may clear it
        if tensor is None:
            planes = shown.pixels.planes
            if planes is not None and self.takes(planes):
                upload = partial(self._transfer.upload, device=self.device)
                tensor = yuv_on_device.to_rgb(planes, self._color, upload)
            else:
                image = shown.image
                image = to_network(image) if image.dtype == np.float16 else image
                samples = self._transfer.upload(to_planes(image), self.device)
                tensor = to_unit_range(samples)
            shown.tensor = tensor
        return tensor

    def _beside(self, frame: Tensor, where: torch.device) -> Tensor:
        """A frame on the device of the made ones, without waiting for these."""
        return frame if frame.device == where else self._transfer.upload(frame, where)

    def _stored(
        self, a: Shown, frames: list[Tensor]
    ) -> tuple[list[Tensor], Callable[[list[Tensor]], list[Pixels]]]:
        """What to copy from the device, and what it then becomes."""
        stored_as, color = self._stored_as, self._color
        if self._converts(stored_as, *frames[0].shape[2:]):
            assert stored_as is not None
            planes = yuv_on_device.from_rgb(frames, color, stored_as)
            return planes, partial(yuv_on_device.to_pixels, color=color, pix_fmt=stored_as)
        is_light = self._as_rgb and a.image.dtype == np.float16
        deep = is_light or color.deep  # asking the image for it would convert it

        def to_pixels(samples: list[Tensor]) -> list[Pixels]:
            images = [to_image(x.cpu()) for x in samples]
            return [Pixels(from_network(image) if is_light else image) for image in images]

        return [to_samples(f, deep) for f in frames], to_pixels

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


def _counted(share: float) -> float:
    """A share of unsure pixels; a very small one does not count."""
    return share if share >= MIN_SHARE else 0.0
