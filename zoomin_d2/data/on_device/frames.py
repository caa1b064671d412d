"""A training set whose frames are all in the device's memory, where samples are cut from them.

Making crops takes a processor core 3 to 10 ms per sample, and training on a GPU would need more
cores than most machines have. Here worker processes only choose crops
(`InterpolationDatasetMapper`), a few numbers each, and the device cuts them: the same samples, up
to the rounding of an average.
"""

import logging
import math
import time
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import torch

from zoomin_d2.data.batching import StackedBatch
from zoomin_d2.data.dataset_mapper import Crop, InterpolationDatasetMapper
from zoomin_d2.data.frame_store import FrameRef, FrameStore, open_shot
from zoomin_d2.data.on_device.area_crops import area_crops_on
from zoomin_d2.data.synthetic_layers import layered_triplets
from zoomin_d2.data.synthetic_samples import take_draws
from zoomin_d2.data.worker_setup import prepare_worker
from zoomin_d2.frames import CorruptFrameError

logger = logging.getLogger(__name__)

# The share of a GPU's free memory that frames may take; the rest is for the training.
_LARGEST_PART = 0.7
_FRAMES = ("frame_1", "frame_t", "frame_2")


class FrameLocations:
    """Where a frame begins in `DeviceFrames.pixels`; small, for worker processes."""

    def __init__(self) -> None:
        # First pixel and number of frames of a packed shot's file, or of one frame.
        self.parts: dict[FrameRef, tuple[int, int]] = {}
        self.problems: dict[FrameRef, str] = {}  # why such a part is missing

    def start(self, ref: FrameRef, num_pixels: int) -> int:
        """The first pixel of a frame of so many. Raises CorruptFrameError if it is missing."""
        part = _part(ref)
        if part in self.problems:
            raise CorruptFrameError(_file_name(ref), self.problems[part])
        start, num_frames = self.parts[part]
        if isinstance(ref, str) or not _is_packed(ref):
            return start
        if not 0 <= ref[1] < num_frames:
            raise CorruptFrameError(ref[0], f"has no frame {ref[1]}, only {num_frames} frames")
        return start + ref[1] * num_pixels


class DeviceFrames:
    """All frames of some records, including high-resolution partners, at their own size.

    Args:
        records: see `InterpolationDatasetMapper`; a frame that occurs twice is stored once.
        device: the device whose memory holds them.
        high_resolution: whether partners are needed.

    Raises:
        ValueError: the frames do not fit into the GPU's memory.
    """

    def __init__(self, records: Sequence[dict], device: torch.device, high_resolution: bool):
        started = time.perf_counter()
        self.locations = FrameLocations()
        store = FrameStore()
        # Each part that is read at once (a packed shot's file, or one frame), and its frame size.
        parts: dict[FrameRef, tuple[int, int]] = {}
        for ref, size in _frame_sizes(records, high_resolution).items():
            parts.setdefault(_part(ref), size)

        def read(part: FrameRef) -> np.ndarray:
            packed = _is_packed(part)
            frames = open_shot(_file_name(part)) if packed else store.read(part)[None]
            if frames.shape[1:3] != parts[part]:
                reason = f"is {frames.shape[1:3]}, but its dataset says {parts[part]} (H, W)"
                raise CorruptFrameError(_file_name(part), reason)
            return frames

        num_pixels = 0
        for part, (height, width) in parts.items():
            try:
                count = len(read(part)) if _is_packed(part) else 1
            except CorruptFrameError as error:
                self.locations.problems[part] = error.reason
                continue
            self.locations.parts[part] = num_pixels, count
            num_pixels += count * height * width
        _check_memory(3 * num_pixels, device)
        self.pixels = torch.empty((num_pixels, 3), dtype=torch.uint8, device=device)
        for part, (start, _) in self.locations.parts.items():
            try:
                frames = read(part)
            except CorruptFrameError as error:
                self.locations.problems[part] = error.reason
                continue
            # (A rotated video's frames are views.)
            pixels = torch.from_numpy(np.ascontiguousarray(frames)).view(-1, 3)
            self.pixels[start : start + len(pixels)] = pixels
        logger.info(
            "Loaded %.1f GB of frames into the memory of %s in %.0f s",
            *(3 * num_pixels / 1e9, device, time.perf_counter() - started),
        )


class CropPlanner:
    """In a worker: a record and a random generator in, the numbers of one sample out.

    Args:
        mapper: chooses the crops.
        locations: where the frames are.
    """

    def __init__(self, mapper: InterpolationDatasetMapper, locations: FrameLocations):
        self._mapper = mapper
        self._locations = locations

    def __call__(self, record: dict, rng: np.random.Generator) -> dict:
        """Like the mapper's, with "crop" (rows for `DeviceLoader`) in place of frames.

        Raises:
            CorruptFrameError: a frame that is needed could not be read.
        """
        prepare_worker()
        crop = self._mapper.choose_crop(record, rng)
        first, middle, last, _ = crop.window
        refs = [record["frames"][i] for i in (first, middle, last)]
        rows = [self._row(ref, record, crop) for ref in refs]
        if self._mapper.gives_high_resolution(record):
            rows.append(
                self._row(record["hr_frames"][middle], record, crop, record["hr_scale"]),
            )
        return {**self._mapper.describe(record, crop), "crop": np.array(rows)}

    def _row(self, ref: FrameRef, record: dict, crop: Crop, factor: int = 1) -> list[int]:
        """Start, strides of rows and columns, extents: the arguments of `area_crops`."""
        width = record["width"] * factor
        x0, y0, x1, y1 = (x * factor for x in crop.box)
        start = self._locations.start(ref, width * record["height"] * factor) + y0 * width + x0
        strides, extents = [width, 1], [y1 - y0, x1 - x0]
        if crop.transpose:
            strides.reverse()
            extents.reverse()
        for side, is_flipped in enumerate((crop.flip_vertical, crop.flip_horizontal)):
            if is_flipped:  # from the last row or column backwards
                start += (extents[side] - 1) * strides[side]
                strides[side] = -strides[side]
        return [start, *strides, *extents]


