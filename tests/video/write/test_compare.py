"""The comparison: input held on the left, result on the right."""

from fractions import Fraction as F

import numpy as np

from zoomin_d2.video import Hooks, Target, interpolate_video, open_source
from zoomin_d2.video.time.pipeline import OutputFrame, interpolate_frames
from zoomin_d2.video.time.pixels import Pixels
from zoomin_d2.video.write.compare import Comparison


def _frame(dtype=np.uint8):
    held, made = (Pixels(np.full((120, 160, 3), value, dtype)) for value in (10, 200))
    return OutputFrame(1, F(1, 50), made, "made", 0, (F(0), 0), held)


def test_side_by_side():
    for dtype in (np.uint8, np.uint16):
        compare = Comparison("side", ("input", "result"))
        out = compare(_frame(dtype)).image
        assert out.shape[:2] == compare.size(120, 160) == (120, 320)
        assert out.dtype == dtype
        assert (out[60:, :158] == 10).all() and (out[60:, 162:] == 200).all()
        assert out[:20, :150].max() > 0.8 * np.iinfo(dtype).max  # the label


def test_split_screen():
    out = Comparison("split", ("input", "result"))(_frame()).image
    assert out.shape == (120, 160, 3)
    assert (out[60:, :78] == 10).all() and (out[60:, 82:] == 200).all()


def test_the_left_side_holds_the_input(tmp_path, write_video, make_frames, average, read_video):
    source = write_video("in.mp4", make_frames(10, 96, 128))
    before, _ = read_video(source)
    with open_source([str(source)]) as opened:
        frames = list(interpolate_frames(opened, average, Target(fps=F(60))))
    for frame in frames:
        index = int(frame.time * 25)
        assert np.abs(frame.held.image.astype(int) - before[index]).max() == 0
    compare = Comparison("side", ("input 25 fps", "result 60 fps"))
    hooks = Hooks(decorate=compare, size=compare.size(96, 128))
    report = interpolate_video(
        str(source), str(tmp_path / "c.mp4"), average, Target(fps=F(60)), hooks=hooks
    )
    assert (report.height, report.width) == (96, 256)
