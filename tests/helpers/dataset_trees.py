"""Helpers of the tests that make a tiny tree of a dataset."""

from pathlib import Path

import cv2
import numpy as np

from zoomin_d2 import get_zoomin_cfg
from zoomin_d2.data import InterpolationDatasetMapper


def write_image(path: Path, value: int = 0, height: int = 8, width: int = 12) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), np.full((height, width, 3), value, np.uint8))


def values_of(record: dict) -> list[int]:
    """The grey value of the three frames, read through the mapper."""
    sample = InterpolationDatasetMapper(get_zoomin_cfg(), is_train=False)(record)
    return [int(sample[key][0, 0, 0]) for key in ("frame_1", "frame_t", "frame_2")]


def assert_explains(error, *words) -> None:
    for word in ("Looked in:", "Expected there:", "To get it:", "DETECTRON2_DATASETS", *words):
        assert word in str(error.value)
