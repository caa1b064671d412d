"""Files that lie about their size, lead out of their folder, or are damaged: named errors only."""

import json
import struct
import zlib

import numpy as np
import pytest

from zoomin_d2.data.datasets.prepared_clips import load_prepared_clips
from zoomin_d2.data.datasets.records import MissingDatasetError, resolve_inside
from zoomin_d2.data.datasets.snu_film import load_snu_film
from zoomin_d2.data.datasets.ucf101 import read_split
from zoomin_d2.data.frame_store import open_shot, read_image
from zoomin_d2.data.packing import INDEX_VERSION, write_shot
from zoomin_d2.data.video_file import VideoFile, iter_frames, probe_video, require_frame_size
from zoomin_d2.frames import CorruptFrameError


def _png(width: int, height: int) -> bytes:
    """A PNG whose header promises a size, with a few bytes of pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        checksum = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + checksum

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = chunk(b"IDAT", zlib.compress(bytes(1000)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + pixels + chunk(b"IEND", b"")


@pytest.mark.parametrize("size", [(30000, 30000), (2**31 - 1, 2**31 - 1), (2**27 + 1, 1)])
def test_huge_image_is_refused_before(tmp_path, size):
    path = tmp_path / "bomb.png"
    path.write_bytes(_png(*size))
    with pytest.raises(CorruptFrameError, match=r"bomb\.png"):
        read_image(str(path))


def test_sizes_that_are_read():
    require_frame_size("8k.mp4", 7680, 4320)
    with pytest.raises(CorruptFrameError, match="65536x65536"):
        require_frame_size("a.mp4", 65536, 65536)


def test_huge_promised_frames_are_refused(tmp_path, write_video, moving_frames):
    path = write_video(tmp_path / "a.mp4", moving_frames(3))
    # The sample entry of the stream holds the size as two 16-bit numbers.
    content = path.read_bytes()
    entry = content.index(b"avc1", content.index(b"stsd")) + 28
    assert struct.unpack(">HH", content[entry : entry + 4]) == (64, 48)
    path.write_bytes(content[:entry] + struct.pack(">HH", 65535, 65535) + content[entry + 4 :])
    for read in (
        lambda: list(iter_frames(path)),
        lambda: VideoFile(path),
        lambda: probe_video(path),
    ):
        try:
            read()  # the stream itself still says 64x48, and a decoder may believe that
        except CorruptFrameError as error:
            assert "a.mp4" in str(error)


def test_names_stay_inside_their_root(tmp_path):
    assert resolve_inside(tmp_path, "a/../b.png") == tmp_path / "b.png"
    for name in ("../b.png", "a/../../b.png", "/etc/passwd", str(tmp_path) + "_other/b"):
        with pytest.raises(ValueError, match="points outside"):
            resolve_inside(tmp_path, name)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / "link").symlink_to(elsewhere)  # the user's own link is the user's business
    assert resolve_inside(tmp_path, "link/x.png") == tmp_path / "link/x.png"


@pytest.fixture
def make_index(tmp_path):
    """(changes of the shot, changes of the index) -> folder of a prepared clip of four frames."""
    folder = tmp_path / "prepared"
    (folder / "shots").mkdir(parents=True)
    frames = (np.full((20, 30, 3), i, np.uint8) for i in range(4))
    write_shot(folder / "shots/a.npy", frames, 4)
    (tmp_path / "secret.npy").write_bytes((folder / "shots/a.npy").read_bytes())

    def make(shot=None, **index):
        entry = {"file": "shots/a.npy", "file_name": "a", "runs": [[0, 4]], "height": 20}
        content = {"version": INDEX_VERSION, "shots": [{**entry, "width": 30, **(shot or {})}]}
        (folder / "index.json").write_text(json.dumps({**content, **index}))
        return folder

    return make


def test_a_whole_index_is_read(make_index):
    (record,) = load_prepared_clips(make_index(), "videos_x", "prepare it")
    assert len(record["frames"]) == 4


@pytest.mark.parametrize(
    "shot",
    [
        {"file": "../secret.npy"},
        {"file": "/etc/passwd"},
        {"file": "shots/../../secret.npy"},
        {"hr_images": ["../secret.npy"] * 4, "hr_scale": 2},
        {"hr_images": ["shots/a.npy"], "hr_scale": 2},
        {"runs": [[0, 5]]},
        {"runs": [[0, 10**12]]},
        {"runs": [[-1, 3]]},
        {"runs": [[3, 0]]},
        {"runs": [[0.5, 2]]},
        {"runs": [0, 4]},
        {"runs": None},
        {"height": 10**9},
        {"width": "30"},
        {"height": 0},
        {"file": 7},
        {"file": "shots/a.npy\0"},
    ],
    ids=str,
)
def test_index_of_missing_files_is_named(make_index, shot):
    with pytest.raises(MissingDatasetError, match=r"videos_x.*(damaged|missing)"):
        load_prepared_clips(make_index(shot), "videos_x", "prepare it")


@pytest.mark.parametrize("index", [{"shots": 3}, {"shots": [3]}, {"options": 3}, {"version": []}])
def test_a_damaged_index_is_named(make_index, index):
    with pytest.raises(MissingDatasetError, match="videos_x"):
        load_prepared_clips(make_index(**index), "videos_x", "prepare it")


def test_deep_json_is_named(make_index):
    folder = make_index()
    (folder / "index.json").write_text("[" * 100000)
    with pytest.raises(MissingDatasetError, match="damaged"):
        load_prepared_clips(folder, "videos_x", "prepare it")


def test_lists_that_lead_out_are_named(tmp_path):
    line = " ".join(["data/SNU-FILM/test/../../secret.png"] * 3)
    (tmp_path / "test-easy.txt").write_text("\n".join([line] * 310))
    with pytest.raises(MissingDatasetError, match="points outside"):
        load_snu_film(tmp_path, "easy")
    (tmp_path / "ucfTrainTestlist").mkdir()
    (tmp_path / "ucfTrainTestlist/trainlist01.txt").write_text("../../secret.avi 1\n")
    with pytest.raises(MissingDatasetError, match="points outside"):
        read_split(tmp_path, 1)


def test_a_shot_with_a_false_header_is_named(tmp_path):
    path = tmp_path / "a.npy"
    header = "{'descr': '|u1', 'fortran_order': False, 'shape': (1000000000, 1000, 1000, 3), }"
    header = header.ljust(117) + "\n"
    path.write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode())
    with pytest.raises(CorruptFrameError, match=r"a\.npy"):
        open_shot(str(path))
