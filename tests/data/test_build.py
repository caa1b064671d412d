import itertools
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from detectron2.utils import comm

from zoomin_d2 import get_zoomin_cfg
from zoomin_d2.data import (
    CorruptFrameError,
    build_interpolation_test_loader,
    build_interpolation_train_loader,
    stream_seed,
)
from zoomin_d2.data.batching import stack_samples
from zoomin_d2.data.build import MAX_SKIPPED_IN_A_ROW, cut_triplets
from zoomin_d2.data.datasets.records import clip_record
from zoomin_d2.data.stream_order import StreamOrder, positions
from zoomin_d2.data.training_sets import get_records
from zoomin_d2.modeling.batch import Batch

BATCH = 4


@pytest.fixture
def cfg():
    cfg = get_zoomin_cfg()
    cfg.SEED = 7
    cfg.DATASETS.TRAIN = ("stream_clips",)
    cfg.SOLVER.IMS_PER_BATCH = BATCH
    cfg.DATALOADER.NUM_WORKERS = 0
    cfg.INPUT.CROP_SIZE = [16, 16]
    cfg.INPUT.FRAME_SPACING = [1, 2]
    cfg.INPUT.ARBITRARY_T = True
    cfg.INPUT.SCALE_RANGE = [0.6, 1.0]
    return cfg


@pytest.fixture
def clips(make_hr_clip, make_clip, register):
    """Three clips of different lengths; one has high-resolution partners."""
    image = np.random.default_rng(0).integers(0, 256, (96, 120, 3), np.uint8)
    records = [make_clip(9, name="a"), make_hr_clip(image, 2, 6), make_clip(5, name="b")]
    register("stream_clips", records)
    return records


def take(loader, num_batches: int) -> list[list[dict]]:
    return list(itertools.islice(iter(loader), num_batches))


def same(one: dict, two: dict) -> bool:
    return one.keys() == two.keys() and all(
        torch.equal(value, two[key]) if torch.is_tensor(value) else value == two[key]
        for key, value in one.items()
    )


def assert_same_samples(one: list[dict], two: list[dict]) -> None:
    assert [sample["file_name"] for sample in one] == [sample["file_name"] for sample in two]
    assert all(same(a, b) for a, b in zip(one, two))


def flat(batches: list[list[dict]]) -> list[dict]:
    return [sample for batch in batches for sample in batch]


# --- the stream ------------------------------------------------------------------------------


def test_samples_are_as_promised(cfg, clips):
    batches = take(build_interpolation_train_loader(cfg), 3)
    assert [len(batch) for batch in batches] == [BATCH] * 3
    for sample in flat(batches):
        assert sample["frame_1"].shape == (3, 16, 16)
        assert sample["num_skipped"] == 0
        assert ("frame_t_hr" in sample) == sample["file_name"].startswith("hr/")
    assert any("frame_t_hr" in sample for sample in flat(batches))


@pytest.mark.parametrize("num_workers", [0, 2])
def test_resumed_stream_is_the_unbroken_one(cfg, clips, num_workers):
    unbroken = take(build_interpolation_train_loader(cfg), 6)
    cfg.DATALOADER.NUM_WORKERS = num_workers
    assert_same_samples(flat(take(build_interpolation_train_loader(cfg), 6)), flat(unbroken))
    resumed = take(build_interpolation_train_loader(cfg, start_position=3 * BATCH), 3)
    assert_same_samples(flat(resumed), flat(unbroken[3:]))


def test_two_processes_see_ones_batches(cfg, clips, monkeypatch):
    alone = take(build_interpolation_train_loader(cfg, start_position=BATCH), 4)
    monkeypatch.setattr(comm, "get_world_size", lambda: 2)
    monkeypatch.setattr("detectron2.data.build.get_world_size", lambda: 2)
    halves = []
    for rank in range(2):
        monkeypatch.setattr(comm, "get_rank", lambda rank=rank: rank)
        halves.append(take(build_interpolation_train_loader(cfg, start_position=BATCH), 4))
    for whole, first, second in zip(alone, *halves):
        assert len(first) == len(second) == BATCH // 2
        together = [sample for pair in zip(first, second) for sample in pair]
        assert_same_samples(together, whole)


def test_seed_changes_the_stream(cfg, clips):
    one = flat(take(build_interpolation_train_loader(cfg), 4))
    cfg.SEED = 8
    two = flat(take(build_interpolation_train_loader(cfg), 4))
    assert [s["file_name"] for s in one] != [s["file_name"] for s in two]
    again = flat(take(build_interpolation_train_loader(cfg, seed=7), 4))
    assert_same_samples(one, again)


def test_negative_seed_is_drawn_and_logged(cfg, log):
    cfg.SEED = -1
    seed = stream_seed(cfg)
    assert seed >= 0
    assert str(seed) in log.text


# --- its order -------------------------------------------------------------------------------


