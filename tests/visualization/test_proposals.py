import numpy as np
import pytest
import torch
from detectron2.structures import Boxes

from zoomin_d2.visualization import draw_proposals, zoom_panel

ZOOM = 64


def _boxes(*boxes: list[float]) -> Boxes:
    return Boxes(torch.tensor(boxes).reshape(-1, 4))


def test_boxes_are_drawn_where_they_are():
    frame = torch.full((3, 120, 160), 0.5)
    drawn = draw_proposals(frame, _boxes([20.0, 60.0, 100.0, 110.0]))
    assert drawn.shape == (120, 160, 3)
    changed = (drawn != 128).any(axis=2)
    assert changed[60, 20:100].all() and changed[60:110, 99:101].any(axis=1).all()
    assert not changed[:50].any()
    assert not changed[70:100, 60:90].any()  # the inside of the box stays visible


def test_no_proposals_leave_the_frame():
    frame = torch.randint(0, 256, (3, 40, 50), dtype=torch.uint8)
    drawn = draw_proposals(frame, _boxes())
    assert np.array_equal(drawn, frame.permute(1, 2, 0).numpy())


def test_scale_enlarges_the_picture():
    drawn = draw_proposals(torch.zeros(3, 40, 50), _boxes([5.0, 5.0, 30.0, 30.0]), scale=2)
    assert drawn.shape == (80, 100, 3)


@pytest.fixture
def frames():
    """A 40 x 60 frame with a bright square at (x, y) = 10..30, missing from the prediction."""
    truth = torch.zeros(3, 40, 60, dtype=torch.uint8)
    truth[:, 10:30, 10:30] = 200
    large = truth.repeat_interleave(2, dim=1).repeat_interleave(2, dim=2)
    return {"pred": torch.zeros(3, 40, 60), "truth": truth, "truth x 2": large}


def _tile(sheet: np.ndarray, row: int, column: int, num_rows: int) -> np.ndarray:
    bottom, left = (row + 1) * (sheet.shape[0] + 4) // num_rows - 4, column * (ZOOM + 4)
    return sheet[bottom - ZOOM : bottom, left : left + ZOOM]


def test_zoom_panel_shows_every_box(frames):
    boxes = _boxes([10.0, 10.0, 30.0, 30.0], [30.0, 10.0, 50.0, 20.0])
    sheet = zoom_panel(frames, boxes, zoom_size=ZOOM)
    assert sheet.shape[1] == 4 * (ZOOM + 4) - 4
    for row, value in ((0, 200), (1, 0)):
        assert (_tile(sheet, row, 1, 2) == 0).all()
        assert (_tile(sheet, row, 2, 2) == value).all()
        assert (_tile(sheet, row, 3, 2) == value).all()  # the same region, twice as many pixels


def test_zoom_panel_shows_the_first_rois(frames):
    boxes = _boxes(*[[0.0, 0.0, 20.0, 20.0]] * 5)
    one, two = (zoom_panel(frames, boxes, zoom_size=ZOOM, max_rois=n) for n in (1, 2))
    assert two.shape[0] == 2 * one.shape[0] + 4


def test_boxes_at_the_border_are_clipped(frames):
    boxes = _boxes([50.0, -5.0, 80.0, 3.0], [59.9, 39.9, 60.0, 40.0])
    assert zoom_panel(frames, boxes, zoom_size=ZOOM).size


def test_psnr_is_in_the_caption(frames, monkeypatch):
    captions = []

    def record(tiles, columns, font_size):
        captions.extend(caption for caption, _ in tiles)

    monkeypatch.setattr("zoomin_d2.visualization.proposals.tile_pictures", record)
    frames["same"] = frames["truth"]
    zoom_panel(frames, _boxes([10.0, 10.0, 30.0, 30.0]))
    # All values differ by 200: 10 log10(255^2 / 200^2) = 2.11.
    assert captions == [
        "ROI 1: 20 x 20 px",
        "pred: 2.1 dB",
        "truth",
        "truth x 2",
        "same: identical",
    ]


def test_bad_input_says_what_is_wrong(frames):
    with pytest.raises(ValueError, match="no boxes"):
        zoom_panel(frames, _boxes())
    frames["odd"] = torch.zeros(3, 50, 60)
    with pytest.raises(ValueError, match=r"'odd' has 60 x 50 pixels.* 60 x 40"):
        zoom_panel(frames, _boxes([0.0, 0.0, 9.0, 9.0]))
