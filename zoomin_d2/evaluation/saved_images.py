"""Keeps some of a dataset's images, with a method's outputs for them, and saves them.

There are two kinds: the images with the lowest and the highest PSNR, as panels to look at
(images/), and a sample for the report page (frames/). The sample (the images whose names have the
smallest hashes) is the same for every method that is scored on the dataset, so that methods can be
compared side by side. On disk, a sampled image is the folder frames/<file_name> (a name that could
be unsafe there is changed) with frame_1.png, frame_2.png, frame_t.png (the truth), pred_frame.png
and, if the method has them, maps.npz with `flow_1t`, `flow_2t` (2, H, W) float16 pixels,
`blend_mask` (H, W) uint8 (255: all of frame_1) and `proposal_boxes` (R, 4) float32 XYXY pixels.
"""

import hashlib
import heapq
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from zoomin_d2.evaluation.metrics import psnr
from zoomin_d2.files import write_atomically
from zoomin_d2.frames import to_8bit, to_float
from zoomin_d2.inference.baselines import average
from zoomin_d2.visualization import draw_error, save_picture, tile_pictures, to_picture
from zoomin_d2.visualization.panel import ERROR_GAIN

_FRAMES = {"frame_1": 0, "frame_2": 0, "frame_t": 0, "pred_frame": 1}  # 0: input, 1: output

# Parts that are safe on any disk, none of them hidden, and none that leads out of the folder.
_PLAIN = re.compile(r"\w[\w.-]*(/\w[\w.-]*)*", re.ASCII)


class _Image(NamedTuple):
    name: str
    psnr: float
    t: float
    frames: dict[str, Tensor]  # uint8 (3, H, W) on the CPU
    maps: dict[str, np.ndarray]


