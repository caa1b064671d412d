"""Keeps the frames, flows and boxes of a sample of a dataset's images, for the report page.

The sample is the same for every method that is scored on the dataset, so that methods can be laid
beside each other: the images whose names have the smallest hashes. On disk an image is a folder
with frame_1.png, frame_2.png, frame_t.png (the truth), pred_frame.png and, where the method has
them, maps.npz with `flow_1t`, `flow_2t` (2, H, W) float16 pixels, `blend_mask` (H, W) uint8
(255: all of frame_1) and `proposal_boxes` (R, 4) float32 XYXY pixels.
"""

import hashlib
import heapq
import re
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from torch import Tensor

from zoomin_d2.files import write_atomically
from zoomin_d2.frames import to_8bit
from zoomin_d2.visualization import save_picture, to_picture

_FRAMES = {"frame_1": 0, "frame_2": 0, "frame_t": 0, "pred_frame": 1}  # 0: input, 1: output


class _Kept(NamedTuple):
    rank: str
    name: str
    frames: dict[str, Tensor]
    maps: dict[str, np.ndarray]


class SampledFrames:
    """The frames of those `num` images that were offered so far and whose names hash lowest.

    Args:
        num: images kept; 0 keeps none. Memory is that of their frames and maps.
    """

    def __init__(self, num: int):
        self._num = num
        self._kept: list[_Kept] = []

    def offer(self, sample: Mapping, output: Mapping) -> None:
        """Keep the image if its name is among the chosen so far.

        Args:
            sample: `file_name`, `frame_t` and, where known, `frame_1`, `frame_2`: (3, H, W), uint8
                or float in [0, 1].
            output: `pred_frame` and, where known, `flow_1t`, `flow_2t`, `blend_mask`, `proposals`.
        """
        name = sample["file_name"]
        rank = _rank(name)
        if self._num == 0 or any(kept.name == name for kept in self._kept):
            return
        if len(self._kept) == self._num and rank > max(kept.rank for kept in self._kept):
            return
        frames = {
            key: to_8bit((sample, output)[source][key].detach()).cpu()
            for key, source in _FRAMES.items()
            if key in (sample, output)[source]
        }
        image = _Kept(rank, name, frames, _maps(output))
        self._kept = heapq.nsmallest(self._num, [*self._kept, image], key=lambda kept: kept.rank)

    def save(self, directory: Path, names: list[str]) -> dict[str, str]:
        """Write those images that are chosen among `names` and were offered here.

        Args:
            directory: made if missing.
            names: the file_names of the whole dataset, whoever scored them.

        Returns:
            file_name -> folder below `directory`, of every chosen image, the lowest hash first;
            also of those that another process writes.
        """
        chosen = heapq.nsmallest(self._num, names, key=_rank)
        for kept in self._kept:
            if kept.name in chosen:
                _write(directory / folder_name(kept.name), kept)
        return {name: folder_name(name) for name in chosen}


def folder_name(file_name: str) -> str:
    """A file_name as the name of one folder: readable, without separators, still unique."""
    readable = re.sub(r"[^\w.-]+", "_", file_name)[-80:].lstrip(".")
    return f"{readable}-{_rank(file_name)[:8]}"


def _rank(file_name: str) -> str:
    return hashlib.sha256(file_name.encode()).hexdigest()


def _maps(output: Mapping) -> dict[str, np.ndarray]:
    maps = {
        key: output[key].detach().cpu().numpy().astype(np.float16)
        for key in ("flow_1t", "flow_2t")
        if key in output
    }
    if "blend_mask" in output:
        maps["blend_mask"] = to_8bit(output["blend_mask"].detach())[0].cpu().numpy()
    if "proposals" in output:
        boxes = output["proposals"].proposal_boxes.tensor
        maps["proposal_boxes"] = boxes.detach().cpu().numpy().astype(np.float32)
    return maps


def _write_maps(file: IO[bytes], maps: dict[str, Any]) -> None:
    np.savez_compressed(file, **maps)


def _write(folder: Path, kept: _Kept) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for key, frame in kept.frames.items():
        save_picture(folder / f"{key}.png", to_picture(frame))
    if kept.maps:
        write_atomically(folder / "maps.npz", lambda f: _write_maps(f, kept.maps))
    else:
        (folder / "maps.npz").unlink(missing_ok=True)  # of a method that was scored here before
