"""Run by test_triton_fused.py in its own process: each kernel against PyTorch's operators."""

import torch
import torch.nn.functional as F
from torch import nn

from zoomin_d2.frames import to_8bit
from zoomin_d2.generators.detail import detail_energies, motion_of_energies, restore_detail
from zoomin_d2.generators.motion_decoder import Time
from zoomin_d2.inference.detail import PairDetail
from zoomin_d2.layers import backward_warp, bilateral_correlation, blend, pad_to_multiple
from zoomin_d2.layers.kernels.compose import compose
from zoomin_d2.layers.kernels.conv import FusedConv, padded
from zoomin_d2.layers.kernels.correlation import correlate_into
from zoomin_d2.layers.kernels.frame_conv import FrameConv
from zoomin_d2.layers.kernels.gather_frames import gather_frames
from zoomin_d2.layers.kernels.warp import gather_level
from zoomin_d2.layers.kernels.warp_blend import warp_blend
from zoomin_d2.layers.kernels.warp_frames import warp_frames

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
TOLERANCE = {torch.float32: 1e-5, torch.float16: 4e-3, torch.bfloat16: 3e-2}
torch.backends.cudnn.allow_tf32 = False  # the definition is to be exact
random = torch.Generator().manual_seed(0)


def rand(*size, dtype=torch.float32, scale=1.0):
    return (torch.randn(size, generator=random) * scale).to(DEVICE, dtype)


def close(found, expected, dtype, scale=1.0):
    assert found.dtype == dtype and found.shape == expected.shape
    assert expected.float().std() > 0.01
    torch.testing.assert_close(
        found.float(), expected.float(), atol=TOLERANCE[dtype] * scale, rtol=TOLERANCE[dtype]
    )


def last(x):  # channels first <-> last
    return x.permute(0, 2, 3, 1)


def first(x):
    return x.permute(0, 3, 1, 2)


