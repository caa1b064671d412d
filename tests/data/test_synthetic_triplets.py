"""datasets/prepare_synthetic.py: a test set of synthetic triplets out of images."""

import functools

import cv2
import numpy as np
import pytest

from zoomin_d2.data.datasets import synthetic_triplets
from zoomin_d2.data.datasets.synthetic_triplets import (
    find_images,
    stills_of_clips,
    write_synthetic_triplets,
)
from zoomin_d2.data.datasets.triplet_folders import load_triplet_folders


@pytest.fixture
def images(tmp_path):
    """A folder of two images of 48x40 pixels, a smaller one, and one that is broken."""
    folder = tmp_path / "images"
    (folder / "deeper").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for name, height in (("b.png", 40), ("deeper/a.jpg", 40), ("small.png", 20)):
        cv2.imwrite(str(folder / name), rng.integers(0, 256, (height, 48, 3), np.uint8))
    (folder / "broken.png").write_bytes(b"no image")
    (folder / "notes.txt").write_text("no image")
    return folder


def read_all(folder) -> list[np.ndarray]:
    return [cv2.imread(x) for record in load_triplet_folders(folder, "x") for x in record["frames"]]


def test_images_that_are_large_enough(images):
    found, num_skipped = find_images([images, images / "b.png"], (40, 48))
    assert found == [str(images / "b.png"), str(images / "deeper" / "a.jpg")]
    assert num_skipped == 2
    with pytest.raises(FileNotFoundError, match=r"at least 64x64 pixels .* \(4 are smaller"):
        find_images([images], (64, 64))
    with pytest.raises(FileNotFoundError, match="absent does not exist"):
        find_images([images / "absent"])


def test_a_set_is_a_function_of_seed_and_k(images, tmp_path):
    stills, _ = find_images([images], (32, 36))
    for name, num, seed in (("a", 3, 0), ("b", 2, 0), ("c", 2, 1)):
        write_synthetic_triplets(stills, tmp_path / name, num, seed, (32, 36))
    a, b, c = (read_all(tmp_path / name) for name in "abc")
    assert len(a) == 9 and {x.shape for x in a} == {(32, 36, 3)}
    assert all(np.array_equal(x, y) for x, y in zip(a[:6], b, strict=True))
    assert not any(np.array_equal(x, y) for x, y in zip(b, c, strict=True))
    assert sum(not np.array_equal(*x) for x in zip(a[::3], a[1::3], strict=True)) >= 2


def test_an_existing_folder_is_left_alone(images, tmp_path):
    stills, _ = find_images([images], (32, 36))
    (tmp_path / "mine").mkdir()
    with pytest.raises(FileExistsError, match="mine exists; remove it, or choose another --name"):
        write_synthetic_triplets(stills, tmp_path / "mine", 1, 0, (32, 36))


def test_nothing_half_made_is_left_behind(images, tmp_path):
    with pytest.raises(RuntimeError, match=r"broken\.png"):
        write_synthetic_triplets([str(images / "broken.png")], tmp_path / "a", 1, 0, (32, 36))
    assert [x.name for x in tmp_path.iterdir()] == ["images"]


def test_stills_of_clips_that_are_large(make_clip):
    small, large = make_clip(9, 40, 48, "small"), make_clip(17, 41, 48, "large")
    frames = large["frames"]
    assert stills_of_clips([small, large], (41, 48)) == [frames[0], frames[8], frames[16]]


def test_still_triplets_are_drawn_again(images, tmp_path, monkeypatch):
    made = []

    def layered(stills, draws, t):
        made.append(stills[:1])
        return stills[:1], stills[:1], 255 - stills[:1] if len(made) % 3 == 0 else stills[:1]

    monkeypatch.setattr(synthetic_triplets, "layered_triplets", layered)
    write_synthetic_triplets([str(images / "b.png")], tmp_path / "a", 2, 0, (32, 36))
    assert len(made) == 6
    for k, stills in enumerate(made[2::3]):
        first = cv2.imread(str(tmp_path / "a" / "layers" / f"{k}_0.png"))[..., ::-1]
        assert np.array_equal(first.transpose(2, 0, 1), stills[0])


def test_command(images, tmp_path, run_command, monkeypatch):
    for name in ("find_images", "write_synthetic_triplets"):  # smaller frames take less time
        function = functools.partial(getattr(synthetic_triplets, name), size=(32, 36))
        monkeypatch.setattr(synthetic_triplets, name, function)
    options = ("--root", tmp_path, "--num", 1)
    code, text = run_command("prepare_synthetic.py", images, *options)
    assert code == 0 and "Skipping 2 images" in text and "Making 1 triplets from 2 stills" in text
    assert "Dataset triplets_synthetic_val is ready" in text
    assert len(load_triplet_folders(tmp_path / "triplets" / "synthetic_val", "x")) == 1
    code, text = run_command("prepare_synthetic.py", images, *options)
    assert code == 2 and "synthetic_val exists" in text
    code, text = run_command("prepare_synthetic.py", tmp_path, "--name", "../x")
    assert code == 2 and "not a plain name" in text
    code, text = run_command("prepare_synthetic.py", tmp_path, "--num", 0)
    assert code == 2 and "--num: must be a whole number, 1 or more" in text