def test_epoch_repeats_records_by_weight():
    order = StreamOrder([3, 1, 2], seed=5)
    assert order.epoch_size == 6
    epochs = [[order[i + k] for i in range(6)] for k in (0, 6, 12)]
    assert [sorted(epoch) for epoch in epochs] == [[0, 0, 0, 1, 2, 2]] * 3
    assert len({tuple(epoch) for epoch in epochs}) > 1  # shuffled anew


def test_order_depends_on_nothing_before():
    order = StreamOrder([3, 1, 2], seed=5)
    whole = [order[i] for i in range(20)]
    for i in (13, 1, 19, 6):
        assert order[i] == whole[i] == StreamOrder([3, 1, 2], seed=5)[i]


@pytest.mark.parametrize("weights", [[], [1, 0]])
def test_order_wants_positive_weights(weights):
    with pytest.raises(ValueError, match="positive weight"):
        StreamOrder(weights, seed=0)


def test_positions_of_workers_and_processes():
    def first(process, worker):
        return list(itertools.islice(positions(100, 3, process, worker), 6))

    # Process 0 has 100, 102, ...: batches of three, which its workers make in turn.
    assert first((0, 2), (0, 1)) == [100, 102, 104, 106, 108, 110]
    assert first((0, 2), (0, 2)) == [100, 102, 104, 112, 114, 116]
    assert first((0, 2), (1, 2)) == [106, 108, 110, 118, 120, 122]
    assert first((1, 2), (1, 2)) == [107, 109, 111, 119, 121, 123]


def test_workers_draw_only_their_positions(cfg, clips, monkeypatch):
    drawn = []
    order = StreamOrder.__getitem__
    monkeypatch.setattr(
        StreamOrder, "__getitem__", lambda self, position: drawn.append(1) or order(self, position)
    )
    stream = build_interpolation_train_loader(cfg).loader.loader.dataset
    info = SimpleNamespace(id=3, num_workers=16)
    monkeypatch.setattr("torch.utils.data.get_worker_info", lambda: info)
    list(itertools.islice(stream, 2 * BATCH))
    assert len(drawn) == 2 * BATCH


def test_a_clip_weighs_its_triplets(cfg, clips):
    # 9, 6 and 5 frames hold 7, 4 and 3 triplets
    samples = flat(take(build_interpolation_train_loader(cfg), 4))
    names = [sample["file_name"].split("/")[0] for sample in samples]
    assert sorted(names[:14]) == ["a"] * 7 + ["b"] * 3 + ["hr"] * 4


# --- damage ----------------------------------------------------------------------------------


def test_corrupt_frames_are_skipped(cfg, clips, log):
    bad = clips[0]["frames"][0][0]
    with open(bad, "r+b") as file:
        file.truncate(1000)
    samples = flat(take(build_interpolation_train_loader(cfg), 7))
    # in an epoch of 14 samples, 7 are of the damaged clip and replaced; so in two
    assert sum(sample["num_skipped"] > 0 for sample in samples) == 14
    assert all(not sample["file_name"].startswith("a/") for sample in samples)
    warnings = [r for r in log.records if bad in r.getMessage()]
    assert len(warnings) == 1
    # and the replacement is a function of the position, too
    cfg.DATALOADER.NUM_WORKERS = 2
    resumed = flat(take(build_interpolation_train_loader(cfg, start_position=2 * BATCH), 3))
    assert_same_samples(resumed, samples[2 * BATCH : 5 * BATCH])


@pytest.mark.parametrize("num_workers", [0, 1])
@pytest.mark.parametrize("on_device", [False, True])
def test_nothing_but_damage_is_an_error(cfg, make_clip, register, num_workers, on_device):
    cfg.MODEL.DEVICE = "cpu"
    cfg.DATALOADER.NUM_WORKERS, cfg.DATALOADER.FRAMES_ON_DEVICE = num_workers, on_device
    record = make_clip(5)
    register("stream_clips", [record])
    with open(record["frames"][0][0], "r+b") as file:
        file.truncate(100)
    with pytest.raises(CorruptFrameError, match=f"{MAX_SKIPPED_IN_A_ROW} records in a row"):
        take(build_interpolation_train_loader(cfg), 1)


def test_unfit_clips_are_listed(cfg, make_clip, register):
    register("stream_clips", [make_clip(5, height=12, name=f"small{i}") for i in range(12)])
    with pytest.raises(ValueError, match="12 of 12 training clips") as error:
        build_interpolation_train_loader(cfg)
    assert "small0: frames of 48x12 pixels are smaller than the crop" in str(error.value)
    assert "and 2 more" in str(error.value)


# --- test sets -------------------------------------------------------------------------------


def test_loader_gives_triplets_in_order(cfg, make_clip, register):
    records = [make_clip(3, name="one"), make_clip(8, name="two")]
    loader = build_interpolation_test_loader(cfg, register("test_clips", records))
    batches = list(loader)
    assert [len(batch) for batch in batches] == [1, 1, 1]
    samples = flat(batches)
    # two parts of four frames: 0..3 and 4..7
    assert [sample["file_name"] for sample in samples] == ["one", "two/1", "two/5"]
    middles = [int(sample["frame_t"][0, 0, 0]) for sample in samples]
    assert middles == [1, 2, 6]
    assert all(sample["frame_t"].shape == (3, 40, 48) and sample["t"] == 0.5 for sample in samples)


