from types import SimpleNamespace

import pytest
import torch
from detectron2.structures import Boxes, Instances

from zoomin_d2.visualization import training_panel

N, M, HEIGHT, WIDTH = 2, 4, 128, 128


@pytest.fixture
def baseline_step():
    frame = torch.rand(N, 3, HEIGHT, WIDTH)
    outputs = SimpleNamespace(
        pred_frame=frame,
        coarse_frame=frame,
        flow_1t=torch.ones(N, 2, HEIGHT, WIDTH),
        flow_2t=-torch.ones(N, 2, HEIGHT, WIDTH),
        blend_mask=torch.rand(N, 1, HEIGHT, WIDTH),
    )
    return SimpleNamespace(
        frame_1=frame,
        frame_t=frame,
        frame_2=frame,
        outputs=outputs,
        proposals=None,
        real=None,
        fake=None,
        valid=None,
    )


@pytest.fixture
def roigan_step(baseline_step):
    """Two valid proposals in the first image; real patches are red, fake ones green."""
    proposals = Instances((HEIGHT, WIDTH))
    proposals.proposal_boxes = Boxes(torch.tensor([[10.0, 10, 60, 60], [50, 50, 120, 120]]))
    baseline_step.proposals = [proposals, proposals]
    baseline_step.valid = torch.tensor([[True, True, False, False]] * N)
    baseline_step.real = torch.zeros(N * M, 3, 64, 64)
    baseline_step.real[:, 0] = 1.0
    baseline_step.fake = torch.zeros(N * M, 3, 64, 64)
    baseline_step.fake[:, 1] = 1.0
    return baseline_step


def _count(panel: torch.Tensor, colour: list[int]) -> int:
    return int((panel == torch.tensor(colour).view(3, 1, 1)).all(dim=0).sum())


def test_baseline_has_no_patches(baseline_step):
    panel = training_panel(baseline_step)
    assert panel.dtype == torch.uint8
    assert panel.shape[0] == 3
    assert panel.shape[2] == 3 * WIDTH + 2 * 4


def test_whole_image_gan_is_drawn_plainly(baseline_step):
    expected = training_panel(baseline_step)
    baseline_step.real = baseline_step.fake = baseline_step.frame_t
    baseline_step.valid = torch.ones(N, 49, dtype=torch.bool)
    assert torch.equal(training_panel(baseline_step), expected)


def test_roigan_shows_the_valid_patch_pairs(baseline_step, roigan_step):
    panel = training_panel(roigan_step)
    assert panel.shape[2] == 3 * WIDTH + 2 * 4
    num_red, num_green = _count(panel, [255, 0, 0]), _count(panel, [0, 255, 0])
    assert num_red == num_green
    side = round((num_red / 2) ** 0.5)  # two pairs are valid, the empty slots are not drawn
    assert num_red == 2 * side**2 and side > WIDTH // 4


def test_wide_crops_are_drawn(roigan_step):
    wide = torch.rand(N, 3, 64, 1920)
    roigan_step.frame_1 = roigan_step.frame_t = roigan_step.frame_2 = wide
    roigan_step.outputs = SimpleNamespace(
        pred_frame=wide,
        coarse_frame=wide,
        flow_1t=torch.ones(N, 2, 64, 1920),
        flow_2t=torch.ones(N, 2, 64, 1920),
        blend_mask=torch.rand(N, 1, 64, 1920),
    )
    panel = training_panel(roigan_step)
    assert _count(panel, [255, 0, 0]) > 0


def test_panel_without_proposals(roigan_step):
    roigan_step.valid[0] = False
    roigan_step.proposals[0] = roigan_step.proposals[0][:0]
    panel = training_panel(roigan_step)
    assert _count(panel, [255, 0, 0]) == 0


def test_the_step_is_left_as_it_was(roigan_step):
    before = roigan_step.frame_t.clone()
    training_panel(roigan_step)
    assert torch.equal(roigan_step.frame_t, before)
