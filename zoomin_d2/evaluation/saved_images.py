"""Keeps the frames with the lowest and the highest PSNR of a dataset and saves them as panels.

A panel is truth, prediction / average of the inputs, error, 2 x 2, each with a caption.
"""

import heapq
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from zoomin_d2.evaluation.metrics import psnr

ERROR_GAIN = 4  # |pred - truth| is drawn times this, so that 64 of 255 is the brightest colour

_BAR = 22  # pixels, height of a caption
_GAP = 4  # pixels between the tiles


class _Kept(NamedTuple):
    psnr: float
    name: str
    frames: dict[str, Tensor]


class ExtremeImages:
    """The frames of the `num` worst and the `num` best images that were offered so far.

    Args:
        num: images kept at each end; 0 keeps none.
    """

    def __init__(self, num: int):
        self._num = num
        self._worst: list[_Kept] = []
        self._best: list[_Kept] = []

    def offer(self, image_psnr: float, name: str, frames: dict[str, Tensor]) -> None:
        """Keep the frames if the image is among the extremes so far.

        Args:
            image_psnr: dB, decides the order, then the name does; inf is allowed.
            name: the image's unique file_name; one that is kept already is ignored.
            frames: uint8 (3, H, W) under "truth", "pred" and, where known, "average".
        """
        if any(kept.name == name for kept in self._worst + self._best):
            return
        image = _Kept(image_psnr, name, frames)
        self._worst = heapq.nsmallest(self._num, [*self._worst, image], key=_order)
        self._best = heapq.nlargest(self._num, [*self._best, image], key=_order)

    def save(self, directory: Path, worst: list[str], best: list[str]) -> None:
        """Write worst_01.png, ..., best_01.png, ... of those named images that are kept here.

        Args:
            directory: made if missing; panels of an earlier evaluation are replaced.
            worst, best: file_names, the most extreme first.
        """
        directory.mkdir(parents=True, exist_ok=True)
        for kind, names, images in (("worst", worst, self._worst), ("best", best, self._best)):
            frames_of = {kept.name: kept.frames for kept in images}
            for place, name in enumerate(names, start=1):
                if name in frames_of:
                    panel = comparison_panel(name, frames_of[name])
                    panel.save(directory / f"{kind}_{place:02d}.png")


def comparison_panel(name: str, frames: dict[str, Tensor]) -> Image.Image:
    """Draw one panel.

    Args:
        name: what the caption of the true frame says.
        frames: as in `ExtremeImages.offer`.
    """
    truth, pred = frames["truth"], frames["pred"]
    tiles = [(f"truth: {name}", truth), (_scored("prediction", pred, truth), pred)]
    if "average" in frames:
        tiles.append(
            (_scored("average of the inputs", frames["average"], truth), frames["average"])
        )
    tiles.append((f"|prediction - truth| x {ERROR_GAIN}", _error_map(pred, truth)))

    height, width = truth.shape[-2:]
    columns = 2 if len(tiles) > 3 else len(tiles)
    rows = -(-len(tiles) // columns)
    size = (columns * (width + _GAP) - _GAP, rows * (height + _BAR + _GAP) - _GAP)
    panel = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(panel)
    font = ImageFont.load_default(size=13)
    for i, (caption, frame) in enumerate(tiles):
        left, top = i % columns * (width + _GAP), i // columns * (height + _BAR + _GAP)
        while len(caption) > 4 and draw.textlength(caption, font=font) > width - 6:
            caption = caption[:-4] + "..."
        draw.text((left + 3, top + _BAR // 2), caption, fill="black", font=font, anchor="lm")
        panel.paste(Image.fromarray(frame.permute(1, 2, 0).numpy()), (left, top + _BAR))
    return panel


def _order(image: _Kept) -> tuple[float, str]:
    return image.psnr, image.name


def _scored(caption: str, frame: Tensor, truth: Tensor) -> str:
    return f"{caption}: {psnr(frame[None], truth[None]).item():.2f} dB"


def _error_map(pred: Tensor, truth: Tensor) -> Tensor:
    """The largest difference over RGB, amplified, black to yellow (matplotlib's inferno)."""
    error = (pred.int() - truth.int()).abs().amax(dim=0) * ERROR_GAIN
    error = error.clamp(max=255).to(torch.uint8).numpy()
    coloured = cv2.applyColorMap(error, cv2.COLORMAP_INFERNO)[..., ::-1]
    return torch.from_numpy(np.ascontiguousarray(coloured)).permute(2, 0, 1)
