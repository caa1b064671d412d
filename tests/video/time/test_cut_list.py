"""Lists of cuts: written, edited, read."""

from fractions import Fraction as F

import numpy as np
import pytest

from zoomin_d2.video.read.source import SourceFrame
from zoomin_d2.video.time.cut_list import Cut, read_cuts, write_cuts
from zoomin_d2.video.time.scene_cuts import mark_steps


def _file(tmp_path, text):
    path = tmp_path / "cuts.csv"
    path.write_text(text)
    return path


def test_a_list_comes_back(tmp_path):
    cuts = [Cut(12, 0.48, "cut", 1, 33.2), Cut(40, 1.6, "dissolve", 16, 51.0)]
    path = tmp_path / "cuts.csv"
    write_cuts(path, cuts)
    assert path.read_text().splitlines() == [
        "frame,time,kind,frames,score",
        "12,0.48,cut,1,33.2",
        "40,1.6,dissolve,16,51.0",
    ]
    assert read_cuts(path) == (Cut(12, 0.48), Cut(40, 1.6, "dissolve", 16))
    assert [file.name for file in tmp_path.iterdir()] == ["cuts.csv"]


@pytest.mark.parametrize(
    "text, cuts",
    [
        ("", ()),
        ("frame,time,kind,frames,score\n", ()),
        ("frame\n7\n\n9\n", (Cut(7), Cut(9))),
        ("time\n0.5\n", (Cut(None, 0.5),)),
        ("\ufeffFrame;Note\n7;from a spreadsheet\n", (Cut(7),)),
        ("frame,time\n,0.5\n3,\n", (Cut(None, 0.5), Cut(3))),
    ],
)
def test_edited_lists(tmp_path, text, cuts):
    assert read_cuts(_file(tmp_path, text)) == cuts


@pytest.mark.parametrize(
    "text, message",
    [
        ("7\n9\n", "cuts.csv, line 1: names no column frame or time"),
        ("frame\n7\nx\n", "cuts.csv, line 3: frame 'x' is not a whole number"),
        ("frame\n\n0\n", "cuts.csv, line 3: frame must be at least 1, not 0"),
        ("time\n-1\n", "line 2: time must be at least 0.0"),
        ("time\nnan\n", "line 2: time must be at least 0.0, not nan"),
        ("frame,time,kind\n,,cut\n", "line 2: needs a frame or a time"),
        ("frame,kind\n3,wipe\n", "line 2: the kind 'wipe' is none of cut, fade, dissolve"),
        ("time,kind\n3,fade\n", "line 2: a fade needs its frame"),
    ],
)
def test_errors_name_the_line(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        read_cuts(_file(tmp_path, text))


def test_a_missing_list(tmp_path):
    with pytest.raises(ValueError, match=r"none.csv: No such file"):
        read_cuts(tmp_path / "none.csv")


def _marks(cuts, num_frames=20):
    picture = np.zeros((32, 48, 3), np.uint8)
    frames = [SourceFrame(i, F(i, 10), F(1, 10), picture) for i in range(num_frames)]
    marked = list(mark_steps(frames, cuts=cuts))
    mixed = [m.frame.index for m in marked if m.transition]
    return [m.frame.index for m in marked if m.cut_before], mixed


def test_exactly_these_cuts():
    assert _marks(()) == ([], [])
    assert _marks((Cut(4), Cut(None, 0.71), Cut(None, 0.76), Cut(12, None, "fade", 3))) == (
        [4, 7, 8],
        [12, 13, 14],
    )
    assert _marks((Cut(None, 1.99), Cut(None, 0.0))) == ([19], [])
    assert _marks((Cut(None, 2.0), Cut(None, 99.0))) == ([], [])  # the last frame ends at 2 s
