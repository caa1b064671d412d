"""`fast` against a forward written plainly, frame by frame and displacement by displacement."""

import torch
import torch.nn.functional as F

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
    warped_1 = backward_warp(frame_1, full[:, 0:2] * 2 * t)
    warped_2 = backward_warp(frame_2, full[:, 2:4] * 2 * (1 - t))
    correction, mask_correction = net.synthesis(
        warped_1, warped_2, motion[:, 4:], hiddens[-1], hiddens[-2]
    )
    mask = torch.sigmoid(full[:, 4:] + mask_correction + torch.log((1 - t) / t))
    pred = mask * warped_1 + (1 - mask) * warped_2 + correction
    return pred.clamp(0, 1)[..., :height, :width]


def test_weights_that_ship_give_the_same_frames():
    net = load_generator("fast").generator.float().eval()
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
