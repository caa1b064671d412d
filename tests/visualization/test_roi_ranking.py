"""Which ROIs are shown, worked by hand; and the grid they stand in."""

import math

import numpy as np
import pytest

from zoomin_d2.visualization.roi_grid import INK, RoiRow, draw_roi_grid
from zoomin_d2.visualization.roi_ranking import (
    RankedRoi,
    choose_rois,
    find_focus,
    grow_to_square,
    rank_rois,
    score_roi,
)


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        ((10, 10, 30, 20), (10, 5, 30, 25)),
        ((10, 0, 30, 10), (10, 0, 30, 20)),  # moved down into the frame
        ((0, 30, 10, 50), (0, 30, 20, 50)),  # and to the right
        ((0, 0, 60, 10), (0, 0, 60, 50)),  # no square of 60 fits into 50 rows
    ],
)
def test_squares_stay_in_the_frame(box, expected):
    assert grow_to_square(box, height=50, width=80) == expected


def test_rois_are_ranked_by_the_average():
    truth = np.zeros((64, 128, 3), np.uint8)
    average = truth.copy()
    average[:, 32:64], average[:, 64:96] = 10, 40
    boxes = [(0, 0, 32, 32), (32, 0, 64, 32), (64, 0, 96, 32), (66, 0, 98, 32), (64, 40, 74, 50)]
    rois = rank_rois("a", boxes, average, truth)
    # The fourth lies on the third; the fifth is too small.
    assert [roi.difficulty for roi in rois] == [40, 10, 0]
    assert rank_rois("a", boxes, average, truth, max_side=31) == []


def test_choice_limited_by_image_and_scene():
    names = ["x/a/0", "x/a/0", "x/a/1", "x/b/0"]
    rois = [RankedRoi(name, (0, 0, 1, 1), 9.0 - i) for i, name in enumerate(names)]
    assert [p.name for p in choose_rois(rois, 9)] == ["x/a/0", "x/a/1", "x/b/0"]
    assert [p.name for p in choose_rois(rois, 9, per_scene=1)] == ["x/a/0", "x/b/0"]
    assert len(choose_rois(rois, 3, per_image=2)) == 3


def test_the_focus_lies_where_most_moves():
    truth = np.zeros((100, 200, 3), np.uint8)
    average = truth.copy()
    average[60:70, 150:160] = 30
    x, y, difficulty = find_focus((100, 0, 200, 100), average, truth)
    assert abs(100 + 100 * x - 155) < 20 and abs(100 * y - 65) < 20
    assert difficulty == pytest.approx(3, abs=0.01)  # a hundredth of the area is 30 off
    assert find_focus((0, 0, 50, 50), average, truth) == (0.5, 0.5, 0.0)


def test_psnr_inside_the_box():
    truth = np.zeros((8, 8, 3), np.uint8)
    pred = truth.copy()
    pred[:4, :4] = 51  # a fifth of 255: 20 log10 5 = 13.98 dB
    assert score_roi(pred, truth, (0, 0, 4, 4), {})["PSNR"] == pytest.approx(13.9794, abs=1e-3)
    assert score_roi(pred, truth, (4, 4, 8, 8), {"n": lambda p, t: 1.0}) == {"PSNR": None, "n": 1}


def test_grid_holds_rows_and_marks_the_roi():
    frames = {name: np.full((40, 60, 3), v, np.uint8) for name, v in (("truth", 9), ("us", 99))}
    rows = [RoiRow(("a", "b"), (0, 0, 20, 20), frames, {"us": {"PSNR": math.inf}})] * 3
    picture = draw_roi_grid(rows, cell=100)
    assert picture.shape[1:] == (150 + 2 * 112, 4)
    assert (picture[..., :3][picture[..., 3] == 0] == INK).all()
    columns = [picture[:, x, 0] for x in (212, 324)]
    assert [(column == v).sum() >= 300 for column, v in zip(columns, (9, 99))] == [True, True]
    with pytest.raises(ValueError, match="the same columns"):
        draw_roi_grid([])
