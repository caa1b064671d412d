"""--list-cuts: the list and the contact sheet of a video."""

import cv2
import numpy as np
import pytest

from zoomin_d2.video import JobOptions, StreamOptions, Target, interpolate_video, open_source
from zoomin_d2.video.errors import OutputError
from zoomin_d2.video.jobs.list_cuts import list_cuts
from zoomin_d2.video.time.cut_list import Cut, read_cuts
from zoomin_d2.video.write.contact_sheet import COLUMNS, WIDTH, ContactSheet
from zoomin_d2.video.write.encoder import EncodeOptions


def _list(source, output, **options):
    with open_source(source) as opened:
        return list_cuts(opened, output, **options)


@pytest.fixture
def shots(write_video, make_frames):
    """12 frames that move, 20 inverted ones, 10 black ones to which they fade in 8 steps."""
    frames = make_frames(32)
    frames = [*frames[:12], *(255 - f for f in frames[12:])]
    fade = [np.rint(frames[-1] * (1 - k / 8)).astype(np.uint8) for k in range(1, 9)]
    frames += fade + [fade[-1]] * 10
    return write_video("in.mkv", frames, codec="ffv1", pix_fmt="yuv444p")


def test_the_list_of_a_real_clip(tmp_path, real_clip):
    cuts = _list(real_clip("bikes.mp4"), tmp_path / "cuts.csv")
    assert [(cut.time, cut.kind) for cut in cuts] == [
        (time, "cut") for time in (1.2, 5.48, 7.48, 9.68)
    ]
    assert [cut.frame for cut in cuts] == [30, 137, 187, 242]
    sheet = cv2.imread(str(tmp_path / "cuts.png"))
    assert sheet.shape[1] == COLUMNS * (2 * WIDTH + 6)


def test_a_fade_is_listed(tmp_path, shots):
    cuts = _list(shots, tmp_path / "cuts.csv")
    assert [(cut.frame, cut.kind, cut.frames) for cut in cuts] == [(12, "cut", 1), (32, "fade", 8)]
    # a cell is a line of text and a frame of 200 x 150: the last one of the fade is black
    sheet = cv2.imread(str(tmp_path / "cuts.png"))
    left = 2 * WIDTH + 6
    assert sheet[20:160, left : left + WIDTH].mean() > 100
    assert sheet[20:160, left + WIDTH : left + 2 * WIDTH].max() <= 2


def test_a_listed_run_gives_the_same_frames(tmp_path, shots, average, read_video):
    _list(shots, tmp_path / "cuts.csv")
    outputs = []
    for i, cuts in enumerate([None, read_cuts(tmp_path / "cuts.csv")]):
        # x264 makes other bits of small frames every time: see FASTEST in test_segments
        encode = EncodeOptions(codec="ffv1")
        options = JobOptions(stream=StreamOptions(cuts=cuts), encode=encode)
        output = tmp_path / f"{i}.mkv"
        report = interpolate_video(shots, output, average, Target(multi=2), options)
        assert report.cuts == [0.48] and report.blended_frames == 8 and not report.warnings
        outputs.append(read_video(output)[0])
    assert all((a == b).all() for a, b in zip(*outputs, strict=True))


def test_a_cut_after_the_end_is_reported(tmp_path, shots, average):
    cuts = (Cut(12), Cut(900), Cut(time=1.99), Cut(time=90))
    options = JobOptions(stream=StreamOptions(cuts=cuts))
    report = interpolate_video(shots, tmp_path / "o.mkv", average, Target(multi=2), options)
    assert report.warnings == [
        "the list of cuts names frame 900, but the input has only frames 0 to 49",
        "the list of cuts names 90 s, but the input ends at 2.000 s",
    ]


def test_no_cuts_leave_no_sheet(tmp_path, write_video, make_frames):
    source = write_video("in.mp4", make_frames(20))
    assert _list(source, tmp_path / "cuts.csv") == []
    assert read_cuts(tmp_path / "cuts.csv") == ()
    assert not (tmp_path / "cuts.png").exists()


def test_nothing_is_replaced_unasked(tmp_path, shots):
    (tmp_path / "cuts.png").write_bytes(b"mine")
    with pytest.raises(OutputError, match=r"cuts.png exists: --overwrite replaces it"):
        _list(shots, tmp_path / "cuts.csv")
    assert not (tmp_path / "cuts.csv").exists()
    with pytest.raises(OutputError, match=r"a list of cuts is a .csv file"):
        _list(shots, tmp_path / "cuts.txt")
    assert len(_list(shots, tmp_path / "cuts.csv", overwrite=True)) == 2


def test_a_sheet_says_what_it_leaves_out(monkeypatch):
    monkeypatch.setattr("zoomin_d2.video.write.contact_sheet.MOST", 2)
    sheet, deep = ContactSheet(), np.full((90, 160, 3), 65535, np.uint16)
    for i in range(3):
        sheet.add(Cut(i + 1, 0.1), deep, deep // 2)
    picture = sheet.picture()
    assert picture.dtype == np.uint8 and picture[30, 30].tolist() == [255] * 3
    assert picture.shape == (18 + 112 + 6 + 18, 2 * (2 * WIDTH + 6), 3)
