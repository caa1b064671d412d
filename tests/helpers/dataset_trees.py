"""Helpers of the tests that make a tiny tree of a dataset, and the folder for such trees."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog

from zoomin_d2 import get_zoomin_cfg
from zoomin_d2.data import InterpolationDatasetMapper, register_all_interpolation


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


@pytest.fixture
def datasets_at(monkeypatch, tmp_path):
    """Make an empty DETECTRON2_DATASETS, and register everything anew for it; returns its path.

    The names are given back to the true root afterwards."""
    root = tmp_path / "datasets"
    root.mkdir()

    def forget():
        for name in DatasetCatalog.list():
            if MetadataCatalog.get(name).get("evaluator_type") == "interpolation":
                DatasetCatalog.remove(name)
                MetadataCatalog.remove(name)

    forget()
    with monkeypatch.context() as context:
        context.setenv("DETECTRON2_DATASETS", str(root))
        register_all_interpolation()
        yield root
        forget()
    register_all_interpolation()
