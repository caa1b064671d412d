"""UCF101 and Cityscapes on tiny trees: preparing, reading, the errors when a part is missing."""

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.helpers.dataset_trees import assert_explains, values_of, write_image
from tests.helpers.locks import locked_by_another
from zoomin_d2 import get_zoomin_cfg
from zoomin_d2.data import InterpolationDatasetMapper, MissingDatasetError
from zoomin_d2.data.datasets import cityscapes, ucf101, ucf101_interp
from zoomin_d2.data.packing import box_average

# --- UCF101 ----------------------------------------------------------------------------------


@pytest.fixture
def ucf101_root(tmp_path, write_video, moving_frames):
    root = tmp_path / "ucf101"
    clips = ["Archery/v_Archery_g01_c01.avi", "Biking/v_Biking_g01_c02.avi"]
    for i, clip in enumerate(clips):
        frames = moving_frames(20, height=48, width=64, seed=i)
        write_video(root / "UCF-101" / clip, frames, codec="mpeg4")
    unlisted = root / "UCF-101" / "Biking/v_Biking_g01_c01.avi"
    write_video(unlisted, moving_frames(9), codec="mpeg4")
    bad = root / "UCF-101" / "Archery/v_Archery_g01_c02.avi"
    bad.write_text("no video")
    lists = root / "ucfTrainTestlist"
    lists.mkdir()
    lines = [f"{clips[1]} 2", f"{clips[0]} 1", "Archery/v_Archery_g01_c02.avi 1"]
    (lists / "trainlist01.txt").write_text("\r\n".join(lines) + "\r\n")  # as published
    return root


def test_ucf101(ucf101_root):
    index = ucf101.prepare_ucf101(ucf101_root, short_side=64, show_progress=False)
    assert index["counts"] == {
        "videos": 3,
        "corrupt_videos": 1,
        "triplets": 8,
        "clips_without_triplet": 0,
        "shots": 2,
    }
    records = ucf101.load_ucf101(ucf101_root, "train")
    assert len(records) == 8  # four of each clip; the clip that is in no list is left out
    assert {record["file_name"].split("/")[1] for record in records} == {
        "v_Archery_g01_c01",
        "v_Biking_g01_c02",
    }
    assert all(len(record["frames"]) == 3 for record in records)
    assert all((r["height"], r["width"]) == (64, 85) for r in records)  # 48x64 enlarged
    assert all(record["fps"] == pytest.approx(25) for record in records)


def test_ucf101_runs_one_at_a_time(ucf101_root):
    refused = pytest.raises(OSError, match="Another run is preparing")
    with locked_by_another(ucf101_root / "triplets_train"), refused:
        ucf101.prepare_ucf101(ucf101_root, short_side=64, show_progress=False)


def test_ucf101_triplets_by_name_and_seed():
    shots = [[(0, 30)], [(30, 32), (40, 50)]]
    chosen = ucf101.choose_triplets(shots, "v_Archery_g01_c01", seed=0)
    assert chosen == ucf101.choose_triplets(shots, "v_Archery_g01_c01", seed=0)
    assert chosen != ucf101.choose_triplets(shots, "v_Archery_g01_c01", seed=1)
    assert chosen != ucf101.choose_triplets(shots, "v_Archery_g01_c02", seed=0)
    assert len(set(chosen)) == 4
    for seed in range(20):
        for first in ucf101.choose_triplets(shots, "x", seed):
            assert first <= 27 or 40 <= first <= 47  # inside a run, never across
    assert ucf101.choose_triplets([[(5, 9)]], "x", 0) == [5, 6]
    assert ucf101.choose_triplets([], "x", 0) == []


def test_ucf101_incomplete(ucf101_root):
    with pytest.raises(MissingDatasetError) as error:
        ucf101.load_ucf101(ucf101_root, "train")
    assert_explains(error, "triplets_train", "index.json", "python datasets/prepare_ucf101.py")
    (ucf101_root / "UCF-101/Biking/v_Biking_g01_c02.avi").unlink()
    with pytest.raises(MissingDatasetError) as error:
        ucf101.prepare_ucf101(ucf101_root)
    assert_explains(error, "1 of 3 clips", "UCF-101/Biking/v_Biking_g01_c02.avi", "crcv.ucf.edu")
    (ucf101_root / "ucfTrainTestlist/trainlist01.txt").unlink()
    with pytest.raises(MissingDatasetError) as error:
        ucf101.prepare_ucf101(ucf101_root)
    assert_explains(error, "trainlist01.txt is missing")


