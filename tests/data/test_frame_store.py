import os
import pickle
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest
from detectron2.utils import logger as logger_module

from zoomin_d2.data import CorruptFrameError, FrameStore
from zoomin_d2.data.frame_store import read_image, read_mask
from zoomin_d2.data.packing import write_shot

COLOUR = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)  # RGB


def write_png(path, image) -> str:
    assert cv2.imwrite(str(path), image)
    return str(path)


def test_image_file_is_rgb(tmp_path):
    ref = write_png(tmp_path / "a.png", COLOUR[..., ::-1])
    assert np.array_equal(FrameStore().read(ref), COLOUR)


def test_crop_of_every_kind_of_reference(tmp_path, write_video, moving_frames):
    frames = moving_frames(4)
    write_shot(tmp_path / "shot.npy", iter(frames), 4)
    refs = [
        write_png(tmp_path / "a.png", frames[2][..., ::-1]),
        (str(tmp_path / "shot.npy"), 2),
        (str(write_video(tmp_path / "v.mp4", frames)), 2),
    ]
    for ref in refs:
        crop = FrameStore().read(ref, (10, 3, 30, 19)).astype(int)
        assert crop.shape == (16, 20, 3)
        assert np.abs(crop - frames[2][3:19, 10:30]).max() <= (6 if "mp4" in ref[0] else 0)


def test_16_bit_grey_and_alpha(tmp_path):
    store = FrameStore()
    deep = np.array([[[0, 128, 129]], [[65535, 257, 514]]], np.uint16)  # BGR
    read = store.read(write_png(tmp_path / "deep.png", deep))
    # 128/257 = 0.498 -> 0, 129/257 = 0.502 -> 1, 65535/257 = 255
    assert read.dtype == np.uint8
    assert read.tolist() == [[[1, 0, 0]], [[2, 1, 255]]]

    grey = np.array([[7, 200]], np.uint8)
    assert store.read(write_png(tmp_path / "grey.png", grey)).tolist() == [[[7] * 3, [200] * 3]]

    alpha = np.array([[[10, 20, 30, 0]]], np.uint8)  # BGRA, fully transparent
    assert store.read(write_png(tmp_path / "alpha.png", alpha)).tolist() == [[[30, 20, 10]]]


def test_damaged_files_are_named(tmp_path):
    store = FrameStore()
    good = write_png(tmp_path / "good.png", np.tile(COLOUR, (20, 20, 1)))
    data = Path(good).read_bytes()
    (tmp_path / "half.png").write_bytes(data[:20])
    (tmp_path / "empty.png").write_bytes(b"")
    np.save(tmp_path / "float.npy", np.zeros((3, 4, 4, 3), np.float32))
    write_shot(tmp_path / "shot.npy", iter([COLOUR] * 3), 3)
    shot = (tmp_path / "shot.npy").read_bytes()
    (tmp_path / "cut.npy").write_bytes(shot[:-10])
    (tmp_path / "text.mp4").write_text("this is no video")
    (tmp_path / "text.npy").write_text("this is no array")
    for name, index, words in [
        ("absent.png", None, "cannot be read"),
        ("half.png", None, "not an image"),
        ("empty.png", None, "empty"),
        ("absent.npy", 0, "not a readable packed shot"),
        ("float.npy", 0, "float32"),
        ("cut.npy", 0, "not a readable packed shot"),
        ("text.npy", 0, "not a readable packed shot"),
        ("shot.npy", 3, "no frame 3, only 3 frames"),
        ("absent.mp4", 0, "cannot be opened"),
        ("text.mp4", 0, "cannot be opened"),
    ]:
        path = str(tmp_path / name)
        with pytest.raises(CorruptFrameError, match=words) as error:
            store.read(path if index is None else (path, index))
        assert error.value.file_name == path


def test_crop_outside_of_the_frame(tmp_path):
    ref = write_png(tmp_path / "a.png", COLOUR)
    with pytest.raises(CorruptFrameError, match="outside of the frame of 6x4"):
        FrameStore().read(ref, (0, 0, 7, 4))


def test_error_survives_pickling():
    error = pickle.loads(pickle.dumps(CorruptFrameError("a.png", "is bad")))
    assert (error.file_name, error.reason, str(error)) == ("a.png", "is bad", "a.png: is bad")


def test_store_can_be_sent_to_a_process(tmp_path):
    store = FrameStore(max_open=3)
    write_shot(tmp_path / "shot.npy", iter([COLOUR] * 3), 3)
    ref = (str(tmp_path / "shot.npy"), 1)
    store.read(ref)
    sent = pickle.loads(pickle.dumps(store))
    assert not sent._shots and np.array_equal(sent.read(ref), COLOUR)


def test_few_files_stay_open(tmp_path):
    store = FrameStore(max_open=2)
    for i in range(5):
        write_shot(tmp_path / f"{i}.npy", iter([np.full((2, 2, 3), i, np.uint8)] * 3), 3)
    for i in (0, 1, 2, 3, 4, 0, 4):
        assert store.read((str(tmp_path / f"{i}.npy"), 1))[0, 0, 0] == i
        assert len(store._shots) <= 2
    assert list(store._shots) == [str(tmp_path / "0.npy"), str(tmp_path / "4.npy")]


def test_store_works_in_a_forked_process(tmp_path, write_video, moving_frames):
    frames = moving_frames(20)
    path = str(write_video(tmp_path / "v.mp4", frames))
    store = FrameStore()
    store.read((path, 3))
    pid = os.fork()
    if pid == 0:  # reads on while the parent has the same file open
        fine = all(
            np.abs(store.read((path, i)).astype(int) - frames[i]).max() <= 6 for i in (4, 12, 5)
        )
        os._exit(0 if fine else 1)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert np.abs(store.read((path, 4)).astype(int) - frames[4]).max() <= 6


@pytest.mark.parametrize(
    ("name", "on", "off"),
    [("8.png", 1, 0), ("8.png", 255, 0), ("16.png", 1, 0), ("rgba.png", 1, 0), ("a.jpg", 255, 3)],
)
def test_a_mask_counts_what_is_not_black(tmp_path, name, on, off):
    dtype = np.uint16 if name == "16.png" else np.uint8
    mask = np.full((16, 16), off, dtype)
    mask[:8] = on
    if name == "rgba.png":
        mask = np.dstack([np.zeros_like(mask), mask, np.zeros_like(mask), np.full_like(mask, 255)])
    cv2.imwrite(str(tmp_path / name), mask)
    found = read_mask(str(tmp_path / name))
    assert found.dtype == bool and found[:8].all() and not found[8:].any()


def test_10_bits_in_16_are_reported(tmp_path, log, monkeypatch):
    monkeypatch.setattr(logger_module, "_LOG_COUNTER", Counter())
    for name, largest in (("dark.png", 5000), ("ten.png", 1023), ("twelve.png", 4000)):
        image = np.zeros((4, 4, 3), np.uint16)
        image[0] = largest
        cv2.imwrite(str(tmp_path / name), image)
        read_image(str(tmp_path / name))
    (line,) = [line for line in log.text.splitlines() if "16-bit" in line]
    assert "ten.png: no value" in line and "10-bit samples" in line and "by 64" in line


def test_a_frame_of_another_size_is_named(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((8, 12, 3), np.uint8))
    store = FrameStore()
    assert store.read(str(tmp_path / "a.png"), (0, 0, 4, 4), (8, 12)).shape == (4, 4, 3)
    with pytest.raises(CorruptFrameError, match=r"is \(8, 12\), but its dataset says \(4, 6\)"):
        store.read(str(tmp_path / "a.png"), (0, 0, 4, 4), (4, 6))