@pytest.mark.parametrize("num_workers", [0, 1])
def test_corrupt_test_frame_is_an_error(cfg, make_clip, register, num_workers):
    cfg.DATALOADER.NUM_WORKERS = num_workers
    record = make_clip(3)
    with open(record["frames"][0][0], "r+b") as file:
        file.truncate(100)
    loader = build_interpolation_test_loader(cfg, register("test_clips", [record]))
    with pytest.raises(CorruptFrameError, match=r"clip\.npy"):
        list(loader)


def test_an_empty_dataset_is_named(cfg, register):
    with pytest.raises(ValueError, match="no records in the dataset 'test_clips'"):
        build_interpolation_test_loader(cfg, register("test_clips", []))
    register("stream_clips", None)
    with pytest.raises(ValueError, match="no records in the dataset 'stream_clips'"):
        build_interpolation_train_loader(cfg)


@pytest.mark.parametrize("record", [{"file_name": "a", "frames": [], "height": 4}, "a.png", None])
def test_records_without_a_key_are_named(register, record):
    with pytest.raises(ValueError, match=r"record 0 of 'test_clips' .* 'frames', 'height'"):
        get_records(register("test_clips", [record]))


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"frames": [Path("0.png")] * 3}, "frames must be file names"),
        ({"height": "64"}, "height '64' and width 64 must be whole numbers"),
        ({"hr_frames": ["0.png"] * 2, "hr_scale": 4}, "2 hr_frames for 3 frames"),
        ({"hr_frames": ["0.png"] * 3}, "hr_scale None must be a whole number"),
        ({"hr_frames": ["0.png"] * 3, "hr_scale": 1.0}, "hr_scale 1.0 must be a whole number"),
    ],
)
def test_records_with_wrong_values(register, values, words):
    record = {"file_name": "a", "frames": ["0.png"] * 3, "height": 64, "width": 64, **values}
    with pytest.raises(ValueError, match=rf"record 0 of 'test_clips' \(a\): {words}"):
        get_records(register("test_clips", [record]))


def test_names_that_occur_twice(cfg, make_clip, register):
    records = [make_clip(3, name="b"), make_clip(3), make_clip(3)]
    with pytest.raises(ValueError, match="2 records of test_clips have the file_name 'clip'"):
        build_interpolation_test_loader(cfg, register("test_clips", records))


def test_frames_may_be_paths(tmp_path):
    assert clip_record("a", [tmp_path / "0.png", ("b.npy", 0)], (4, 4))["frames"] == [
        str(tmp_path / "0.png"),
        ("b.npy", 0),
    ]


def test_records_too_short_are_counted(cfg, make_clip, register):
    records = [make_clip(n, name=f"clip{n}") for n in (5, 2, 3, 1)]
    with pytest.raises(ValueError, match=r"2 of 4 records of test_clips .* clip2 with 2$"):
        build_interpolation_test_loader(cfg, register("test_clips", records))


@pytest.mark.parametrize("num_frames", range(4, 40))
def test_cut_triplets_do_not_overlap(make_clip, num_frames):
    record = {
        "file_name": "clip",
        "frames": [("shot.npy", i) for i in range(num_frames)],
        "hr_frames": [("hr.npy", i) for i in range(num_frames)],
    }
    triplets = cut_triplets(record)
    assert len(triplets) == min(4, num_frames // 3)
    used = [index for triplet in triplets for _, index in triplet["frames"]]
    assert len(set(used)) == 3 * len(triplets) and used == sorted(used)
    for triplet in triplets:
        first, middle, last = (index for _, index in triplet["frames"])
        assert (middle, last) == (first + 1, first + 2) and last < num_frames
        assert [index for _, index in triplet["hr_frames"]] == [first, middle, last]
    assert len({triplet["file_name"] for triplet in triplets}) == len(triplets)


# --- stacking batches ------------------------------------------------------------------------


def test_stacked_batches_come_back_equal():
    samples = [
        {"frame": torch.full((3, 4, 4), i, dtype=torch.uint8), "t": 0.1 * i, "file_name": str(i)}
        for i in range(5)
    ]
    samples[1]["frame_t_hr"] = torch.ones(3, 8, 8, dtype=torch.uint8)
    samples[3]["frame_t_hr"] = torch.ones(3, 16, 16, dtype=torch.uint8)  # another scale
    samples[4]["frame_t_hr"] = torch.zeros(3, 8, 8, dtype=torch.uint8)
    stacked = stack_samples(samples)
    assert sorted(stack.shape[0] for _, _, stack in stacked[1]) == [1, 2, 5]
    unstacked = Batch(*stacked)
    assert all(same(one, two) for one, two in zip(samples, unstacked))
    assert len(unstacked) == 5