@pytest.fixture
def ucf101_interp_root(tmp_path, monkeypatch):
    monkeypatch.setattr(ucf101_interp, "NUM_TRIPLETS", 3)
    for number in (1, 11, 2):
        folder = tmp_path / "ucf101_interp_ours" / str(number)
        for value, name in enumerate(["frame_00", "frame_01_gt", "frame_02", "frame_01_ours"]):
            write_image(folder / f"{name}.png", 10 * number + value)
        mask = np.zeros((8, 12), np.uint8)
        mask[:, :5] = 255
        path = tmp_path / "motion_masks_ucf101_interp" / str(number) / "motion_mask.png"
        path.parent.mkdir(parents=True)
        cv2.imwrite(str(path), mask)
    return tmp_path


def test_ucf101_interp(ucf101_interp_root):
    records = ucf101_interp.load_ucf101_interp(ucf101_interp_root)
    assert [r["file_name"] for r in records] == [f"ucf101_interp_test/{n}" for n in (1, 2, 11)]
    assert values_of(records[1]) == [20, 21, 22]
    sample = InterpolationDatasetMapper(get_zoomin_cfg(), is_train=False)(records[0])
    assert sample["mask"].sum() == 8 * 5 and sample["mask"][:, :5].all()


@pytest.mark.parametrize(
    "gone",
    ["ucf101_interp_ours/2/frame_01_gt.png", "motion_masks_ucf101_interp/11/motion_mask.png"],
)
def test_ucf101_interp_incomplete(ucf101_interp_root, gone):
    (ucf101_interp_root / gone).unlink()
    with pytest.raises(MissingDatasetError) as error:
        ucf101_interp.load_ucf101_interp(ucf101_interp_root)
    assert_explains(error, f"{gone} is missing", "voxel-flow")


def test_ucf101_interp_has_379_triplets(ucf101_interp_root, monkeypatch, tmp_path):
    monkeypatch.setattr(ucf101_interp, "NUM_TRIPLETS", 379)
    with pytest.raises(MissingDatasetError, match="3 folders in ucf101_interp_ours, expected 379"):
        ucf101_interp.load_ucf101_interp(ucf101_interp_root)
    with pytest.raises(MissingDatasetError, match="no folder ucf101_interp_ours"):
        ucf101_interp.load_ucf101_interp(tmp_path / "absent")


# --- Cityscapes ------------------------------------------------------------------------------


@pytest.fixture
def cityscapes_root(tmp_path):
    root = tmp_path / "cityscapes"

    def write(split, city, sequence, first, count, seed):
        rng = np.random.default_rng(seed)
        for frame in range(first, first + count):
            name = f"{city}_{sequence:06d}_{frame:06d}_leftImg8bit.png"
            path = root / "leftImg8bit_sequence" / split / city / name
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), rng.integers(0, 256, (16, 32, 3), np.uint8))

    write("train", "aachen", 0, 0, 30, seed=1)
    write("train", "aachen", 1, 0, 5, seed=2)
    # hamburg numbers its snippets by frame within one sequence
    write("train", "hamburg", 0, 100, 4, seed=3)
    write("train", "hamburg", 0, 700, 3, seed=4)
    write("val", "munster", 0, 0, 30, seed=5)
    return root


def test_cityscapes(cityscapes_root):
    index = cityscapes.prepare_cityscapes(cityscapes_root, "train", show_progress=False)
    assert index["counts"]["shots"] == 4 and index["counts"]["frames"] == 42
    records = cityscapes.load_cityscapes(cityscapes_root, "train")
    assert [(r["file_name"].split("/")[1:3], len(r["frames"])) for r in records] == [
        (["aachen", "aachen_000000_000000"], 30),
        (["aachen", "aachen_000001_000000"], 5),
        (["hamburg", "hamburg_000000_000100"], 4),
        (["hamburg", "hamburg_000000_000700"], 3),
    ]
    record = records[2]
    assert (record["height"], record["width"], record["hr_scale"], record["fps"]) == (4, 8, 4, 17)
    settings = {"is_train": True, "crop_size": (4, 8), "frame_spacing": (1, 1)}
    sample = InterpolationDatasetMapper(**settings)(records[3], np.random.default_rng(0))
    high = np.ascontiguousarray(sample["frame_t_hr"].permute(1, 2, 0).numpy())
    assert high.shape == (16, 32, 3)
    assert np.array_equal(box_average(high, 4), sample["frame_t"].permute(1, 2, 0).numpy())
    folder = cityscapes_root / "leftImg8bit_sequence/train/hamburg"
    middle = cv2.imread(str(folder / "hamburg_000000_000701_leftImg8bit.png"))
    assert np.array_equal(high, middle[..., ::-1])


