"""A larger network that starts as a smaller one."""

import pytest
import torch

from zoomin_d2.generators.fast import FastGenerator
from zoomin_d2.generators.grow_weights import MIX_AT_START, grow_weights

SMALL = {
    "pyramid_channels": [8, 12, 16, 16],
    "decoder_channels": [8, 12, 16, 16],
    "decoder_blocks": [1, 1, 1, 2],
    "correlation_radii": [0, 0, 1, 2],
    "synthesis_channels": [8, 16],
}
LARGE = {
    "pyramid_channels": [12, 16, 16, 16],
    "decoder_channels": [16, 20, 16, 24],
    "linear_blocks": [2, 1, 0, 1],
    "correlation_radii": [0, 2, 1, 2],
    "synthesis_channels": [12, 20],
    "last_warp": "mixed",
    "refine_channels": 8,
}


FIVE_LEVELS = {
    "pyramid_channels": [*SMALL["pyramid_channels"], 8],
    "decoder_channels": [*SMALL["decoder_channels"], 8],
    "decoder_blocks": [*SMALL["decoder_blocks"], 1],
    "linear_blocks": [0] * 5,
    "correlation_radii": [*SMALL["correlation_radii"], 2],
}


def _network(seed: int, **options) -> FastGenerator:
    """With weights that move something and biases that are not zero."""
    torch.manual_seed(seed)
    network = FastGenerator(**{**SMALL, **options}).eval()
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if parameter.dim() == 1:
                parameter.normal_(std=0.1)
            elif "head" in name:
                parameter.normal_(std=0.05)
    return network


@torch.no_grad()
def _frames(network: FastGenerator):
    random = torch.Generator().manual_seed(5)
    frame_1, frame_2 = torch.rand(2, 2, 3, 32, 64, generator=random)
    return network(frame_1, frame_2, torch.tensor([0.5, 0.3]))


def test_the_grown_one_computes_the_same():
    old, new = _network(0), _network(1, **LARGE)
    grow_weights(old, new)
    assert torch.allclose(new.synthesis.head.bias[16:].sigmoid(), torch.tensor(MIX_AT_START))
    torch.nn.init.constant_(new.synthesis.head.bias[16:], -30)  # all bilinear
    expected = _frames(old)
    assert expected.flow_1t.abs().max() > 1 and expected.pred_frame.std() > 0.1
    for found, value in zip(_frames(new).maps.values(), expected.maps.values()):
        torch.testing.assert_close(found, value, atol=1e-5, rtol=0)


def test_a_new_level_starts_without_motion():
    old, new = _network(0), _network(1, **FIVE_LEVELS)
    grow_weights(old, new)
    assert (old.size_divisibility, new.size_divisibility) == (16, 32)
    for found, value in zip(_frames(new).maps.values(), _frames(old).maps.values()):
        torch.testing.assert_close(found, value, atol=1e-5, rtol=0)


@pytest.mark.parametrize("options", [LARGE, FIVE_LEVELS])
def test_what_is_new_can_learn(options):
    new = _network(1, **options)
    grow_weights(_network(0), new)
    optimizer = torch.optim.SGD(new.train().parameters(), lr=0.01)
    frames = torch.rand(2, 2, 3, 32, 64)
    for _ in range(2):  # what is read by zeros has a gradient from the second step on
        optimizer.zero_grad()
        out = new(*frames, torch.tensor([0.5, 0.3]))
        (
            out.pred_frame.square().mean() + sum(x.square().mean() for x in out.level_frames)
        ).backward()
        optimizer.step()
    assert [k for k, p in new.named_parameters() if not p.grad.abs().sum() > 0] == []


@pytest.mark.parametrize(
    "options, message",
    [
        ({"pyramid_channels": [8, 12, 20, 16]}, "cost volume at 1/8 cannot grow"),
        ({"correlation_radii": [0, 0, 2, 2]}, "cost volume at 1/8 cannot grow"),
        ({"decoder_blocks": [2, 1, 1, 2]}, "DECODER_BLOCKS at 1/2 cannot change"),
        ({"decoder_channels": [8, 8, 16, 16]}, "the new network only"),
        ({"decoder_blocks": [1, 1, 1, 1]}, "DECODER_BLOCKS at 1/16 cannot change"),
    ],
)
def test_what_cannot_grow_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        grow_weights(_network(0), _network(1, **options))
