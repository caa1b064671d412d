"""A dataset record (a clip) and a random generator in, one sample of `batched_inputs` out.

Frames are uint8 RGB tensors (3, H, W). All frames of a sample, including the high-resolution
partner, get the same geometric transform. Time reversal does not transform single images; the
mapper does it itself.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from detectron2.config import CfgNode, configurable

from zoomin_d2.data.frame_store import FrameStore, read_mask
from zoomin_d2.data.worker_setup import prepare_worker
from zoomin_d2.frames import CorruptFrameError


class Window(NamedTuple):
    """Frame indices of a sample inside its clip; frame_t lies at time t of [frame_1, frame_2]."""

    first: int
    middle: int
    last: int
    t: float


class Crop(NamedTuple):
    """What a training sample shows of its clip, and how; all of its randomness is here."""

    window: Window  # frame_1 first: the later one after time reversal
    box: tuple[int, int, int, int]  # x0, y0, x1, y1 in pixels of the frames, x1 and y1 excluded
    size: tuple[int, int]  # (height, width) that the box is averaged to
    transpose: bool
    flip_horizontal: bool  # after transposition, as flip_vertical
    flip_vertical: bool


class InterpolationDatasetMapper:
    """Makes a sample from a record.

    A record is a dict with `file_name`, `frames` (at least three references in time order, see
    frame_store.py), `height`, `width`, and optionally `fps`, `hr_frames` (parallel to `frames`)
    with `hr_scale`, `mask_file_name`.

    A sample is a dict with
      frame_1, frame_t, frame_2: uint8 (3, H, W);
      t: float in (0, 1); file_name: str; height, width: int;
      frame_t_hr: uint8 (3, H * hr_scale, W * hr_scale), hr_scale: int   (training, if there);
      mask: bool (H, W), True = counted                                  (test, if there).

    Training: a random window of the clip, a random crop, flips, transposition, time reversal.
    Test: the record must be a triplet; whole frames, t = 0.5.

    Args:
        is_train: training or test.
        crop_size: (height, width) of a training sample in pixels.
        frame_spacing: (min, max) time from frame_1 to frame_t at t = 0.5; frame_2 is twice as far.
            In frames (integers), or in milliseconds, rounded to the nearest whole number of frames,
            at least one.
        frame_spacing_unit: "frames" or "ms"; "ms" needs records with `fps`.
        arbitrary_t: frame_t anywhere strictly between frame_1 and frame_2.
        scale_range: (min, max) factor of random downscaling (area averaging), 0 < min <= max <= 1.
            A factor that would make the frame smaller than the crop becomes the one that just fits.
        flip_horizontal_prob, flip_vertical_prob, transpose_prob: probability of each transform.
        time_reversal_prob: probability of swapping frame_1 and frame_2, which turns t into 1 - t.
        high_resolution: return frame_t_hr if the record has it.
    """

    @configurable
    def __init__(
        self,
        *,
        is_train: bool,
        crop_size: Sequence[int] = (256, 256),
        frame_spacing: Sequence[float] = (1, 1),
        frame_spacing_unit: str = "frames",
        arbitrary_t: bool = False,
        scale_range: Sequence[float] = (1.0, 1.0),
        flip_horizontal_prob: float = 0.0,
        flip_vertical_prob: float = 0.0,
        transpose_prob: float = 0.0,
        time_reversal_prob: float = 0.0,
        high_resolution: bool = True,
    ):
        if frame_spacing_unit not in ("frames", "ms"):
            raise ValueError(
                f"INPUT.FRAME_SPACING_UNIT is {frame_spacing_unit!r}, expected 'frames' or 'ms'"
            )
        if not 0 < frame_spacing[0] <= frame_spacing[1]:
            raise ValueError(f"INPUT.FRAME_SPACING {frame_spacing}: expected 0 < min <= max")
        if frame_spacing_unit == "frames" and any(x != int(x) for x in frame_spacing):
            raise ValueError(f"INPUT.FRAME_SPACING {frame_spacing}: frames are whole numbers")
        if not 0 < scale_range[0] <= scale_range[1] <= 1:
            raise ValueError(f"INPUT.SCALE_RANGE {scale_range}: expected 0 < min <= max <= 1")
        self.is_train = is_train
        self.crop_size = tuple(crop_size)
        self.frame_spacing = tuple(frame_spacing)
        self.frame_spacing_unit = frame_spacing_unit
        self.arbitrary_t = arbitrary_t
        self.scale_range = tuple(scale_range)
        self.flip_horizontal_prob = flip_horizontal_prob
        self.flip_vertical_prob = flip_vertical_prob
        self.transpose_prob = transpose_prob
        self.time_reversal_prob = time_reversal_prob
        self.high_resolution = high_resolution
        self._store = FrameStore()

    @classmethod
    def from_config(cls, cfg: CfgNode, is_train: bool = True) -> dict:
        return {
            "is_train": is_train,
            "crop_size": cfg.INPUT.CROP_SIZE,
            "frame_spacing": cfg.INPUT.FRAME_SPACING,
            "frame_spacing_unit": cfg.INPUT.FRAME_SPACING_UNIT,
            "arbitrary_t": cfg.INPUT.ARBITRARY_T,
            "scale_range": cfg.INPUT.SCALE_RANGE,
            "flip_horizontal_prob": cfg.INPUT.FLIP_HORIZONTAL_PROB,
            "flip_vertical_prob": cfg.INPUT.FLIP_VERTICAL_PROB,
            "transpose_prob": cfg.INPUT.TRANSPOSE_PROB,
            "time_reversal_prob": cfg.INPUT.TIME_REVERSAL_PROB,
            "high_resolution": cfg.INPUT.HIGH_RESOLUTION,
        }

    def __call__(self, record: dict, rng: np.random.Generator | None = None) -> dict:
        """Make one sample; all randomness of a training sample comes from `rng`.

        Raises:
            CorruptFrameError: a frame of the record cannot be read.
            ValueError: the record does not fit the settings (see `problem_with`), or a training
                sample is made without `rng`.
        """
        prepare_worker()
        if not self.is_train:
            return self._test_sample(record)
        if rng is None:
            raise ValueError("a training sample needs rng, the source of all its randomness")
        return self._train_sample(record, self.choose_crop(record, rng))

    def problem_with(self, record: dict) -> str | None:
        """Why training cannot use this record, as text; None if it can."""
        height, width = record["height"], record["width"]
        sizes = [self.crop_size] + ([self.crop_size[::-1]] if self.transpose_prob > 0 else [])
        for crop_height, crop_width in sizes:
            if height < crop_height or width < crop_width:
                return (
                    f"frames of {width}x{height} pixels are smaller than the crop of "
                    f"{crop_width}x{crop_height} (INPUT.CROP_SIZE)"
                )
        if self.frame_spacing_unit == "ms" and not record.get("fps"):
            return "INPUT.FRAME_SPACING_UNIT is 'ms', but the clip's frame rate is unknown"
        lowest = self._spacing_in_frames(record)[0]
        if len(record["frames"]) < 2 * lowest + 1:
            return (
                f"{len(record['frames'])} frames are too few for a spacing of {lowest} frames "
                f"(INPUT.FRAME_SPACING), which needs {2 * lowest + 1}"
            )
        return None

    def choose_window(self, record: dict, rng: np.random.Generator) -> Window:
        """Draw frame_1, frame_t and frame_2 from the clip (before time reversal)."""
        num_frames = len(record["frames"])
        lowest, highest = self._spacing_in_frames(record)
        highest = min(highest, (num_frames - 1) // 2)
        if self.frame_spacing_unit == "ms":
            spacing_ms = rng.uniform(self.frame_spacing[0], self.frame_spacing[1])
            spacing = int(np.clip(round(spacing_ms * record["fps"] / 1000), lowest, highest))
        else:
            spacing = int(rng.integers(lowest, highest + 1))
        length = 2 * spacing
        first = int(rng.integers(0, num_frames - length))
        offset = int(rng.integers(1, length)) if self.arbitrary_t else spacing
        return Window(first, first + offset, first + length, offset / length)

    def _spacing_in_frames(self, record: dict) -> tuple[int, int]:
        if self.frame_spacing_unit == "frames":
            return int(self.frame_spacing[0]), int(self.frame_spacing[1])
        lowest, highest = (
            max(1, round(spacing_ms * record["fps"] / 1000)) for spacing_ms in self.frame_spacing
        )
        return lowest, highest

    def choose_crop(self, record: dict, rng: np.random.Generator) -> Crop:
        """Draw a training sample. Raises ValueError where `problem_with` the record finds one."""
        problem = self.problem_with(record)
        if problem is not None:
            raise ValueError(f"{record['file_name']}: {problem}")
        window = self.choose_window(record, rng)
        scale = rng.uniform(self.scale_range[0], self.scale_range[1])
        place_y, place_x, reverse, *flips = rng.random(6)
        if reverse < self.time_reversal_prob:
            window = Window(window.last, window.middle, window.first, 1.0 - window.t)

        is_transposed = flips[2] < self.transpose_prob
        height, width = self.crop_size[::-1] if is_transposed else self.crop_size
        # The part of the frame that becomes the crop, at most as large as the frame.
        scale = max(scale, height / record["height"], width / record["width"])
        source_height = min(record["height"], round(height / scale))
        source_width = min(record["width"], round(width / scale))
        y0 = int(place_y * (record["height"] - source_height + 1))
        x0 = int(place_x * (record["width"] - source_width + 1))
        return Crop(
            window,
            (x0, y0, x0 + source_width, y0 + source_height),
            (height, width),
            transpose=bool(is_transposed),
            flip_horizontal=bool(flips[0] < self.flip_horizontal_prob),
            flip_vertical=bool(flips[1] < self.flip_vertical_prob),
        )

    def describe(self, record: dict, crop: Crop) -> dict:
        """A training sample's values other than frames."""
        first, middle, last, t = crop.window
        height, width = self.crop_size
        name = f"{record['file_name']}/{first}_{middle}_{last}"
        values = {"t": t, "file_name": name, "height": height, "width": width}
        if self.gives_high_resolution(record):
            values["hr_scale"] = record["hr_scale"]
        return values

    def gives_high_resolution(self, record: dict) -> bool:
        return self.high_resolution and "hr_frames" in record

    def _train_sample(self, record: dict, crop: Crop) -> dict:
        def load(ref, factor: int = 1) -> torch.Tensor:
            x0, y0, x1, y1 = (x * factor for x in crop.box)
            whole = (record["height"] * factor, record["width"] * factor)
            image = self._store.read(ref, (x0, y0, x1, y1), whole)
            height, width = (x * factor for x in crop.size)
            if image.shape[:2] != (height, width):
                image = _area_averaged(image, (width, height))
            # Views: only _to_tensor copies. (Each of Detectron2's transforms would copy.)
            image = image.swapaxes(0, 1) if crop.transpose else image
            image = image[:, ::-1] if crop.flip_horizontal else image
            image = image[::-1] if crop.flip_vertical else image
            return _to_tensor(image)

        first, middle, last, _ = crop.window
        frames = record["frames"]
        sample = {
            "frame_1": load(frames[first]),
            "frame_t": load(frames[middle]),
            "frame_2": load(frames[last]),
            **self.describe(record, crop),
        }
        if self.gives_high_resolution(record):
            sample["frame_t_hr"] = load(record["hr_frames"][middle], record["hr_scale"])
        return sample

    def _test_sample(self, record: dict) -> dict:
        if len(record["frames"]) != 3:
            raise ValueError(
                f"{record['file_name']} has {len(record['frames'])} frames; a test record is a "
                "triplet (build_interpolation_test_loader cuts longer clips into triplets)"
            )
        images = [self._store.read(ref) for ref in record["frames"]]
        size = (record["height"], record["width"])
        for ref, image in zip(record["frames"], images):
            if image.shape[:2] != size:
                reason = f"is {image.shape[:2]}, but {record['file_name']} is {size} (H, W)"
                raise CorruptFrameError(str(ref), reason)
        frames = map(_to_tensor, images)
        sample: dict[str, Any] = dict(zip(("frame_1", "frame_t", "frame_2"), frames))
        sample.update(t=0.5, file_name=record["file_name"], height=size[0], width=size[1])
        if "mask_file_name" in record:
            mask = read_mask(record["mask_file_name"])
            if mask.shape != size:
                reason = f"is {mask.shape}, but {record['file_name']} is {size} (H, W)"
                raise CorruptFrameError(record["mask_file_name"], reason)
            sample["mask"] = torch.from_numpy(mask)
        return sample


def _area_averaged(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """uint8 ``image`` resized to ``size`` (width, height); halves round up."""
    # OpenCV averages floats in two thirds of the time of bytes; this is most of a sample's time.
    averages = cv2.resize(image.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    return (averages + 0.5).astype(np.uint8)


def _to_tensor(image: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(image.transpose(2, 0, 1).copy(order="C"))