def test_cityscapes_runs_one_at_a_time(cityscapes_root):
    refused = pytest.raises(OSError, match="Another run is preparing")
    with locked_by_another(cityscapes_root / cityscapes.PREPARED / "train"), refused:
        cityscapes.prepare_cityscapes(cityscapes_root, "train", show_progress=False)


def test_cityscapes_val_is_annotated_frame(cityscapes_root):
    cityscapes.prepare_cityscapes(cityscapes_root, "val", show_progress=False)
    (record,) = cityscapes.load_cityscapes(cityscapes_root, "val")
    # the name that gtFine gives the frame, which is the truth
    assert record["file_name"] == "cityscapes_sequence_val/munster/munster_000000_000019"
    assert [index for _, index in record["frames"]] == [18, 19, 20]
    assert [Path(ref).name.split("_")[2] for ref in record["hr_frames"]] == [
        "000018",
        "000019",
        "000020",
    ]


def _val_without(root: Path, *numbers: int) -> list[list[int]]:
    """The numbers of the frames in the triplets of val when these frames are missing."""
    for number in numbers:
        name = f"munster_000000_{number:06d}_leftImg8bit.png"
        (root / "leftImg8bit_sequence/val/munster" / name).unlink()
    cityscapes.prepare_cityscapes(root, "val", show_progress=False)
    records = cityscapes.load_cityscapes(root, "val")
    return [[int(Path(ref).name.split("_")[2]) for ref in r["hr_frames"]] for r in records]


@pytest.mark.parametrize("missing", [(0,), (5, 6), (29,), (0, 12, 25)])
def test_cityscapes_frames_go_by_number(cityscapes_root, missing):
    assert _val_without(cityscapes_root, *missing) == [[18, 19, 20]]


def test_cityscapes_val_at_full_size(cityscapes_root):
    cityscapes.prepare_cityscapes(cityscapes_root, "val", show_progress=False)
    (small,) = cityscapes.load_cityscapes(cityscapes_root, "val")
    (record,) = cityscapes.load_cityscapes(cityscapes_root, "val", full_size=True)
    assert record["frames"] == small["hr_frames"]
    assert (record["height"], record["width"]) == (4 * small["height"], 4 * small["width"])
    assert "hr_frames" not in record
    assert record["file_name"] == "cityscapes_sequence_val_full/munster/munster_000000_000019"


@pytest.mark.parametrize("missing", [(18,), (19,), (3, 20)])
def test_cityscapes_counts_what_is_missing(cityscapes_root, missing):
    with pytest.raises(
        MissingDatasetError, match=r"1 of 1 snippets lack .*munster_000000"
    ) as error:
        _val_without(cityscapes_root, *missing)
    assert_explains(error, "prepare_cityscapes.py")


def test_cityscapes_val_within_a_sequence(cityscapes_root):
    source = cityscapes_root / "leftImg8bit_sequence/val/munster"
    for image in sorted(source.iterdir()):
        number = int(image.name.split("_")[2])
        image.rename(source / f"munster_000000_{number + 275:06d}_leftImg8bit.png")
    assert _val_without(cityscapes_root, 280) == [[293, 294, 295]]
    with pytest.raises(MissingDatasetError, match=r"1 of 1 snippets"):
        _val_without(cityscapes_root, 275)  # or is it 305 that is missing?


def test_cityscapes_stray_image_is_named(cityscapes_root):
    source = cityscapes_root / "leftImg8bit_sequence/val/munster"
    shutil.copy(min(source.iterdir()), source / "bad_name_leftImg8bit.png")
    with pytest.raises(ValueError, match=r"bad_name_leftImg8bit\.png has no frame number"):
        _val_without(cityscapes_root)


