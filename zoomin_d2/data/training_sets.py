"""cfg.DATASETS in, the names of the datasets to use out, with the reason in one sentence."""

import logging
from collections import Counter
from typing import NamedTuple

import numpy as np
from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.utils.logger import log_first_n

from zoomin_d2.data.datasets.builtin import datasets_root, register_all_interpolation
from zoomin_d2.data.datasets.records import MissingDatasetError

PAPER_MIX = ("ucf101_train", "cityscapes_sequence_train")
SAMPLE_CLIPS = "sample_clips_train"
RECORD_KEYS = {"file_name", "frames", "height", "width"}
# The test set that belongs to a training set, if it is not NAME_train -> NAME_val or _test.
_TEST_SETS = {"ucf101_train": "ucf101_interp_test"}


class ResolvedDatasets(NamedTuple):
    """Names for training and testing, and one sentence that states and explains the choice."""

    train: tuple[str, ...]
    test: tuple[str, ...]
    sentence: str


def resolve_datasets(
    cfg: CfgNode, eval_only: bool = False, announce: bool = True
) -> ResolvedDatasets:
    """Apply the rule of DATASETS.TRAIN and DATASETS.TEST.

    Explicit names are used as given and must be on disk. DATASETS.TRAIN = () means whatever part of
    the paper's mix (UCF101 and Cityscapes) is on disk, or the sample clips if none is.
    DATASETS.TEST = () means whichever test sets of the training sets are on disk, or the sample
    clips' if none is.

    Args:
        eval_only: nothing is trained: DATASETS.TRAIN only determines the test sets, and need not be
            on disk if DATASETS.TEST is given.
        announce: log the outcome (once); else the caller reports its sentence.

    Raises:
        MissingDatasetError: a named dataset is not on disk, or nothing is.
        ValueError: a name is not a dataset.
    """
    if eval_only and cfg.DATASETS.TEST:
        train: tuple[str, ...] = ()
        why_train = ""
    else:
        train, why_train = _resolve_train(tuple(cfg.DATASETS.TRAIN))
    test, why_test = _resolve_test(tuple(cfg.DATASETS.TEST), train)
    if eval_only:
        train, why_train = (), ""
    sentence = f"{why_train}Evaluating on {_join(test)} {why_test}."
    if announce:
        banner = "=" * 80
        log_first_n(
            logging.INFO, f"\n{banner}\n{sentence}\n{banner}", n=1, name=__name__, key="message"
        )
    return ResolvedDatasets(train, test, sentence)


def _resolve_train(names: tuple[str, ...]) -> tuple[tuple[str, ...], str]:
    if names:
        sizes = [_size(name) for name in names]
        return names, f"Training on {_join(names, sizes)}, named by DATASETS.TRAIN. "
    found, sizes, absent = [], [], []
    for name in PAPER_MIX:
        try:
            sizes.append(_size(name))
            found.append(name)
        except MissingDatasetError as error:
            absent.append(f"{name}: {error.problem.rstrip('.')}")
    missing = f"not found under {datasets_root()} ({'; '.join(absent)})"
    if not found:
        clips = f"{SAMPLE_CLIPS}: {_size(SAMPLE_CLIPS)}"
        return (SAMPLE_CLIPS,), (
            f"Training on the sample clips ({clips}): the paper's datasets were {missing}. "
        )
    why = f"part of the paper's mix; the rest was {missing}" if absent else "the paper's mix"
    return tuple(found), f"Training on {_join(found, sizes)}, {why}. "


def _resolve_test(names: tuple[str, ...], train: tuple[str, ...]) -> tuple[tuple[str, ...], str]:
    if names:
        for name in names:
            _size(name)
        return names, "(named by DATASETS.TEST)"
    candidates = [test for name in train for test in _test_candidates(name)]
    found = tuple(dict.fromkeys(name for name in candidates if _is_on_disk(name)))
    if found:
        return found, "(the test sets of the training sets)"
    fallback = "sample_clips_val"
    if fallback not in candidates and _is_on_disk(fallback):
        return (fallback,), "(no test set of the training sets was found)"
    return (), "(no test set was found; see datasets/README.md)"


def _test_candidates(train_name: str) -> list[str]:
    stem = train_name.removesuffix("_train")
    return [_TEST_SETS.get(train_name, f"{stem}_val"), f"{stem}_test"]


def _is_on_disk(name: str) -> bool:
    if not is_dataset(name):
        return False
    try:
        return bool(DatasetCatalog.get(name))
    except MissingDatasetError:
        return False


def is_dataset(name: str) -> bool:
    """Whether there is a dataset by that name; also finds folders prepared since the last call."""
    if name not in DatasetCatalog.list():
        register_all_interpolation()
    return name in DatasetCatalog.list()


def get_records(name: str) -> list[dict]:
    """The records of a dataset.

    Raises:
        MissingDatasetError: it is not on disk; the message says which files are expected and how to
            get them.
        ValueError: there is no dataset by that name (the message lists the names), it is empty, or
            a record lacks a key or holds a value that cannot be used.
    """
    if not is_dataset(name):
        ours = [n for n in DatasetCatalog.list() if _is_ours(n)]
        raise ValueError(
            f"Unknown dataset {name!r} (looked under {datasets_root()}). Known: {', '.join(ours)}. "
            "To make videos_NAME from a folder of videos: "
            "python datasets/prepare_videos.py FOLDER --name NAME"
        )
    records = list(DatasetCatalog.get(name) or ())
    if not records:
        raise ValueError(
            f"there are no records in the dataset '{name}': its function in DatasetCatalog found "
            "nothing; look at the folder that it reads"
        )
    for k, record in enumerate(records):
        if not (isinstance(record, dict) and record.keys() >= RECORD_KEYS):
            found = sorted(record) if isinstance(record, dict) else type(record).__name__
            raise ValueError(
                f"record {k} of '{name}' is {found}: it must be a dict with {sorted(RECORD_KEYS)} "
                "(see zoomin_d2/data/dataset_mapper.py)"
            )
        if problem := _problem_with(record):
            raise ValueError(f"record {k} of '{name}' ({record['file_name']}): {problem}")
    return records


def _problem_with(record: dict) -> str | None:
    """What of a record is no value that `InterpolationDatasetMapper` could use."""
    frames, partners = record["frames"], record.get("hr_frames")
    if not all(isinstance(record[key], int | np.integer) for key in ("height", "width")):
        return f"height {record['height']!r} and width {record['width']!r} must be whole numbers"
    if not all(isinstance(ref, str | tuple) for ref in [*frames, *(partners or [])]):
        return "frames must be file names, or (file, number) of a packed shot (frame_store.py)"
    if partners is None:
        return None
    if len(partners) != len(frames):
        return f"{len(partners)} hr_frames for {len(frames)} frames"
    scale = record.get("hr_scale")
    if not isinstance(scale, int | np.integer) or scale < 2:
        return (
            f"hr_scale {scale!r} must be a whole number, 2 or more: hr_frames are that much larger"
        )
    return None


def _size(name: str) -> str:
    """The size of a dataset as text; raises like `get_records`."""
    records = get_records(name)
    return f"{len(records)} clips, {sum(len(record['frames']) for record in records)} frames"


def _is_ours(name: str) -> bool:
    return MetadataCatalog.get(name).get("evaluator_type") == "interpolation"


def _join(names, sizes=()) -> str:
    described = [f"{name} ({size})" for name, size in zip(names, sizes)] or names
    times = Counter(described)  # a set may be named several times, to weigh it more
    return " + ".join(f"{n} x {one}" if n > 1 else one for one, n in times.items()) or "nothing"
