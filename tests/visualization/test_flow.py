import numpy as np
import pytest
import torch

from zoomin_d2.visualization import draw_flow_legend, draw_flows


def _constant_flow(dx: float, dy: float) -> torch.Tensor:
    return torch.tensor([dx, dy]).view(2, 1, 1).expand(2, 40, 60)


def test_flows_share_one_scale():
    (slow, fast), longest = draw_flows([_constant_flow(1.0, 0.0), _constant_flow(3.0, 4.0)])
    assert longest == pytest.approx(5.0)
    assert slow.shape == fast.shape == (40, 60, 3)
    assert slow.dtype == np.uint8
    # The wheel is white at rest: the flow of a fifth of the length is paler.
    assert slow.min() > fast.min()


def test_no_motion_is_white():
    pictures, longest = draw_flows([_constant_flow(0.0, 0.0)])
    assert longest == 0.0
    assert pictures[0].min() == 255


def test_legend_shows_every_direction():
    picture = np.full((200, 300, 3), 17, dtype=np.uint8)
    draw_flow_legend(picture, share=0.5)  # a radius of 50 pixels around (x, y) = (245, 145)
    for dx, dy in ((40, 0), (-40, 0), (0, 40), (0, -40)):
        # 40 of 50 pixels long, next to a vector of the full length, as in the legend.
        flow = torch.zeros(2, 1, 2)
        flow[:, 0, 0] = torch.tensor([dx, dy])
        flow[:, 0, 1] = torch.tensor([50.0, 0.0])
        expected = draw_flows([flow])[0][0][0, 0].astype(int)
        assert np.abs(picture[145 + dy, 245 + dx] - expected).max() <= 2
    assert (picture[:, :190] == 17).all()  # only the corner is painted
    assert (picture[96, 196] == 17).all()  # and of it only the disc


def test_legend_leaves_tiny_pictures_alone():
    picture = np.full((20, 20, 3), 17, dtype=np.uint8)
    draw_flow_legend(picture)
    assert (picture == 17).all()
