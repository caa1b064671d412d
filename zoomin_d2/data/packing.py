"""What all prepare commands share: packed shots, the index, box averages, a pool of processes.

Files are written atomically (zoomin_d2/files.py).
"""

import itertools
import multiprocessing
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import IO

import cv2
import numpy as np
from tqdm import tqdm

from zoomin_d2.files import write_atomically
from zoomin_d2.frames import CorruptFrameError

INDEX_NAME = "index.json"
INDEX_VERSION = 1


def crop_to_multiple(image: np.ndarray, factor: int) -> np.ndarray:
    """The center of the image, with the largest height and width that are multiples of factor."""
    height, width = (side // factor * factor for side in image.shape[:2])
    if not height or not width:
        raise ValueError(f"an image of {image.shape[:2]} is smaller than the factor {factor}")
    y0, x0 = (image.shape[0] - height) // 2, (image.shape[1] - width) // 2
    return np.ascontiguousarray(image[y0 : y0 + height, x0 : x0 + width])


def box_average(image: np.ndarray, factor: int) -> np.ndarray:
    """Mean over factor x factor blocks; the sides must be multiples of factor."""
    size = (image.shape[1] // factor, image.shape[0] // factor)
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def make_index(name: str, entries: Iterable[dict], extra: dict | None = None) -> dict:
    """Merge the entries of single videos, each {"shots": [...], "counts": {...}} or
    {"corrupt": {...}}."""
    counts: Counter[str] = Counter(videos=0, corrupt_videos=0)
    shots, corrupt = [], []
    for entry in entries:
        counts["videos"] += 1
        if "corrupt" in entry:
            counts["corrupt_videos"] += 1
            corrupt.append(entry["corrupt"])
            continue
        shots += entry["shots"]
        counts.update(entry["counts"])
    return {
        "format": "zoomin_d2 clips",
        "version": INDEX_VERSION,
        "name": name,
        **(extra or {}),
        "counts": {**counts, "shots": len(shots)},
        "corrupt_videos": corrupt,
        "shots": shots,
    }


def run_jobs(
    jobs: list[tuple[Callable, tuple]], num_workers: int, unit: str, show_progress: bool = True
) -> list:
    """Call every (function, arguments), in processes if num_workers > 1; keeps the order."""
    num_workers = min(num_workers, len(jobs))
    bar = tqdm(total=len(jobs), unit=unit, disable=not show_progress, smoothing=0.05)
    with bar:
        if num_workers <= 1:
            results = []
            for function, arguments in jobs:
                results.append(function(*arguments))
                bar.update()
            return results
        # spawn: a forked child can hang in thread pools (OpenCV, decoders) that it did not inherit
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(num_workers, context, cv2.setNumThreads, (1,)) as pool:
            futures = [pool.submit(function, *arguments) for function, arguments in jobs]
            try:
                for future in as_completed(futures):
                    future.result()
                    bar.update()
            except BaseException:  # also Ctrl-C: do not start the remaining calls
                pool.shutdown(wait=False, cancel_futures=True)
                raise
            return [future.result() for future in futures]


def write_shot(path: Path, frames: Iterator[np.ndarray], num_frames: int) -> tuple[int, int]:
    """Write a packed shot atomically from `num_frames` equal frames; returns (height, width).

    Raises:
        CorruptFrameError: there are fewer frames than announced, or their sizes differ.
    """
    first = next(frames, None)
    if first is None:
        raise CorruptFrameError(path, "no frames to write")

    def write(file: IO[bytes]) -> None:
        shape = (num_frames, *first.shape)
        header = {"descr": "|u1", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        count = 0
        for frame in itertools.chain([first], frames):
            if frame.shape != first.shape:
                raise CorruptFrameError(path, f"frame size changes at frame {count}")
            file.write(np.ascontiguousarray(frame).data)
            count += 1
        if count != num_frames:
            raise CorruptFrameError(path, f"has {count} frames instead of {num_frames}")

    write_atomically(path, write)
    return first.shape[:2]


def require_disk_space(folder: Path, num_bytes: int, advice: str) -> None:
    """Raises OSError if the folder's disk has less than num_bytes (plus 2 % in reserve) free."""
    free = shutil.disk_usage(folder).free
    if num_bytes * 1.02 > free:
        raise OSError(
            f"{folder}: about {num_bytes / 1e9:.1f} GB are needed, {free / 1e9:.1f} GB are free. "
            f"{advice}"
        )
