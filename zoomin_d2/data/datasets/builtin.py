"""Every dataset by name: registered in DatasetCatalog and MetadataCatalog.

The root is the environment variable DETECTRON2_DATASETS, or ./datasets. Importing the package
registers the predefined names without reading the disk. The folders in videos/ and triplets/ are
looked up when a dataset is requested; DatasetCatalog.get(name) reads a dataset's contents.
"""

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

from detectron2.data import DatasetCatalog, MetadataCatalog

from zoomin_d2.data.datasets.cityscapes import load_cityscapes
from zoomin_d2.data.datasets.middlebury import load_middlebury_other
from zoomin_d2.data.datasets.prepared_clips import load_prepared_clips
from zoomin_d2.data.datasets.sample_clips import load_sample_clips
from zoomin_d2.data.datasets.snu_film import load_snu_film
from zoomin_d2.data.datasets.triplet_folders import load_triplet_folders
from zoomin_d2.data.datasets.ucf101 import load_ucf101
from zoomin_d2.data.datasets.ucf101_interp import load_ucf101_interp
from zoomin_d2.data.datasets.vimeo90k import load_vimeo90k
from zoomin_d2.data.packing import INDEX_NAME

SAMPLE_CLIPS_FOLDER = "videos/sample_clips"

# name -> (loader, folder under the root, the loader's other arguments)
_PREDEFINED_SPLITS: dict[str, tuple[Callable[..., list[dict]], str, tuple]] = {
    "sample_clips_train": (load_sample_clips, SAMPLE_CLIPS_FOLDER, ("train",)),
    "sample_clips_val": (load_sample_clips, SAMPLE_CLIPS_FOLDER, ("val",)),
    "ucf101_train": (load_ucf101, "ucf101", ("train",)),
    "ucf101_interp_test": (load_ucf101_interp, "ucf101_interp", ()),
    "cityscapes_sequence_train": (load_cityscapes, "cityscapes", ("train",)),
    "cityscapes_sequence_val": (load_cityscapes, "cityscapes", ("val",)),
    "cityscapes_sequence_val_full": (
        partial(load_cityscapes, full_size=True),
        "cityscapes",
        ("val",),
    ),
    "vimeo90k_triplet_train": (load_vimeo90k, "vimeo_triplet", ("triplet", "train")),
    "vimeo90k_triplet_test": (load_vimeo90k, "vimeo_triplet", ("triplet", "test")),
    "vimeo90k_septuplet_train": (load_vimeo90k, "vimeo_septuplet", ("septuplet", "train")),
    "vimeo90k_septuplet_test": (load_vimeo90k, "vimeo_septuplet", ("septuplet", "test")),
    "middlebury_other": (load_middlebury_other, "middlebury_other", ()),
    "snu_film_easy": (load_snu_film, "snu_film", ("easy",)),
    "snu_film_medium": (load_snu_film, "snu_film", ("medium",)),
    "snu_film_hard": (load_snu_film, "snu_film", ("hard",)),
    "snu_film_extreme": (load_snu_film, "snu_film", ("extreme",)),
}


def datasets_root() -> str:
    """The folder that holds all datasets."""
    return os.path.expanduser(os.getenv("DETECTRON2_DATASETS", "datasets"))


def register_predefined(root: str | None = None) -> None:
    """Register the names in _PREDEFINED_SPLITS; names already registered stay unchanged."""
    root = datasets_root() if root is None else root
    for name, (load, folder, arguments) in _PREDEFINED_SPLITS.items():
        _register(name, partial(load, os.path.join(root, folder), *arguments))


def register_all_interpolation(root: str | None = None) -> None:
    """Register all datasets, including those prepared under the root, like `register_predefined`.

    May be called again to find folders that were prepared since the last call.
    """
    root = datasets_root() if root is None else root
    register_predefined(root)
    for index in sorted(Path(root).glob(f"videos/*/{INDEX_NAME}")):
        if index.parent != Path(root, SAMPLE_CLIPS_FOLDER):
            name = f"videos_{index.parent.name}"
            command = f"python datasets/prepare_videos.py FOLDER --name {index.parent.name}"
            _register(name, partial(load_prepared_clips, index.parent, name, command))
    for triplets in sorted(Path(root).glob("triplets/*/")):
        name = f"triplets_{triplets.name}"
        _register(name, partial(load_triplet_folders, triplets, name))


def _register(name: str, load: Callable[[], list[dict]]) -> None:
    if name not in DatasetCatalog.list():
        DatasetCatalog.register(name, load)
        MetadataCatalog.get(name).set(evaluator_type="interpolation")
