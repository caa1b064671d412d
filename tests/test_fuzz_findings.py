"""What tests/stress/fuzz.py has found, each as the smallest file that showed it."""

import contextlib
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from tests.stress import fuzz
from zoomin_d2.data.datasets.records import MissingDatasetError
from zoomin_d2.data.datasets.snu_film import load_snu_film
from zoomin_d2.data.datasets.vimeo90k import load_vimeo90k
from zoomin_d2.data.frame_store import open_shot
from zoomin_d2.data.packing import write_shot
from zoomin_d2.data.video_file import VideoFile, iter_frames
from zoomin_d2.engine import setup_cfg
from zoomin_d2.frames import CorruptFrameError
from zoomin_d2.weight_files import UnreadableWeightsError, read_weights

SEEDS = Path(__file__).parent / "data" / "seeds"


def _config(tmp_path, text: str):
    path = tmp_path / "fuzzed.yaml"
    path.write_text(text)
    return setup_cfg(str(path), [])


@pytest.mark.parametrize("text", ["DATALOADER:\n  NUM_WORKERS: null\n", "MODEL: null\n"])
def test_a_config_with_null_says_which_key(tmp_path, text):
    with pytest.raises(ValueError, match=r"leaves DATALOADER.NUM_WORKERS empty|fuzzed\.yaml"):
        _config(tmp_path, text)


@pytest.mark.parametrize(
    "text",
    ["_BASE_: fuzzed.yaml\n", "a: [", "3", "- 1", "NO_SUCH: 1\n", "SEED: {a: 1}\n", "\0"],
)
def test_a_config_that_is_none_is_named(tmp_path, text):
    with pytest.raises(ValueError, match=r"fuzzed\.yaml"):
        _config(tmp_path, text)


def test_a_config_runs_no_code(tmp_path):
    with pytest.raises(ValueError, match="fuzzed"):
        _config(tmp_path, f"SEED: !!python/object/apply:os.mkdir ['{tmp_path}/trap']\n")
    assert not (tmp_path / "trap").exists()


def test_lists_that_are_no_text(tmp_path):
    (tmp_path / "test-easy.txt").write_bytes(b"\x80 a b\n" * 310)
    with pytest.raises(MissingDatasetError):
        load_snu_film(tmp_path, "easy")
    (tmp_path / "tri_trainlist.txt").write_bytes(b"\x80\n")
    with pytest.raises(MissingDatasetError):
        load_vimeo90k(tmp_path, "triplet", "train")


def test_a_stream_without_decoder():
    path = SEEDS / "stream_without_decoder.mp4"
    for read in (lambda: list(iter_frames(path)), lambda: VideoFile(path)):
        with pytest.raises(CorruptFrameError, match="no decoder can read"):
            read()


def test_a_title_that_is_no_utf8(tmp_path):
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as container:
        container.metadata["title"] = "aaaaaaaa"
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
        container.mux(stream.encode(av.VideoFrame(32, 32, "yuv420p")))
        container.mux(stream.encode())
    path.write_bytes(path.read_bytes().replace(b"aaaaaaaa", b"\xb2" * 8))
    with pytest.raises(UnicodeDecodeError):
        av.open(str(path))
    assert len(list(iter_frames(path))) == 1


def test_a_length_that_asks_for_all_memory(tmp_path):
    path = tmp_path / "w.pkl"
    path.write_bytes(b"\x80\x04\x8e" + b"\xff" * 7 + b"\x7f")  # 2^63 - 1 bytes follow
    with pytest.raises(UnreadableWeightsError):
        read_weights(str(path))


def test_a_memo_that_asks_for_32_gigabytes(tmp_path):
    path = tmp_path / "w.pkl"
    path.write_bytes(b"\x80\x02}r\xff\xff\xff\x7f.")
    with pytest.raises(UnreadableWeightsError, match="uses memo index 2147483647"):
        read_weights(str(path))


def test_a_shot_whose_header_is_no_python(tmp_path):
    path = tmp_path / "a.npy"
    write_shot(path, iter([np.zeros((4, 4, 3), np.uint8)]), 1)
    path.write_bytes(path.read_bytes()[:11] * 3 + path.read_bytes())
    with pytest.raises(CorruptFrameError, match="not a readable packed shot"):
        open_shot(str(path))


@pytest.mark.parametrize("name", fuzz.TARGETS)
def test_a_moment_of_fuzzing(name, tmp_path):
    contents, read, documented = fuzz.TARGETS[name](tmp_path)

    @fuzz.seed(1)
    @fuzz.settings(max_examples=5 if name == "config" else 15, deadline=None, database=None)
    @fuzz.given(contents)
    def example(content):
        with contextlib.suppress(documented):
            read(content)

    threads = cv2.getNumThreads()
    example()
    cv2.setNumThreads(threads)
