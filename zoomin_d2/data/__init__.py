"""Datasets, the mapper, and the data loaders; importing this registers every dataset."""

from .build import (
    build_interpolation_test_loader,
    build_interpolation_train_loader,
    stream_seed,
)
from .dataset_mapper import InterpolationDatasetMapper
from .datasets.builtin import datasets_root, register_all_interpolation
from .datasets.detection import register_all_detection
from .datasets.layout import MissingDatasetError
from .frame_store import FrameStore
from .resolve import ResolvedDatasets, resolve_datasets
from .video_file import CorruptFrameError

__all__ = [
    "CorruptFrameError",
    "FrameStore",
    "InterpolationDatasetMapper",
    "MissingDatasetError",
    "ResolvedDatasets",
    "build_interpolation_test_loader",
    "build_interpolation_train_loader",
    "register_all_detection",
    "register_all_interpolation",
    "resolve_datasets",
    "stream_seed",
]

register_all_interpolation()
register_all_detection(datasets_root())
