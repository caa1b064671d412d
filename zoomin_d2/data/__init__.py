"""Datasets, the mapper, and the data loaders; importing this registers their names."""

from zoomin_d2.data.build import (
    build_interpolation_test_loader,
    build_interpolation_train_loader,
    stream_seed,
)
from zoomin_d2.data.dataset_mapper import InterpolationDatasetMapper
from zoomin_d2.data.datasets.builtin import (
    datasets_root,
    register_all_interpolation,
    register_predefined,
)
from zoomin_d2.data.datasets.detection import register_all_detection
from zoomin_d2.data.datasets.records import MissingDatasetError
from zoomin_d2.data.frame_store import FrameStore
from zoomin_d2.data.training_sets import ResolvedDatasets, is_dataset, resolve_datasets
from zoomin_d2.frames import CorruptFrameError

__all__ = [
    "CorruptFrameError",
    "FrameStore",
    "InterpolationDatasetMapper",
    "MissingDatasetError",
    "ResolvedDatasets",
    "build_interpolation_test_loader",
    "build_interpolation_train_loader",
    "is_dataset",
    "register_all_detection",
    "register_all_interpolation",
    "resolve_datasets",
    "stream_seed",
]

register_predefined()
register_all_detection(datasets_root())