def convolutions():
    for inputs, outputs, side, stride, dilation, kind, dtype in (
        (24, 40, 3, 2, 1, "", torch.float32),
        (32, 20, 3, 1, 2, "residual", torch.float32),
        (16, 16, 1, 1, 1, "shuffle", torch.float32),
        (20, 5, 3, 1, 1, "residual", torch.float16),
        (16, 16, 3, 1, 1, "", torch.bfloat16),
    ):
        if dtype == torch.bfloat16 and DEVICE == "cpu":
            continue  # the interpreter takes bfloat16 for integers in a matrix product
        padding = dilation * (side // 2)
        conv = nn.Conv2d(inputs, outputs, side, stride, padding, dilation).to(DEVICE, dtype)
        fused = FusedConv(conv, 0.1, shuffle=kind == "shuffle")
        # A slice of a wider buffer: what is beside it must not matter, nor be overwritten.
        buffer = rand(2, 9, 13, fused.channels + 16, dtype=dtype)
        x = buffer[..., : fused.channels]
        expected = F.conv2d(
            first(x)[:, :inputs].float(),
            conv.weight.float(),
            conv.bias.float(),
            stride,
            padding,
            dilation,
        )
        if kind == "shuffle":
            expected = F.pixel_shuffle(expected, 2)
        channels = expected.shape[1] if kind == "shuffle" else padded(outputs)
        target = rand(2, *expected.shape[2:], channels + 16, dtype=dtype)
        beside = target[..., channels:].clone()
        residual = rand(2, *expected.shape[2:], channels, dtype=dtype)
        if kind == "residual":
            expected = expected + first(residual)[:, : expected.shape[1]].float()
            found = fused(x, target[..., :channels], residual)
        else:
            found = fused(x, target[..., :channels])
            assert (found[..., expected.shape[1] :] == 0).all()
        expected = F.leaky_relu(expected, 0.1)
        close(first(found)[:, : expected.shape[1]], expected, dtype)
        assert torch.equal(target[..., channels:], beside)
        if kind != "residual":
            assert torch.allclose(fused.reference(x), last(expected), atol=1e-5)


def convolutions_of_a_gpu():
    """Those that conv_halo.py makes on a Hopper GPU: rows of 48 pixels or more, 16-bit numbers."""
    for inputs, outputs, stride, dilation, dtype, planes, added in (
        (32, 32, 1, 1, torch.float16, False, True),
        (80, 32, 1, 2, torch.float16, False, False),
        (48, 64, 1, 1, torch.bfloat16, False, True),
        (32, 48, 2, 1, torch.float16, False, False),
        (96, 96, 1, 1, torch.float16, False, False),
        (64, 5, 1, 1, torch.float16, True, True),
    ):
        conv = nn.Conv2d(inputs, outputs, 3, stride, dilation, dilation).to(DEVICE, dtype)
        fused = FusedConv(conv, 0.1)
        x = rand(2, 70, 131, fused.channels, dtype=dtype)
        height, width = fused.out_size(70, 131)
        if planes:
            out, residual = (last(rand(2, outputs, height, width)) for _ in range(2))
        else:
            out, residual = (rand(2, height, width, padded(outputs), dtype=dtype) for _ in range(2))
        residual = residual if added else None
        expected = fused.reference(x, residual[..., :outputs] if added else None)
        fused(x, out, residual)
        close(out[..., :outputs], expected, torch.float32 if planes else dtype, 2)


def finer(motion):
    motion = F.interpolate(motion, scale_factor=2, mode="bilinear", align_corners=False)
    return torch.cat((motion[:, :4] * 2, motion[:, 4:]), 1)


def levels():
    for height, width, scale, dtype in (
        (6, 10, 2.0, torch.float32),
        (8, 4, 40.0, torch.float32),  # far outside
        (4, 2, 3.0, torch.float16),
    ):
        n, channels, radius, t = 2, 24, 1, torch.tensor([0.3, 0.5], device=DEVICE)
        features = rand(2 * n, height, width, 32, dtype=dtype)
        motion = rand(n, 5, height // 2, width // 2, scale=scale)
        hidden = rand(n, height // 2, width // 2, 16, dtype=dtype)
        out = rand(n, height, width, 96, dtype=dtype)
        planes = first(out)
        found = gather_level(features, motion, hidden[..., :12], t, out, channels, 64)
        correlate_into(planes[:, :24], planes[:, 24:48], planes[:, 48:57], radius)
        expected = finer(motion)
        close(found, expected, torch.float32, scale)
        factors = (2 * t.view(-1, 1, 1, 1), 2 * (1 - t.view(-1, 1, 1, 1)))
        parts = [
            backward_warp(
                first(features)[k * n : (k + 1) * n, :24].float(),
                expected[:, 2 * k : 2 * k + 2] * factors[k],
            )
            for k in range(2)
        ]
        parts.append(bilateral_correlation(*parts, radius))
        parts.append(torch.zeros(n, 64 - 57, height, width, device=DEVICE))
        parts.append(F.pixel_shuffle(first(hidden)[:, :12].float(), 2))
        parts += [expected, (t - 0.5).view(-1, 1, 1, 1).expand(n, 1, height, width)]
        parts.append(torch.zeros(n, 96 - 73, height, width, device=DEVICE))
        tolerance = 4 * scale if dtype == torch.float32 else 4
        close(planes, torch.cat(parts, 1), dtype, tolerance)


def frames():
    for height, width, scale, frames_dtype, layout in (
        (5, 13, 1.0, torch.uint8, torch.channels_last),
        (8, 12, 60.0, torch.float32, torch.contiguous_format),
        (3, 7, 2.0, torch.uint8, torch.contiguous_format),
        (5, 67, 20.0, torch.uint8, None),  # several tiles; a part of a frame, and another format
    ):
        pair = [torch.rand(2, 3, height, width, generator=random).to(DEVICE) for _ in range(2)]
        exact = pair
        if frames_dtype == torch.uint8:
            pair = [(x * 255).to(torch.uint8) for x in pair]
            exact = [x / 255 for x in pair]
            if layout is None:
                part = torch.zeros(2, 3, height + 2, width + 3, dtype=torch.uint8, device=DEVICE)
                part = part[..., 1:-1, 2:-1].copy_(pair[1])
                pair = [pair[0].contiguous(memory_format=torch.channels_last), part]
            else:
                pair = [x.contiguous(memory_format=layout) for x in pair]
        whole = [pad_to_multiple(x, 4) for x in exact]
        h, w = whole[0].shape[2] // 2, whole[0].shape[3] // 2
        conv = nn.Conv2d(3, 24, 3, 2, 1).to(DEVICE)
        out = torch.full((4, h, w, 32), 9.0, device=DEVICE)
        pixels = FrameConv(conv, 0.1)(*pair, out)
        bytes_or_floats = pixels.view(2 * len(pair[0]), height, width, -1).view(frames_dtype)
        assert torch.equal(first(bytes_or_floats)[:, :3], torch.cat(pair))
        expected = F.leaky_relu(conv(torch.cat(whole) - 0.5), 0.1)
        close(first(out)[:, :24], expected, torch.float32)
        assert (out[..., 24:] == 0).all()

        t = torch.tensor([0.25, 0.6], device=DEVICE)
        motion = rand(2, 5, h, w, scale=scale)
        motion[:, 4] /= scale
        last_steps(pair[0], pixels, whole, motion, None, t, False, scale)
        added = rand(2, 5, 2 * h, 2 * w)
        last_steps(pair[0], pixels, whole, motion, added, t, True, scale)


def last_steps(frame, pixels, whole, motion, refinement, t, mixed, scale):
    """From the half-size motion to the frame, with pixels as given and frames as float, padded."""
    n, _, h, w = motion.shape
    times = t.view(-1, 1, 1, 1)
    full = finer(motion)
    if refinement is not None:
        hidden = rand(n, h, w, 24)
        found = gather_frames(
            pixels, motion, hidden[..., :20], t, hidden.new_full((n, 2 * h, 2 * w, 32), 9)
        )
        parts = [backward_warp(whole[k] - 0.5, flow) for k, flow in enumerate(flows(full, times))]
        parts += [full, (times - 0.5).expand(-1, 1, 2 * h, 2 * w)]
        parts += [torch.zeros(n, 4, 2 * h, 2 * w, device=DEVICE)]
        parts += [F.pixel_shuffle(first(hidden)[:, :20], 2)]
        parts += [torch.zeros(n, 11, 2 * h, 2 * w, device=DEVICE)]
        close(first(found), torch.cat(parts, 1), torch.float32, 4 * scale)
        full = full + refinement
    out = torch.full((n, h, w, 48), 9.0, device=DEVICE)[..., 16:]
    warp_frames(pixels, motion, refinement, t, out)
    warped = [backward_warp(x, flow) for x, flow in zip(whole, flows(full, times))]
    expected = F.pixel_unshuffle(torch.cat(warped, 1) - 0.5, 2)
    zeros = torch.zeros(n, 7, h, w, device=DEVICE)
    expected = torch.cat((expected, motion[:, 4:], zeros), 1)
    close(first(out), expected, torch.float32, 4 * scale)

    correction = rand(n, h, w, 32, scale=0.1)
    change = F.pixel_shuffle(first(correction)[:, :20], 2)
    if mixed:
        sharp = [backward_warp(x, flow, "bicubic") for x, flow in zip(whole, flows(full, times))]
        mix = torch.sigmoid(change[:, 4:])
        warped = [a + mix * (b - a) for a, b in zip(warped, sharp)]
    mask = torch.sigmoid(full[:, 4:] + torch.logit(1 - times) + change[:, 3:4])
    height, width = frame.shape[2:]
    expected = (blend(*warped, mask) + change[:, :3]).clamp(0, 1)[..., :height, :width]
    pred = torch.empty_like(frame)
    compose(pixels, motion, refinement, correction, t, pred, mixed=mixed)
    assert pred.stride() == frame.stride()
    if pred.dtype == torch.uint8:
        assert (pred.float() - expected * 255).abs().max() < 0.51
    else:
        close(pred, expected, torch.float32, 4 * scale)


def flows(motion, times):
    return motion[:, 0:2] * 2 * times, motion[:, 2:4] * 2 * (1 - times)


def features_and_frames():
    for height, width, pitch, channels, scale, dtype in (
        (5, 13, 16, 12, 2.0, torch.float32),
        (8, 12, 12, 64, 60.0, torch.float32),  # far outside
        (7, 6, 8, 16, 2.0, torch.float16),
    ):
        n, t = 2, torch.tensor([0.25, 0.6], device=DEVICE)
        pair = [torch.rand(n, 3, height, width, generator=random).to(DEVICE) for _ in range(2)]
        exact = pair
        if dtype == torch.float16:
            pair = [(x * 255).to(torch.uint8) for x in pair]
            exact = [x / 255 for x in pair]
        features = rand(2 * n, height, pitch, channels, dtype=dtype)
        motion = rand(n, 5, 4, 8, scale=scale)  # of the frames, padded
        motion[:, 4] /= scale
        out = torch.full((n, height, pitch, channels + 8), 9.0, dtype=dtype, device=DEVICE)
        warp_blend(*pair, features, motion, t, out)
        times = t.view(-1, 1, 1, 1)
        full = finer(motion)[..., :height, :width]
        mask = torch.sigmoid(full[:, 4:] + torch.logit(1 - times))
        maps = [
            torch.cat((first(features)[k * n : (k + 1) * n, ..., :width].float(), exact[k]), 1)
            for k in range(2)
        ]
        expected = blend(
            backward_warp(maps[0], full[:, 0:2] * 2 * times),
            backward_warp(maps[1], full[:, 2:4] * 2 * (1 - times)),
            mask,
        )
        close(first(out)[:, : channels + 3, :, :width], expected, dtype, 4 * scale)
        assert (out[..., channels + 3 :] == 0).all() and (out[:, :, width:] == 0).all()


def detail_of_a_gpu():
    """Without a GPU, PyTorch's operators would be compared with themselves."""
    channels_last = torch.channels_last
    for height, width, scale, dtype in (
        (37, 50, 1.0, torch.uint8),
        (64, 48, 60.0, torch.float32),  # far outside
        (270, 475, 3.0, torch.uint8),
        (5, 3, 1.0, torch.float16),
    ):
        n, t = 2, torch.tensor([0.25, 0.6], device=DEVICE)
        pair = [torch.rand(n, 3, height, width, generator=random).to(DEVICE) for _ in range(2)]
        made = (0.3 + 0.4 * torch.rand(pair[0].shape, generator=random)).to(DEVICE)
        if dtype == torch.uint8:
            pair = [to_8bit(x).contiguous(memory_format=channels_last) for x in pair]
            made = made.contiguous(memory_format=channels_last)
        else:
            pair = [x.to(dtype) for x in pair]
        motion = rand(n, 5, -(-height // 16) * 8, -(-width // 16) * 8, scale=scale)
        motion[:, 4] /= scale
        energies = detail_energies(*pair)
        flows_and_mask = motion_of_energies(motion, Time.of(t), energies.shape[2:])
        expected = restore_detail(made, energies, *flows_and_mask, 0.8)
        detail = PairDetail(*pair, 0.8, fused=True)
        assert detail.grid == energies.shape[2:]
        found = detail.restored(made, *flows_and_mask, torch.float32)
        close(found, expected, torch.float32, 10)
        found = detail.restored_along(made, motion, t, torch.float32)
        close(found, expected, torch.float32, 10)
        found = detail.restored_along(made, motion, t, torch.uint8)
        assert found.dtype == torch.uint8 and found.stride() == made.stride()
        assert (found.float() - expected * 255).abs().max() < 0.53


with torch.no_grad():
    convolutions()
    if DEVICE == "cuda":
        convolutions_of_a_gpu()
        detail_of_a_gpu()
    levels()
    frames()
    features_and_frames()
print("equal")
