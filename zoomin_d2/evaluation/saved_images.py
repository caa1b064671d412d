"""Keeps the frames with the lowest and the highest PSNR of a dataset and saves them as panels.

A panel is truth, prediction / average of the inputs, error, 2 x 2, each with a caption.
"""

import heapq
from pathlib import Path
from typing import NamedTuple

import numpy as np
from torch import Tensor

from zoomin_d2.evaluation.metrics import psnr
from zoomin_d2.visualization import draw_error, save_picture, tile_pictures, to_picture
from zoomin_d2.visualization.panel import ERROR_GAIN


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
                    path = directory / f"{kind}_{place:02d}.png"
                    panel = comparison_panel(name, frames_of[name])
                    save_picture(path, panel)


def comparison_panel(name: str, frames: dict[str, Tensor]) -> np.ndarray:
    """Draw one panel.

    Args:
        name: what the caption of the true frame says.
        frames: as in `ExtremeImages.offer`.

    Returns:
        (H', W', 3) uint8 RGB.
    """
    truth, pred = frames["truth"], frames["pred"]
    captions = {"pred": "prediction", "average": "average of the inputs"}
    tiles = [(f"truth: {name}", to_picture(truth))]
    tiles += [
        (f"{caption}: {psnr(frames[k][None], truth[None]).item():.2f} dB", to_picture(frames[k]))
        for k, caption in captions.items()
        if k in frames
    ]
    tiles.append((f"|prediction - truth| x {ERROR_GAIN}", draw_error(pred, truth)))
    return tile_pictures(tiles, columns=2 if len(tiles) > 3 else len(tiles))


def _order(image: _Kept) -> tuple[float, str]:
    return image.psnr, image.name
