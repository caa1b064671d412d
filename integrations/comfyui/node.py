"""A batch of images in, a longer or denser batch out.

The batch goes through the pipeline that videos take (zoomin_d2.video.interpolate_frames), so scene
cuts are found in the same way. Only a few frames are on the device at a time; the result is
allocated once. Frames that fall on an input are copies of it, to the bit; made ones are rounded to
16 bits.
"""

import contextlib
from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from zoomin_d2 import Interpolator
from zoomin_d2.inference.baselines import BASELINES
from zoomin_d2.video import OutputFrame, StreamOptions, Target, interpolate_frames, make_grid
from zoomin_d2.video.read.color import path_for_images
from zoomin_d2.video.read.source import ClosedOnExit, Damage, SourceFrame, SourceInfo
from zoomin_d2.video.time.step_detection import CUT_MIN


class InterpolateFrames:
    """The node. IMAGE is (B, H, W, 3) float in [0, 1], as everywhere in ComfyUI."""

    CATEGORY = "image/animation"
    FUNCTION = "run"
    RETURN_TYPES = ("IMAGE", "FLOAT")
    RETURN_NAMES = ("images", "fps")
    DESCRIPTION = (
        "Makes the frames between the images. Give a multiplier, or a target_fps above 0, which "
        "then decides. The last image is the last frame: 10 images at multiplier 2 become 19."
    )

    @classmethod
    def INPUT_TYPES(cls) -> dict:
        rate = {"min": 0.0, "max": 1000.0, "step": 0.001}
        return {
            "required": {
                "images": ("IMAGE",),
                "model": ([*Interpolator.available(), *BASELINES], {"default": "fast"}),
                "multiplier": ("INT", {"default": 2, "min": 2, "max": 64}),
                "source_fps": ("FLOAT", {"default": 24.0, **rate}),
                "target_fps": ("FLOAT", {"default": 0.0, **rate}),
                "scene_cuts": ("BOOLEAN", {"default": True}),
                "quality": (["standard", "best"],),
                "tile": ("INT", {"default": 0, "min": 0, "max": 8192, "step": 64}),
            }
        }

    def run(
        self,
        images: Tensor,
        model: str = "fast",
        multiplier: int = 2,
        source_fps: float = 24.0,
        target_fps: float = 0.0,
        scene_cuts: bool = True,
        quality: str = "standard",
        tile: int = 0,
    ) -> tuple[Tensor, float]:
        """
        Args:
            images: (B, H, W, 3).
            model: a name of INPUT_TYPES. quality: "standard" or "best".
            multiplier: frames out per image; used if target_fps is 0.
            source_fps, target_fps: frames per second of the images, and of the result.
            scene_cuts: find them, and show the nearer image there; of two images, the frames
                between them are made in any case.
            tile: side in pixels of the tiles that large images are cut into; 0: automatic.

        Returns:
            (N, H, W, 3) in the type of the images, on the CPU, and frames per second.

        Raises:
            ValueError: there are no images, they are not RGB, or a rate is not above 0.
        """
        if images.ndim != 4 or images.shape[-1] != 3:
            raise ValueError(f"images must be (B, H, W, 3) RGB, not {tuple(images.shape)}")
        if images.numel() == 0:
            raise ValueError(f"images must hold at least one image, not {tuple(images.shape)}")
        source = _Batch(images, _rate(source_fps, "source_fps"))
        target = Target(multi=multiplier)
        if target_fps:
            target = Target(fps=_rate(target_fps, "target_fps"))
            source.last_duration = max(source.last_duration, 1 / target.fps)
        grid = make_grid(target, source.info)
        cuts = CUT_MIN if scene_cuts and len(images) > 2 else None
        options = StreamOptions(cut_threshold=cuts, max_gap=None, hold_last=False)
        last = source.info.start + (len(images) - 1) / source.info.rate + grid.tolerance
        result = torch.empty(int(last * grid.fps) + 1, *images.shape[1:], dtype=images.dtype)
        note, count = _progress(len(result)), 0
        frames = interpolate_frames(source, _load(model, quality, tile), grid, options)
        with contextlib.closing(frames):
            for frame in frames:
                note()
                count = frame.index + 1
                place = _shown(frame, source.info.rate, len(images))
                if place is not None:
                    result[frame.index] = images[place]
                else:
                    result[frame.index] = _to_image(frame.image)
        return result[:count], float(grid.fps)


class _Batch(ClosedOnExit):
    """A batch of images as a source of 16-bit frames (zoomin_d2.video.read.source.Source)."""

    def __init__(self, images: Tensor, rate: Fraction):
        self._images = images
        count, height, width = images.shape[:3]
        self.info = SourceInfo(
            name="images",
            height=height,
            width=width,
            rate=rate,
            start=Fraction(0),
            time_base=1 / rate,
            duration=count / rate,
            num_frames=count,
            color=path_for_images(height, True),
            pix_fmt="rgb48le",
            is_images=True,
        )
        self.files: list[Path] = []
        self.damage = Damage()
        self.first_alpha: Fraction | None = None
        self.end, self.count = Fraction(0), 0
        self.last_duration = 1 / rate  # at least a step of the output, which then shows the last

    def frames(self, start: Fraction | None = None, index: int = 0) -> Iterator[SourceFrame]:
        duration = 1 / self.info.rate
        for i in range(index, len(self._images)):
            values = self._images[i].detach().float().cpu().nan_to_num().clamp(0, 1)
            picture = (values * 65535 + 0.5).numpy().astype(np.uint16)
            self.end, self.count = (i + 1) * duration, i + 1
            is_last = i + 1 == len(self._images)
            yield SourceFrame(i, i * duration, self.last_duration if is_last else duration, picture)

    def to_rgb(self, picture: np.ndarray) -> np.ndarray:
        return picture

    def to_alpha(self, picture: np.ndarray) -> None:
        return None


def _shown(frame: OutputFrame, rate: Fraction, count: int) -> int | None:
    """The image that a frame shows unchanged: its own, or across a cut the nearer; None: none."""
    if frame.kind == "made":
        return None
    beyond = frame.time * rate - frame.source_index > Fraction(1, 2)
    return min(frame.source_index + (frame.kind == "held" and beyond), count - 1)


def _to_image(frame: np.ndarray) -> Tensor:
    """(H, W, 3) uint16 as float32 in [0, 1]."""
    return torch.from_numpy(frame.astype(np.float32)) / 65535


def _rate(value: float, name: str) -> Fraction:
    """23.976 means the NTSC rate 24000/1001, as everywhere in zoomin_d2."""
    if value <= 0:
        raise ValueError(f"{name} must be above 0, got {value:g}")
    fps = Target(fps=round(value, 3)).fps
    assert fps is not None
    return fps


@lru_cache(maxsize=1)
def _load(model: str, quality: str, tile: int) -> Interpolator:
    device = None
    with contextlib.suppress(ImportError):
        from comfy.model_management import get_torch_device

        device = get_torch_device()
    if model in BASELINES:
        return Interpolator.from_pretrained(model, tile=tile or "auto")
    loaded = Interpolator.from_pretrained(model, device, tile=tile or "auto", quality=quality)
    return loaded.for_videos()


def _progress(total: int) -> Callable[[], None]:
    """Call the result for every frame: it moves ComfyUI's bar, and raises if the user stopped."""
    try:
        from comfy.model_management import throw_exception_if_processing_interrupted as check
        from comfy.utils import ProgressBar
    except ImportError:  # outside of ComfyUI
        return lambda: None
    bar = ProgressBar(total)

    def note() -> None:
        check()
        bar.update(1)

    return note