Plans = tuple[np.ndarray, np.ndarray, np.ndarray, list[dict]]


def stack_plans(samples: list[dict], num_synthetic: int = 0) -> Plans:
    """A `CropPlanner`'s samples as rows (3, N, 5), rows of the M partners (M, 5), and the rest.

    The first ``num_synthetic`` S samples become synthetic and have no partners; the third result,
    (S, NUM_DRAWS), is their randomness. The results are arrays, not tensors, because arrays this
    small travel through the existing pipe.
    """
    rows = [sample.pop("crop") for sample in samples]
    partners = [x[3:] for x in rows[num_synthetic:]]
    draws = take_draws(samples, num_synthetic)
    no_rows = np.empty((0, 5), np.int64)
    return np.stack([x[:3] for x in rows], 1), np.concatenate([no_rows, *partners]), draws, samples


class DeviceLoader:
    """Results of `stack_plans` in, stacked batches (batching.py) of frames on the device out.

    Args:
        loader: yields the results of `stack_plans`.
        frames: what the samples are cut from.
        mapper: knows how large crops are, and how much larger their sources may be.
    """

    def __init__(
        self, loader: Iterable[Plans], frames: DeviceFrames, mapper: InterpolationDatasetMapper
    ):
        self._loader = loader
        self._pixels = frames.pixels
        self._size = mapper.crop_size
        lowest = mapper.scale_range[0]
        # After rounding, a source is at most half a pixel larger than crop / scale.
        largest = 1 / lowest + 0.5 / min(self._size)
        self._num_taps = 1 if lowest == 1 else math.ceil(largest) + 1

    def __iter__(self) -> Iterator[StackedBatch]:
        for rows, partner_rows, draws, values in self._loader:
            everyone = list(range(len(values)))
            cut = [self._cut(x) for x in self._on_device(rows)]
            if len(draws):
                t = np.array([value["t"] for value in values[: len(draws)]], np.float32)
                layered = layered_triplets(cut[1], *map(self._on_device, (draws, t)))
                for crops, frames in zip(cut, layered, strict=True):
                    crops[: len(draws)] = frames
            stacks = [(key, everyone, frames) for key, frames in zip(_FRAMES, cut, strict=True)]
            # One by one, because their number changes and their size may.
            have_partner = [i for i in everyone if "hr_scale" in values[i]]
            for i, row in zip(have_partner, self._on_device(partner_rows)[:, None], strict=True):
                stacks.append(("frame_t_hr", [i], self._cut(row, values[i]["hr_scale"])))
            yield values, stacks

    def _on_device(self, rows: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(rows).to(self._pixels.device, non_blocking=True)

    def _cut(self, rows: torch.Tensor, factor: int = 1) -> torch.Tensor:
        size = (self._size[0] * factor, self._size[1] * factor)
        crop = area_crops_on(self._pixels.device.type)
        return crop(self._pixels, rows[:, 0], rows[:, 1:3], rows[:, 3:], size, self._num_taps)


def _file_name(ref: FrameRef) -> str:
    return ref if isinstance(ref, str) else ref[0]


def _part(ref: FrameRef) -> FrameRef:
    """The part that is read at once: the file of a packed shot, or one frame."""
    return _file_name(ref) if _is_packed(ref) else ref


def _is_packed(ref: FrameRef) -> bool:
    return _file_name(ref).endswith(".npy")


def _frame_sizes(records: Sequence[dict], high_resolution: bool) -> dict[FrameRef, tuple[int, int]]:
    """Every frame, once, with its (height, width)."""
    sizes = {}
    for record in records:
        size = (record["height"], record["width"])
        sizes.update(dict.fromkeys(record["frames"], size))
        if high_resolution and "hr_frames" in record:
            size = (size[0] * record["hr_scale"], size[1] * record["hr_scale"])
            sizes.update(dict.fromkeys(record["hr_frames"], size))
    return sizes


def _check_memory(num_bytes: int, device: torch.device) -> None:
    if device.type != "cuda":
        return
    free = torch.cuda.mem_get_info()[0]
    if num_bytes > _LARGEST_PART * free:
        raise ValueError(
            f"DATALOADER.FRAMES_ON_DEVICE: the frames take {num_bytes / 1e9:.1f} GB, more than "
            f"{_LARGEST_PART:.0%} of the {free / 1e9:.1f} GB that are free on the GPU. Set it to "
            "False, or prepare smaller frames (datasets/prepare_videos.py --short-side)."
        )
