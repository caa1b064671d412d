"""Images in, a test set of synthetic layered triplets out: folders of PNG files, t = 0.5."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch

from zoomin_d2.data.datasets.records import image_size
from zoomin_d2.data.frame_store import FrameRef, FrameStore
from zoomin_d2.data.synthetic_layers import NUM_DRAWS, layered_triplets
from zoomin_d2.frames import IMAGE_SUFFIXES, CorruptFrameError

SIZE = (256, 448)  # (height, width) of the frames
STILLS_PER_TRIPLET = 8
# Between frame_1 and frame_2, mean over all values on 0..255; stills without texture never reach
# it.
_LEAST_DIFFERENCE, _MAX_TRIES = 1.0, 10


def find_images(sources: Sequence[Path], size: tuple[int, int] = SIZE) -> tuple[list[str], int]:
    """The images of at least ``size`` among files and folders (searched recursively), sorted.

    Returns:
        Their names, and how many others are smaller or cannot be read.

    Raises:
        FileNotFoundError: a source does not exist, or no image is left.
    """
    files: set[Path] = set()
    for source in sources:
        if not source.exists():
            raise FileNotFoundError(f"{source} does not exist; give images or folders of images")
        found = source.rglob("*") if source.is_dir() else [source]
        files.update(x for x in found if x.suffix.lower() in IMAGE_SUFFIXES and x.is_file())
    large = [str(x) for x in sorted(files) if _is_large(x, size)]
    if not large:
        raise FileNotFoundError(
            f"No image of at least {size[1]}x{size[0]} pixels in {', '.join(map(str, sources))} "
            f"({len(files)} are smaller or cannot be read); give larger images"
        )
    return large, len(files) - len(large)


def _is_large(file: Path, size: tuple[int, int]) -> bool:
    try:
        height, width = image_size(file)
    except CorruptFrameError:
        return False
    return height >= size[0] and width >= size[1]


def stills_of_clips(records: Sequence[dict], size: tuple[int, int] = SIZE) -> list[FrameRef]:
    """Every eighth frame of the clips that are at least ``size``."""
    large = [x for x in records if x["height"] >= size[0] and x["width"] >= size[1]]
    return [frame for record in large for frame in record["frames"][::8]]


def write_synthetic_triplets(
    stills: Sequence[FrameRef], folder: Path, num: int, seed: int, size: tuple[int, int] = SIZE
) -> None:
    """Write ``num`` triplets to folder/layers/<k>_{0,1,2}.png; triplet k depends on seed, k and the
    stills' order. The folder appears once all are made.

    Raises:
        CorruptFrameError: a still cannot be read.
        FileExistsError: the folder exists; it may hold the user's own triplets.
        OSError: a file cannot be written.
    """
    if folder.exists():
        raise FileExistsError(f"{folder} exists; remove it, or choose another --name")
    store, made = FrameStore(), folder.with_name(f".{folder.name}.{os.getpid()}")
    scene = made / "layers"
    scene.mkdir(parents=True)
    try:
        for k in range(num):
            frames = _moving_triplet(store, stills, size, np.random.default_rng([seed, k]))
            for i, frame in enumerate(frames):
                image = np.ascontiguousarray(frame.permute(1, 2, 0).numpy()[..., ::-1])
                file = scene / f"{k}_{i}.png"
                if not cv2.imwrite(str(file), image):
                    raise OSError(f"{file} could not be written")
        made.rename(folder)
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _moving_triplet(
    store: FrameStore, stills: Sequence[FrameRef], size: tuple[int, int], rng: np.random.Generator
) -> list[torch.Tensor]:
    """A triplet with motion: one whose few layers are all still would score 100 dB."""
    for _ in range(_MAX_TRIES):
        chosen = rng.permutation(len(stills))[:STILLS_PER_TRIPLET]
        crops = torch.stack([_random_crop(store.read(stills[i]), size, rng) for i in chosen])
        draws = torch.from_numpy(rng.random((1, NUM_DRAWS), np.float32))
        frames = [x[0] for x in layered_triplets(crops, draws, torch.full((1,), 0.5))]
        if (frames[0].float() - frames[2].float()).abs().mean() >= _LEAST_DIFFERENCE:
            break
    return frames


def _random_crop(
    image: np.ndarray, size: tuple[int, int], rng: np.random.Generator
) -> torch.Tensor:
    y = int(rng.integers(image.shape[0] - size[0] + 1))
    x = int(rng.integers(image.shape[1] - size[1] + 1))
    crop = image[y : y + size[0], x : x + size[1]].transpose(2, 0, 1)
    return torch.from_numpy(np.ascontiguousarray(crop))
