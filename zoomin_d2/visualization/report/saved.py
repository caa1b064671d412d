"""What evaluations saved of one image (`evaluation/saved_images.py`), read back from disk.

Frames are RGB uint8 arrays (H, W, 3).
"""

import zipfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from zoomin_d2.frames import CorruptFrameError, read_image
from zoomin_d2.visualization.proposals import whole_pixels
from zoomin_d2.visualization.report.scores import Scores

Propose = Callable[[Tensor], Tensor]  # frame_t (3, H, W) uint8 -> boxes (R, 4) XYXY pixels

FLOWS = ("flow_1t", "flow_2t")


def shared_frames(name: str, scores: Sequence[Scores]) -> dict[str, np.ndarray]:
    """`frame_1`, `frame_2`, their `average`, and the `truth`.

    Raises:
        ValueError: two methods have different true frames, or a frame is missing.
    """
    frames: dict[str, np.ndarray] = {}
    for method in scores:
        folder = method.saved_frames[name]
        truth = read_frame(folder / "frame_t.png")
        if "truth" in frames and not np.array_equal(frames["truth"], truth):
            raise ValueError(
                f"the true frames of '{name}' differ between '{method.method}' and "
                f"'{scores[0].method}': they were not scored on the same data"
            )
        frames["truth"] = truth
        for key in ("frame_1", "frame_2"):
            if key not in frames and (folder / f"{key}.png").is_file():
                frames[key] = read_frame(folder / f"{key}.png")
    if "frame_1" in frames and "frame_2" in frames:
        total = frames["frame_1"].astype(np.uint16) + frames["frame_2"] + 1
        frames["average"] = (total // 2).astype(np.uint8)
    return frames


def find_boxes(
    name: str, scores: Sequence[Scores], truth: np.ndarray, propose: Propose | None = None
) -> list[tuple[int, int, int, int]]:
    """ROIs of an image in whole pixels, the best first: saved ones, else those of `propose`."""
    boxes = None
    for method in scores:
        boxes = read_maps(method.saved_frames[name]).get("proposal_boxes")
        if boxes is not None:
            break
    if boxes is None and propose is not None:
        boxes = propose(as_tensor(truth)).cpu().numpy()
    if boxes is None:
        return []
    return [whole_pixels(box, *truth.shape[:2]) for box in boxes.tolist()]


def read_frame(path: Path) -> np.ndarray:
    """One saved frame; raises ValueError if it is missing or cannot be read."""
    try:
        return read_image(path)
    except CorruptFrameError as error:
        raise ValueError(f"{error}: evaluate again") from error


def read_maps(folder: Path) -> dict[str, np.ndarray]:
    """Flows, mask and boxes by name; {} if the method has saved none."""
    path = folder / "maps.npz"
    if not path.is_file():
        return {}
    try:
        with np.load(path, allow_pickle=False) as maps:
            return dict(maps)
    except (OSError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(f"{path} cannot be read ({error}): evaluate again") from error


def as_tensor(picture: np.ndarray) -> Tensor:
    """(H, W, 3) -> (3, H, W)."""
    return torch.from_numpy(np.ascontiguousarray(picture)).permute(2, 0, 1)
