import numpy as np
import pytest
import torch

from zoomin_d2.visualization import draw_error, interpolation_panel, tile_pictures, to_picture


def _frame(value: float, height: int = 48, width: int = 64) -> torch.Tensor:
    return torch.full((3, height, width), value)


def test_to_picture_takes_uint8_and_float():
    frame = torch.tensor([0.0, 0.5, 1.2]).view(3, 1, 1).expand(3, 2, 4)
    picture = to_picture(frame)
    assert picture.shape == (2, 4, 3)
    assert picture[0, 0].tolist() == [0, 128, 255]
    assert np.array_equal(to_picture(torch.from_numpy(picture).permute(2, 0, 1)), picture)
    with pytest.raises(ValueError, match=r"\(1, 2, 4\)"):
        to_picture(frame[:1])


def test_error_is_black_where_equal():
    pred, truth = _frame(0.5), _frame(0.5)
    pred[2, :, 32:] += 0.3
    error = draw_error(pred, truth)
    assert error.shape == (48, 64, 3)
    assert error[:, :32].max() < 10
    assert error[:, 32:].max(axis=2).min() > 200


def test_tiles_keep_their_pixels_and_order():
    pictures = [np.full((20, 30, 3), value, dtype=np.uint8) for value in (10, 20, 30)]
    sheet = tile_pictures([("a", pictures[0]), None, ("b", pictures[1]), ("c", pictures[2])], 2)
    height, width = sheet.shape[0] // 2, sheet.shape[1] // 2
    assert (sheet[height - 10, 5] == 10).all()
    assert (sheet[height - 10, width + 10] == 255).all()  # the empty place
    assert (sheet[-5, 5] == 20).all()
    assert (sheet[-5, -5] == 30).all()
    assert sheet[:12].min() < 100  # the caption is there


def test_captions_stay_inside_their_tile():
    picture = np.full((20, 60, 3), 255, dtype=np.uint8)
    long, empty = tile_pictures([("x" * 80, picture), ("", picture)], 2), slice(62, None)
    assert (long[:, empty] == 255).all()
    assert long[:, :60].min() < 100


def test_panel_holds_everything_in_place():
    height, width = 48, 64
    panel = interpolation_panel(
        frame_1=_frame(0.1),
        frame_t=_frame(0.2),
        frame_2=_frame(0.3),
        coarse_frame=_frame(0.4),
        pred_frame=_frame(0.6),
        flow_1t=torch.zeros(2, height, width),
        flow_2t=torch.zeros(2, height, width),
        blend_mask=torch.full((1, height, width), 0.8),
    )
    rows = [(i + 1) * panel.shape[0] // 3 - 10 for i in range(3)]
    columns = [(i + 1) * panel.shape[1] // 3 - 30 for i in range(3)]
    at = [[panel[y, x].tolist() for x in columns] for y in rows]
    assert at[0] == [[26] * 3, [51] * 3, [77] * 3]
    assert at[1][:2] == [[102] * 3, [153] * 3]
    assert at[2] == [[255] * 3, [255] * 3, [204] * 3]


def test_panel_without_truth_has_the_average():
    panel = interpolation_panel(frame_1=_frame(0.2), frame_2=_frame(0.6), pred_frame=_frame(0.3))
    assert panel[panel.shape[0] // 2 - 10, panel.shape[1] // 2].tolist() == [102] * 3  # 51 and 153


def test_large_frames_are_drawn_smaller():
    frame = _frame(0.5, 100, 200)
    panel = interpolation_panel(frame_1=frame, frame_2=frame, pred_frame=frame, max_tile_width=50)
    assert panel.shape[1] == 3 * 50 + 2 * 4
