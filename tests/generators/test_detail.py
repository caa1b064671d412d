"""Detail of made frames: as strong as in the frames around them, where these are."""

import pytest
import torch
import torch.nn.functional as F

from zoomin_d2.generators import FastGenerator
from zoomin_d2.generators.detail import detail_energies, motion_of_energies, restore_detail
from zoomin_d2.generators.motion_decoder import Time

HALF = Time.of(torch.tensor([0.5]))


def texture(height=48, width=64, seed=0):
    noise = torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(seed))
    return 0.3 + 0.4 * noise


def still(frame):
    """No motion, and both frames count the same."""
    height, width = (-(-n // 16) * 8 for n in frame.shape[-2:])
    return torch.zeros(1, 5, height, width)


def restored(frame, first, second, motion, time=HALF, strength=1.0):
    energies = detail_energies(first, second)
    at_energies = motion_of_energies(motion, time, tuple(energies.shape[2:]))
    return restore_detail(frame, energies, *at_energies, strength)


def luma_detail(frame):
    luma = (frame * torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)).sum(1, keepdim=True)
    smooth = luma
    for _ in range(2):
        smooth = F.avg_pool2d(smooth, 3, 1, 1, count_include_pad=False)
    return luma - smooth


def test_energy_of_a_checkerboard():
    """Black and white in turn: in luma, 0.5 from a mean that is 1/9 of that after one smoothing
    and 1/81 after two."""
    rows, columns = torch.meshgrid(torch.arange(40), torch.arange(40), indexing="ij")
    board = ((rows + columns) % 2).float().expand(1, 3, 40, 40)
    energies = detail_energies(board, (board * 255).to(torch.uint8))
    assert energies.shape == (2, 1, 10, 10)
    assert energies[:, 0, 5, 5].tolist() == pytest.approx(2 * [(0.5 * (1 - 1 / 81)) ** 2], rel=1e-5)


def test_weak_detail_becomes_as_strong():
    frame = texture()
    weak = frame - 0.4 * luma_detail(frame)
    out = restored(weak, frame, frame, still(frame))
    before, after = (
        luma_detail(x).square().mean() / luma_detail(frame).square().mean() for x in (weak, out)
    )
    assert before < 0.5 and after == pytest.approx(1, abs=0.05)
    assert (out - frame).abs().mean() < 0.2 * (weak - frame).abs().mean()
    halfway = restored(weak, frame, frame, still(frame), strength=0.5)
    torch.testing.assert_close(halfway, (weak + out) / 2)


def test_what_is_strong_enough_stays():
    frame = texture()
    weak = frame - 0.4 * luma_detail(frame)
    torch.testing.assert_close(restored(frame, weak, weak, still(frame)), frame)
    flat = torch.full((1, 3, 20, 20), 0.5)
    torch.testing.assert_close(restored(flat, texture(20, 20), flat, still(flat)), flat)


def test_energy_moves_with_the_flows():
    """The left half of both frames has texture; at t it has moved by 16 pixels to the right."""
    frame = torch.cat((texture(48, 32), torch.full((1, 3, 48, 32), 0.5)), 3)
    made = torch.full_like(frame, 0.5)
    made[..., 16:48] = frame[..., :32]
    weak = made - 0.4 * luma_detail(made)
    motion = still(frame)
    motion[:, 0], motion[:, 2] = -8, -8  # pixels of half the size; to both frames, at t = 0.5
    out = restored(weak, frame, frame, motion)
    inside, old = (..., slice(None), slice(24, 40)), (..., slice(None), slice(0, 12))
    energy = luma_detail(out)[inside].square().mean() / luma_detail(made)[inside].square().mean()
    assert energy == pytest.approx(1, abs=0.1)
    # without motion, the right half of the object would be left weak
    unmoved = restored(weak, frame, frame, still(frame))
    right = (..., slice(None), slice(38, 46))
    assert (out - made)[right].abs().mean() < 0.5 * (unmoved - made)[right].abs().mean()
    torch.testing.assert_close(out[old], weak[old], atol=2e-3, rtol=0)


def test_the_nearer_frame_counts_more():
    frame = texture()
    weak = frame - 0.6 * luma_detail(frame)
    flat = torch.full_like(frame, 0.5)
    early, late = (
        restored(weak, frame, flat, still(frame), Time.of(torch.tensor([t]))) for t in (0.1, 0.9)
    )
    assert luma_detail(early).square().mean() > 2 * luma_detail(late).square().mean()


@pytest.mark.parametrize("size", [(33, 50), (16, 16), (47, 31)])
def test_a_generator_restores_detail_in_use(size):
    """Only in eval mode; other outputs stay the same."""
    torch.manual_seed(0)
    plain = FastGenerator().eval()
    detailed = FastGenerator(detail=1.0).eval()
    detailed.load_state_dict(plain.state_dict())
    pair = texture(*size), texture(*size, seed=1)
    t = torch.tensor([0.5])
    with torch.no_grad():
        a, b = plain(*pair, t), detailed(*pair, t)
        assert a.pred_frame.shape == b.pred_frame.shape == (1, 3, *size)
        assert (a.pred_frame - b.pred_frame).abs().max() > 0.01
        assert torch.equal(a.coarse_frame, b.coarse_frame)
        assert b.pred_frame.min() >= 0 and b.pred_frame.max() <= 1
        plain.train(), detailed.train()
        assert torch.equal(plain(*pair, t).pred_frame, detailed(*pair, t).pred_frame)


def test_a_wrong_strength_is_named():
    with pytest.raises(ValueError, match="detail must be between 0 and 2, got 3"):
        FastGenerator(detail=3)
    with pytest.raises(ValueError, match="detail must be between 0 and 2, got nan"):
        FastGenerator().detail = float("nan")