def test_cityscapes_snippets_that_touch(cityscapes_root):
    """60 consecutive frames are one run, and one record of the prepared set."""
    source = cityscapes_root / "leftImg8bit_sequence/val/munster"
    for image in sorted(source.iterdir()):
        number = int(image.name.split("_")[2])
        shutil.copy(image, source / f"munster_000000_{number + 30:06d}_leftImg8bit.png")
    assert _val_without(cityscapes_root) == [[18, 19, 20], [48, 49, 50]]
    records = cityscapes.load_cityscapes(cityscapes_root, "val")
    assert [Path(record["file_name"]).name for record in records] == [
        "munster_000000_000019",
        "munster_000000_000049",
    ]


def test_cityscapes_val_without_numbers(cityscapes_root):
    cityscapes.prepare_cityscapes(cityscapes_root, "val", show_progress=False)
    index = cityscapes_root / cityscapes.PREPARED / "val" / "index.json"
    index.write_text(index.read_text().replace("_000019_left", "_nineteen_left"))
    with pytest.raises(MissingDatasetError, match=r"names no numbered images .*nineteen"):
        cityscapes.load_cityscapes(cityscapes_root, "val")


def test_cityscapes_val_with_a_damaged_image(cityscapes_root):
    folder = cityscapes_root / "leftImg8bit_sequence/val/munster"
    (folder / "munster_000000_000004_leftImg8bit.png").write_bytes(b"damaged")
    with pytest.raises(MissingDatasetError, match=r"1 of 1 snippets .*munster_000000_000004"):
        _val_without(cityscapes_root)


def test_corrupt_image_costs_its_snippet(cityscapes_root):
    folder = cityscapes_root / "leftImg8bit_sequence/train/aachen"
    (folder / "aachen_000001_000002_leftImg8bit.png").write_bytes(b"damaged")
    index = cityscapes.prepare_cityscapes(cityscapes_root, "train", show_progress=False)
    assert index["counts"]["corrupt_videos"] == 1 and index["counts"]["shots"] == 3
    assert index["corrupt_videos"][0]["file"].endswith("aachen_000001_000002_leftImg8bit.png")


def test_cityscapes_incomplete(cityscapes_root, tmp_path):
    with pytest.raises(MissingDatasetError) as error:
        cityscapes.load_cityscapes(cityscapes_root, "train")
    assert_explains(error, "index.json", "python datasets/prepare_cityscapes.py")
    with pytest.raises(MissingDatasetError) as error:
        cityscapes.prepare_cityscapes(tmp_path / "absent", "train")
    assert_explains(error, "no images in leftImg8bit_sequence/train", "cityscapes-dataset.com")


def test_command_ucf101(ucf101_root, run_command):
    root = ucf101_root.parent
    options = ("--root", root, "--short-side", 64, "--workers", 1)
    code, text = run_command("prepare_ucf101.py", *options)
    assert code == 0
    assert "8 triplets" in text and "v_Archery_g01_c02.avi" in text
    assert len(ucf101.load_ucf101(ucf101_root, "train")) == 8
    code, text = run_command("prepare_ucf101.py", "--root", root / "absent")
    assert code == 2 and str(root / "absent" / "ucf101") in text


def test_ucf101_of_another_size_is_refused(ucf101_root, run_command):
    options = ("--root", ucf101_root.parent, "--workers", 1, "--short-side")
    assert run_command("prepare_ucf101.py", *options, 64)[0] == 0
    before = ucf101.load_ucf101(ucf101_root, "train")
    code, text = run_command("prepare_ucf101.py", *options, 48)
    assert code == 2 and "short side 64, not from" in text and "--overwrite" in text
    assert ucf101.load_ucf101(ucf101_root, "train") == before
    assert run_command("prepare_ucf101.py", *options, 48, "--overwrite")[0] == 0
    after = ucf101.load_ucf101(ucf101_root, "train")
    assert [r["height"] for r in after] == [48] * len(before)
    assert not (ucf101_root / "triplets_train" / "shots").exists()


def test_command_cityscapes(cityscapes_root, tmp_path, run_command):
    code, text = run_command("prepare_cityscapes.py", "--root", tmp_path, "--workers", 1)
    assert code == 0 and "cityscapes_sequence_val is ready" in text
    assert len(cityscapes.load_cityscapes(cityscapes_root, "train")) == 4
    code, text = run_command("prepare_cityscapes.py", "--root", tmp_path / "absent")
    assert code == 2 and "no images in leftImg8bit_sequence/train" in text
