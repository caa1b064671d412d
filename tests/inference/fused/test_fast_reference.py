"""`fast` against a forward written plainly, frame by frame and displacement by displacement."""

import pytest
import torch
import torch.nn.functional as F

from zoomin_d2.generators.fast import FastGenerator
from zoomin_d2.layers import backward_warp, pad_to_multiple
from zoomin_d2.model_zoo.generator_file import load_generator


def _correlation(a, b, radius):
    height, width = a.shape[-2:]
    a, b = (F.pad(x, (radius,) * 4) for x in (a, b))
    costs = []
    for dy in range(-radius, radius + 1):
        for dx in range(-radius, radius + 1):
            from_1 = a[..., radius - dy :, radius - dx :][..., :height, :width]
            to_2 = b[..., radius + dy :, radius + dx :][..., :height, :width]
            costs.append((from_1 * to_2).mean(1) * a.shape[1] ** 0.5)
    return torch.stack(costs, 1)


def _finer(x):
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


def _bicubic(frame, flow):
    """Keys's kernel, a = -0.75, on a frame whose border is repeated."""
    height, width = frame.shape[-2:]
    x = (torch.arange(width) + flow[:, 0]).clamp(0, width - 1)
    y = (torch.arange(height)[:, None] + flow[:, 1]).clamp(0, height - 1)
    total = 0
    for j in range(-1, 3):
        for i in range(-1, 3):
            weight = _keys(x - x.floor() - i) * _keys(y - y.floor() - j)
            column = (x.floor().long() + i).clamp(0, width - 1)
            row = (y.floor().long() + j).clamp(0, height - 1)
            values = frame.flatten(2).gather(
                2, (row * width + column).flatten(1)[:, None].expand(-1, 3, -1)
            )
            total = total + weight[:, None] * values.view_as(frame)
    return total


def _keys(distance):
    d, a = distance.abs(), -0.75
    near = (a + 2) * d**3 - (a + 3) * d**2 + 1
    return torch.where(d <= 1, near, torch.where(d < 2, a * (d**3 - 5 * d**2 + 8 * d - 4), 0))


def _reference(net, frame_1, frame_2, t):
    height, width = frame_1.shape[-2:]
    frame_1, frame_2 = (pad_to_multiple(x, 16) for x in (frame_1, frame_2))
    features_1, features_2 = net.pyramid(frame_1), net.pyramid(frame_2)
    t = t.view(-1, 1, 1, 1)
    motion, hiddens = None, [None]
    for a, b, decoder in zip(features_1[::-1], features_2[::-1], net.decoders[::-1]):
        if motion is None:
            motion = torch.zeros(len(t), 5, *a.shape[-2:])
        else:
            motion = _finer(motion) * torch.tensor([2.0, 2, 2, 2, 1]).view(1, 5, 1, 1)
            a = backward_warp(a, motion[:, 0:2] * 2 * t)
            b = backward_warp(b, motion[:, 2:4] * 2 * (1 - t))
        parts = [a, b]
        if decoder.radius:
            parts.append(_correlation(a, b, decoder.radius))
        if hiddens[-1] is not None:
            parts.append(F.pixel_shuffle(hiddens[-1], 2))
        x = torch.cat([*parts, motion, (t - 0.5).expand(-1, 1, *a.shape[-2:])], 1)
        hiddens.append(decoder.blocks(decoder.enter(x)))
        motion = motion + decoder.head(hiddens[-1])
    full = _finer(motion) * torch.tensor([2.0, 2, 2, 2, 1]).view(1, 5, 1, 1)
    if net.refine is not None:
        parts = [
            backward_warp(frame_1 - 0.5, full[:, 0:2] * 2 * t),
            backward_warp(frame_2 - 0.5, full[:, 2:4] * 2 * (1 - t)),
            F.pixel_shuffle(hiddens[-1], 2),
            full,
            (t - 0.5).expand(-1, 1, *frame_1.shape[-2:]),
        ]
        refine = net.refine
        full = full + refine.head(refine.blocks(refine.enter(torch.cat(parts, 1))))
    warped_1 = backward_warp(frame_1, full[:, 0:2] * 2 * t)
    warped_2 = backward_warp(frame_2, full[:, 2:4] * 2 * (1 - t))
    colors, logits = net.synthesis(warped_1, warped_2, motion[:, 4:], hiddens[-1], hiddens[-2])
    mask = torch.sigmoid(full[:, 4:] + logits[:, :1] + torch.log((1 - t) / t))
    if net.last_warp == "mixed":
        mix = torch.sigmoid(logits[:, 1:])
        warped_1 = (1 - mix) * warped_1 + mix * _bicubic(frame_1, full[:, 0:2] * 2 * t)
        warped_2 = (1 - mix) * warped_2 + mix * _bicubic(frame_2, full[:, 2:4] * 2 * (1 - t))
    pred = mask * warped_1 + (1 - mask) * warped_2 + colors
    return pred.clamp(0, 1)[..., :height, :width]


def _everything():
    """A network with all that `fast` can have, with weights that move something."""
    torch.manual_seed(0)
    net = FastGenerator(
        pyramid_channels=[8, 12, 16, 16],
        decoder_channels=[12, 16, 16, 16],
        decoder_blocks=[1, 1, 1, 1],
        linear_blocks=[1, 2, 0, 1],
        correlation_radii=[0, 1, 1, 2],
        synthesis_channels=[8, 16],
        last_warp="mixed",
        refine_channels=12,
    )
    for decoder in net.decoders:
        torch.nn.init.normal_(decoder.head.weight, std=0.03)
    for head in (net.refine.head, net.synthesis.head):
        torch.nn.init.normal_(head.weight, std=0.05)
    return net.eval()


@pytest.mark.parametrize("name", ["fast", "everything"])
def test_equal_to_a_plain_forward(name):
    net = _everything() if name == "everything" else load_generator(name).generator.float().eval()
    random = torch.Generator().manual_seed(0)
    small = torch.rand(2, 3, 12, 20, generator=random)
    frame_1 = F.interpolate(small, size=(50, 83), mode="bicubic").clamp(0, 1)
    frame_2 = frame_1.roll((2, -3), dims=(2, 3))
    t = torch.tensor([0.5, 0.3])
    with torch.no_grad():
        out = net(frame_1, frame_2, t)
        expected = _reference(net, frame_1, frame_2, t)
    assert out.flow_1t.abs().max() > 1
    torch.testing.assert_close(out.pred_frame, expected, atol=1e-5, rtol=0)
