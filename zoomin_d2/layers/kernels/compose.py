"""Warped frames and the synthesis network's correction in; the frame, 8-bit or float, out.

Frames are (N, 3, H, W) in any memory format, uint8 or float in [0, 1], and are taken as if padded
by their border to (2 h, 2 w). Activations are (N, h, w, C) as in triton_conv.py.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from zoomin_d2.layers.kernels.launch import launch
from zoomin_d2.layers.kernels.warp import upsampled

_PIXELS = 64


def compose(warped: Tensor, correction: Tensor, motion: Tensor, t: Tensor, pred: Tensor) -> Tensor:
    """Blend warped frames by their corrected mask, correct the colours, clip, crop, round.

    Equal to ``blend(warped_1, warped_2, sigmoid(upsampled logit + logit(1 - t) + correction of the
    mask)) + correction`` in [0, 1]; halves go up in 8 bit.

    Args:
        warped: (N, h, w, 32), what `warp_frames` gave.
        correction: (N, h, w, 16): of 3 colours and the mask's logit, 4 pixels each.
        motion: (N, 5, h, w) float32.
        t: (N,) float32.
        pred: (N, 3, H, W), uint8 or float, gets the frame.
    """
    n, _, out_height, out_width = pred.shape
    _, height, width, _ = warped.shape
    launch(
        _compose_kernel,
        (triton.cdiv(height * width, _PIXELS), n),
        warped,
        correction,
        motion,
        t,
        pred,
        out_height,
        out_width,
        height,
        width,
        warped.stride(2),
        correction.stride(2),
        *pred.stride(),
        AS_8BIT=pred.dtype == torch.uint8,
        PIXELS=_PIXELS,
        num_warps=2,
    )
    return pred


@triton.jit
def _four(x):
    """(P, 2, 2) -> its four (P,), the last index running fastest."""
    even, odd = tl.split(x)
    a, c = tl.split(even)
    b, d = tl.split(odd)
    return a, b, c, d


@triton.jit
def _finished(one, two, weight, correction, AS_8BIT: tl.constexpr):
    value = two + weight * (one - two) + correction + 0.5
    value = tl.minimum(tl.maximum(value, 0.0), 1.0)
    if AS_8BIT:
        value = value * 255 + 0.5
    return value


@triton.jit
def _composed(frames, corrections, logit, AS_8BIT: tl.constexpr):
    """Three colours (P,) of one of the four pixels; frames (P, 2, 2, 2), corrections (P, 2, 2)."""
    even, odd = tl.split(frames)
    r1, b1, g2, _ = _four(even)
    g1, r2, b2, _ = _four(odd)
    red, green, blue, mask = _four(corrections)
    weight = tl.sigmoid(logit + mask)
    return (
        _finished(r1, r2, weight, red, AS_8BIT),
        _finished(g1, g2, weight, green, AS_8BIT),
        _finished(b1, b2, weight, blue, AS_8BIT),
    )


@triton.jit(do_not_specialize=["out_height", "out_width", "height", "width"])
def _compose_kernel(
    warped,
    correction,
    motion,
    times,
    pred,
    out_height,
    out_width,
    height,
    width,
    warped_pitch,
    correction_pitch,
    pred_image,
    pred_colour,
    pred_row,
    pred_pixel,
    AS_8BIT: tl.constexpr,
    PIXELS: tl.constexpr,
):
    image = tl.program_id(1).to(tl.int64)
    pixel = tl.program_id(0) * PIXELS + tl.arange(0, PIXELS)
    y = pixel // width
    x = pixel % width
    mask = y < height
    t = tl.load(times + image).to(tl.float32)
    shift = tl.log((1 - t) / t)
    plane = height * width
    own = motion + (image * 5 + 4) * plane
    source = warped + image * plane * warped_pitch + (pixel * warped_pitch)[:, None]
    frames = tl.load(source + tl.arange(0, 32)[None, :], mask=mask[:, None], other=0.0)
    source = correction + image * plane * correction_pitch + (pixel * correction_pitch)[:, None]
    values = tl.load(source + tl.arange(0, 16)[None, :], mask=mask[:, None], other=0.0)
    # Split by pixel: columns, then rows.
    frames = tl.reshape(frames.to(tl.float32), (PIXELS, 2, 2, 2, 2, 2))
    values = tl.reshape(values.to(tl.float32), (PIXELS, 2, 2, 2, 2))
    frames_left, frames_right = tl.split(frames)
    values_left, values_right = tl.split(values)
    f00, f10 = tl.split(frames_left)
    f01, f11 = tl.split(frames_right)
    v00, v10 = tl.split(values_left)
    v01, v11 = tl.split(values_right)
    column = (2 * x)[:, None] + tl.arange(0, 2)[None, :]
    for row in tl.static_range(2):
        out_y = 2 * y + row
        logit_left = upsampled(own, out_y, 2 * x, height, width, mask) + shift
        logit_right = upsampled(own, out_y, 2 * x + 1, height, width, mask) + shift
        if row == 0:
            r0, g0, b0 = _composed(f00, v00, logit_left, AS_8BIT)
            r1, g1, b1 = _composed(f01, v01, logit_right, AS_8BIT)
        else:
            r0, g0, b0 = _composed(f10, v10, logit_left, AS_8BIT)
            r1, g1, b1 = _composed(f11, v11, logit_right, AS_8BIT)
        target = pred + image * pred_image + (out_y * pred_row)[:, None] + column * pred_pixel
        seen = (mask & (out_y < out_height))[:, None] & (column < out_width)
        dtype = pred.dtype.element_ty
        tl.store(target, tl.join(r0, r1).to(dtype), mask=seen)
        tl.store(target + pred_colour, tl.join(g0, g1).to(dtype), mask=seen)
        tl.store(target + 2 * pred_colour, tl.join(b0, b1).to(dtype), mask=seen)
