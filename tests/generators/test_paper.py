"""Interface, sizes, budget and start of the generators."""

import pytest
import torch

from zoomin_d2 import get_zoomin_cfg
from zoomin_d2.generators.paper import ContextExtractor
from zoomin_d2.generators.synthesis_net import SynthesisNet
from zoomin_d2.modeling import build_generator


@pytest.fixture(params=["small_cfg", "tiny_cfg"], ids=["paper", "fast"])
def any_cfg(request):
    return request.getfixturevalue(request.param)


@pytest.mark.parametrize("size", [(1, 1), (17, 33), (64, 48)])
def test_any_size_and_any_time(any_cfg, size):
    generator = build_generator(any_cfg).eval()
    frame_1, frame_2 = torch.rand(2, 2, 3, *size)
    with torch.no_grad():
        out = generator(frame_1, frame_2, torch.tensor([0.25, 0.9]))
    assert out.pred_frame.shape == out.coarse_frame.shape == (2, 3, *size)
    assert out.flow_1t.shape == out.flow_2t.shape == (2, 2, *size)
    assert out.blend_mask.shape == (2, 1, *size)
    assert out.pred_frame.min() >= 0 and out.pred_frame.max() <= 1
    assert out.blend_mask.min() >= 0 and out.blend_mask.max() <= 1
    assert all(x.dtype == torch.float32 for x in out.maps.values())
    assert out.level_frames == ()  # they are for training


def test_untrained_is_nearly_the_average(any_cfg):
    torch.manual_seed(0)
    generator = build_generator(any_cfg).eval()
    frame_1, frame_2 = torch.rand(2, 1, 3, 32, 32)
    with torch.no_grad():
        out = generator(frame_1, frame_2, torch.tensor([0.25]))
    assert torch.allclose(out.pred_frame, 0.75 * frame_1 + 0.25 * frame_2, atol=0.05)


def test_paper_generator_keeps_its_budget():
    generator = build_generator(get_zoomin_cfg())
    assert sum(p.numel() for p in generator.parameters()) <= 5_000_000


def test_every_parameter_but_context_learns(small_cfg):
    generator = build_generator(small_cfg)
    out = generator(*torch.rand(2, 1, 3, 32, 32), torch.tensor([0.5]))
    (out.pred_frame.square().mean() + out.flow_1t.mean()).backward()
    assert [k for k, p in generator.named_parameters() if p.grad is None] == []
    assert not any(k.startswith("context") for k, _ in generator.named_parameters())
    assert {"context.weight", "context.bias", "context.mean"} <= generator.state_dict().keys()


def test_features_are_warped_like_frames(small_cfg):
    """With a context convolution that copies the frame, warped features equal the coarse frame."""
    small_cfg.MODEL.GENERATOR.PAPER.CONTEXT_CHANNELS = 3
    small_cfg.MODEL.GENERATOR.PAPER.CONTEXT_KERNEL = 1
    generator = build_generator(small_cfg).eval()
    identity = torch.eye(3).view(3, 3, 1, 1)
    generator.context.copy_from(identity, torch.zeros(3), torch.zeros(3))
    for head in generator.flow_net.heads:
        torch.nn.init.normal_(head.weight, std=0.5)
    seen = {}
    generator.synthesis_net.register_forward_pre_hook(
        lambda _m, args: seen.update(coarse=args[0], features=args[1])
    )
    with torch.no_grad():
        out = generator(*torch.rand(2, 1, 3, 32, 32), torch.tensor([0.5]))
    assert out.flow_1t.abs().max() > 0.1
    assert torch.allclose(seen["features"], seen["coarse"], atol=1e-5)


def test_wrong_context_names_its_keys():
    with pytest.raises(ValueError, match="CONTEXT_CHANNELS=32"):
        ContextExtractor(64, 7).copy_from(torch.zeros(32, 3, 3, 3), torch.zeros(32), torch.zeros(3))


def test_even_synthesis_kernel_is_refused():
    with pytest.raises(ValueError, match="odd"):
        SynthesisNet(4, kernel=8)
