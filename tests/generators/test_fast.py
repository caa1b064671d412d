"""The coarse-to-fine generator: interface, budget, start, and that it finds motion."""

import pytest
import torch
import torch.nn.functional as F

from zoomin_d2 import get_zoomin_cfg
from zoomin_d2.evaluation.complexity import count_macs
from zoomin_d2.generators.fast import maps_of
from zoomin_d2.generators.motion_decoder import Time, blend_along, both_flows, finer_motion
from zoomin_d2.layers import backward_warp
from zoomin_d2.modeling import build_generator
from zoomin_d2.modeling.losses import photometric_loss


@pytest.fixture
def fast_cfg():
    cfg = get_zoomin_cfg()
    cfg.MODEL.GENERATOR.NAME = "fast"
    return cfg


def test_budget(fast_cfg):
    generator = build_generator(fast_cfg)
    assert sum(p.numel() for p in generator.parameters()) <= 3_000_000
    assert count_macs(generator, 256, 256).kilo_per_pixel <= 60.5


def test_every_parameter_learns(tiny_cfg):
    generator = build_generator(tiny_cfg)
    out = generator(*torch.rand(2, 1, 3, 32, 32), torch.tensor([0.5]))
    assert [x.shape[-1] for x in out.level_frames] == [2, 4, 8]  # 1/16, 1/8, 1/4
    (out.pred_frame.square().mean() + sum(x.mean() for x in out.level_frames)).backward()
    assert [k for k, p in generator.named_parameters() if p.grad is None] == []


def test_several_times_are_each_as_one(tiny_cfg):
    generator = build_generator(tiny_cfg).eval()
    frames = torch.rand(2, 1, 3, 32, 48)
    ts = [torch.tensor([0.3]), torch.tensor([0.7])]
    with torch.no_grad():
        for many, t in zip(generator.forward_many(*frames, ts), ts):
            assert torch.equal(many.pred_frame, generator(*frames, t).pred_frame)


@pytest.mark.parametrize("refine_channels", [0, 8])
def test_maps_follow_from_the_motion(tiny_cfg, refine_channels):
    tiny_cfg.MODEL.GENERATOR.FAST.REFINE_CHANNELS = refine_channels
    generator = build_generator(tiny_cfg).eval()
    torch.manual_seed(0)
    for parameter in generator.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    frames, t = torch.rand(2, 2, 3, 37, 50), torch.tensor([0.3, 0.6])
    with torch.no_grad():
        out = generator(*frames, t)
        maps = maps_of(*frames, out.motion, t, generator.size_divisibility)
    assert out.motion.shape[-2:] == ((48, 64) if refine_channels else (24, 32))
    assert out.flow_1t.abs().max() > 0.01
    for made, expected in zip(maps, out[1:5], strict=True):
        torch.testing.assert_close(made, expected)


def test_motion_is_the_same_on_every_grid():
    motion = torch.full((1, 5, 4, 6), 1.5)
    finer = finer_motion(motion)
    assert finer.shape == (1, 5, 8, 12)
    assert finer[:, :4].eq(3.0).all() and finer[:, 4:].eq(1.5).all()
    flow_1t, flow_2t = both_flows(motion, Time.of(torch.tensor([0.25]))).chunk(2)
    assert flow_1t.eq(0.75).all() and flow_2t.eq(2.25).all()


def test_true_motion_gives_the_true_frame():
    """Content moves 4 px to the right from frame_1 to frame_2: 2 px each way for unit time."""
    scene = torch.rand(1, 3, 16, 32)
    frame_1, frame_t, frame_2 = scene[..., 8:24], scene[..., 6:22], scene[..., 4:20]
    motion = torch.zeros(1, 5, 16, 16)
    motion[:, 0], motion[:, 2] = -2, 2
    blended = blend_along(motion, torch.cat((frame_1, frame_2)), Time.of(torch.tensor([0.5])))
    assert torch.allclose(blended[..., 2:-2], frame_t[..., 2:-2], atol=1e-5)
    assert torch.allclose(
        backward_warp(frame_1, motion[:, 0:2])[..., 2:-2], frame_t[..., 2:-2], atol=1e-5
    )


def test_learns_to_follow_a_texture(tiny_cfg):
    """A minute object of training: shifts of up to 6 px, which averaging the frames gets wrong."""
    torch.manual_seed(0)
    generator = build_generator(tiny_cfg)
    optimizer = torch.optim.Adam(generator.parameters(), lr=2e-3)
    scene = F.interpolate(torch.rand(4, 3, 20, 20), size=(80, 80), mode="bicubic").clamp(0, 1)
    t = torch.full((4,), 0.5)

    def triplet(shift: int):
        return tuple(scene[..., 8:72, 8 + d : 72 + d] for d in (-shift, 0, shift))

    for step in range(60):
        frame_1, frame_t, frame_2 = triplet(1 + step % 3)
        out = generator(frame_1, frame_2, t)
        loss = photometric_loss(out.pred_frame, frame_t) + sum(
            photometric_loss(x, F.adaptive_avg_pool2d(frame_t, x.shape[-2:]))
            for x in out.level_frames
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    frame_1, frame_t, frame_2 = triplet(3)
    with torch.no_grad():
        out = generator(frame_1, frame_2, t)
    average_error = ((frame_1 + frame_2) / 2 - frame_t).square().mean()
    assert (out.coarse_frame - frame_t).square().mean() < 0.5 * average_error
    # The flows, not the synthesis: frame_1 is sampled to the right by about 3 px.
    assert out.flow_1t[:, 0, 16:-16, 16:-16].mean() > 1
    assert out.flow_2t[:, 0, 16:-16, 16:-16].mean() < -1