class SavedImages:
    """The images chosen among those offered so far.

    Args:
        num: images of the sample; a third of that number, rounded up, are kept as the worst images
            and as many as the best. 0 keeps none. Their frames and maps are held in memory.
    """

    def __init__(self, num: int):
        if num < 0:
            raise ValueError(f"num_saved must be 0 or more, got {num}")
        self._num, self._num_extreme = num, -(-num // 3)
        self._worst: list[_Image] = []
        self._best: list[_Image] = []
        self._sample: list[_Image] = []

    def offer(self, sample: Mapping, output: Mapping, image_psnr: float) -> None:
        """Keep the image if it is among the chosen so far.

        Args:
            sample: `file_name` and `frame_t`, optionally `frame_1`, `frame_2`, `t`; frames are
                (3, H, W), uint8 or float in [0, 1]. A name that is already kept is ignored.
            output: `pred_frame`, optionally `flow_1t`, `flow_2t`, `blend_mask`, `proposals`.
            image_psnr: dB, or inf; ties are broken by name.
        """
        name = sample["file_name"]
        if any(name == image.name for image in (*self._worst, *self._best, *self._sample)):
            return
        # Without its frames, to find out whether it is chosen.
        image = _Image(name, image_psnr, float(sample.get("t", 0.5)), {}, {})
        worst, best, chosen = self._choose(image)
        if not any(image is x for x in (*worst, *best, *chosen)):
            return
        image.frames.update(
            (key, to_8bit((sample, output)[source][key].detach()).cpu())
            for key, source in _FRAMES.items()
            if key in (sample, output)[source]
        )
        if any(image is x for x in chosen):
            image.maps.update(_maps(output))
        self._worst, self._best, self._sample = worst, best, chosen

    def _choose(self, image: _Image) -> tuple[list[_Image], list[_Image], list[_Image]]:
        return (
            heapq.nsmallest(self._num_extreme, [*self._worst, image], key=_by_psnr),
            heapq.nlargest(self._num_extreme, [*self._best, image], key=_by_psnr),
            heapq.nsmallest(self._num, [*self._sample, image], key=lambda x: _rank(x.name)),
        )

    def save(self, directory: Path, images: Sequence[Mapping]) -> dict[str, dict]:
        """Write the images that are chosen from the whole dataset and were offered here.

        Args:
            directory: created if missing; pictures of an earlier evaluation are replaced.
            images: `file_name` and `PSNR` of the dataset's images, from all processes.

        Returns:
            "saved_images": "worst" and "best" -> file_names, the most extreme first;
            "saved_frames": file_name -> folder below `directory`, the lowest hash first. Both also
            name images that other processes write.
        """
        if not self._num:
            return {"saved_images": {"worst": [], "best": []}, "saved_frames": {}}
        ordered = sorted(images, key=lambda image: (image["PSNR"], image["file_name"]))
        names = [image["file_name"] for image in ordered]
        num = self._num_extreme
        extremes = {"worst": names[:num], "best": names[num:][::-1][:num]}
        kept = {x.name: x for x in (*self._worst, *self._best)}
        panels = {
            directory / "images" / f"{kind}_{rank:02d}.png": name
            for kind, chosen in extremes.items()
            for rank, name in enumerate(chosen, start=1)
        }
        sampled = heapq.nsmallest(self._num, names, key=_rank)
        folders = {name: f"frames/{_folder_name(name)}" for name in sampled}
        _remove_others(directory, set(panels), {directory / x for x in folders.values()})
        (directory / "images").mkdir(parents=True, exist_ok=True)
        for path, name in panels.items():
            if name in kept:
                save_picture(path, _comparison_panel(kept[name]))
        for image in self._sample:
            if image.name in folders:
                _write(directory / folders[image.name], image)
        return {"saved_images": extremes, "saved_frames": folders}


def _remove_others(directory: Path, panels: set[Path], folders: set[Path]) -> None:
    """Pictures of an earlier evaluation. Several processes may do it at once: all keep the same."""
    old = {path for path in (directory / "images").glob("*.png") if path not in panels}
    files = [path for path in (directory / "frames").rglob("*") if path.is_file()]
    for path in old.union(path for path in files if path.parent not in folders):
        path.unlink(missing_ok=True)


def _by_psnr(image: _Image) -> tuple[float, str]:
    return image.psnr, image.name


def _rank(file_name: str) -> str:
    return hashlib.sha256(file_name.encode()).hexdigest()


def _folder_name(file_name: str) -> str:
    """A file_name as a relative path: itself if it is plain, which patterns like those of
    tools/evaluate.py rely on; else one readable name with a hash, which is safe and unique."""
    if len(file_name) <= 80 and _PLAIN.fullmatch(file_name):
        return file_name
    readable = re.sub(r"[^\w.-]+", "_", file_name)[-80:].lstrip(".")
    return f"{readable}-{_rank(file_name)[:8]}"


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


def _comparison_panel(image: _Image) -> np.ndarray:
    """Truth, prediction / average of the inputs, error, each with a caption; uint8 RGB."""
    truth, pred = image.frames["frame_t"], image.frames["pred_frame"]
    frames = {"prediction": pred}
    if "frame_1" in image.frames and "frame_2" in image.frames:
        first, second = (to_float(image.frames[key][None]) for key in ("frame_1", "frame_2"))
        frames["average of the inputs"] = average(first, second, torch.tensor([image.t]))[0]
    tiles = [(f"truth: {image.name}", to_picture(truth))]
    tiles += [
        (f"{caption}: {psnr(frame[None], truth[None]).item():.2f} dB", to_picture(frame))
        for caption, frame in frames.items()
    ]
    tiles.append((f"|prediction - truth| x {ERROR_GAIN}", draw_error(pred, truth)))
    return tile_pictures(tiles, columns=2 if len(tiles) > 3 else len(tiles))


def _write_maps(file: IO[bytes], maps: dict[str, Any]) -> None:
    np.savez_compressed(file, **maps)


def _write(folder: Path, image: _Image) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for key, frame in image.frames.items():
        save_picture(folder / f"{key}.png", to_picture(frame))
    if image.maps:
        write_atomically(folder / "maps.npz", lambda f: _write_maps(f, image.maps))
    else:
        (folder / "maps.npz").unlink(missing_ok=True)  # from a method scored here before
