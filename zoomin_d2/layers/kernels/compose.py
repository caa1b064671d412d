"""Two frames, their motion and the synthesis network's correction in; the frame between them out.

Frames are (N, 3, H, W) in any memory format, uint8 or float in [0, 1], and are taken as if padded
by their border to (2 h, 2 w). Activations are (N, h, w, C) as in conv.py. The frames are sampled
once more: nothing warped is kept at full size in more than 16 bits, or read again.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from zoomin_d2.layers.kernels.frame_conv import scale_of
from zoomin_d2.layers.kernels.launch import launch
from zoomin_d2.layers.kernels.warp import bilinear
from zoomin_d2.layers.kernels.warp_frames import full_motion, moved

_PIXELS = 128


def compose(
    frame_1: Tensor,
    frame_2: Tensor,
    motion: Tensor,
    refinement: Tensor | None,
    correction: Tensor,
    t: Tensor,
    pred: Tensor,
    *,
    mixed: bool,
) -> Tensor:
    """Warp both frames, blend them by the corrected mask, correct the colors, clip, crop, round.

    Equal to ``blend(warped_1, warped_2, sigmoid(logit of the full-size motion + logit(1 - t) +
    correction of the mask)) + correction`` in [0, 1]; for 8 bits, halves are rounded up.

    Args:
        frame_1, frame_2: (N, 3, H, W).
        motion: (N, 5, h, w) float32.
        refinement: (N, 5, 2 h, 2 w) float32, added to it at full size, or None.
        correction: (N, h, w, C): of 3 colors, the mask's logit and, if ``mixed``, the logit of how
            bicubic the warp is, 4 pixels each.
        t: (N,) float32.
        pred: like the frames; gets the result.
        mixed: warp bilinearly and bicubically, and mix the two.
    """
    n, _, out_height, out_width = pred.shape
    _, height, width, _ = correction.shape
    launch(
        _compose_kernel,
        (triton.cdiv(out_height * out_width, _PIXELS), n),
        frame_1,
        frame_2,
        motion,
        motion if refinement is None else refinement,
        correction,
        t,
        pred,
        out_height,
        out_width,
        height,
        width,
        *frame_1.stride(),
        *frame_2.stride(),
        *pred.stride(),
        correction.stride(2),
        scale_of(frame_1),
        REFINED=refinement is not None,
        MIXED=mixed,
        AS_8BIT=pred.dtype == torch.uint8,
        PIXELS=_PIXELS,
        num_warps=4,
    )
    return pred


@triton.jit
def _cubic_weights(f):
    """Keys's kernel, a = -0.75, for the four pixels around a position that is f from the second."""
    a: tl.constexpr = -0.75
    g = 1 - f
    before = ((a * (f + 1) - 5 * a) * (f + 1) + 8 * a) * (f + 1) - 4 * a
    left = ((a + 2) * f - (a + 3)) * f * f + 1
    right = ((a + 2) * g - (a + 3)) * g * g + 1
    after = ((a * (g + 1) - 5 * a) * (g + 1) + 8 * a) * (g + 1) - 4 * a
    return before, left, right, after


@triton.jit
def _cubic_row(row, x0, x1, x2, x3, w0, w1, w2, w3, mask):
    """Four pixels of a row, summed with weights, and its two in the middle."""
    a = tl.load(row + x0, mask=mask, other=0).to(tl.float32)
    b = tl.load(row + x1, mask=mask, other=0).to(tl.float32)
    c = tl.load(row + x2, mask=mask, other=0).to(tl.float32)
    d = tl.load(row + x3, mask=mask, other=0).to(tl.float32)
    return w0 * a + w1 * b + w2 * c + w3 * d, b, c


@triton.jit
def _warped_color(
    plane,
    to_y,
    to_x,
    row,
    column,
    in_height,
    in_width,
    mix,
    mask,
    MIXED: tl.constexpr,
):
    """A color plane (with its strides) at positions (to_y, to_x) inside the frame."""
    left = to_x.to(tl.int32)
    top = to_y.to(tl.int32)
    over = to_x - left
    down = to_y - top
    x1 = tl.minimum(left, in_width - 1) * column
    x2 = tl.minimum(left + 1, in_width - 1) * column
    y1 = tl.minimum(top, in_height - 1) * row
    y2 = tl.minimum(top + 1, in_height - 1) * row
    if MIXED:
        x0 = tl.minimum(tl.maximum(left - 1, 0), in_width - 1) * column
        x3 = tl.minimum(left + 2, in_width - 1) * column
        y0 = tl.minimum(tl.maximum(top - 1, 0), in_height - 1) * row
        y3 = tl.minimum(top + 2, in_height - 1) * row
        w0, w1, w2, w3 = _cubic_weights(over)
        v0, v1, v2, v3 = _cubic_weights(down)
        r0, _, _ = _cubic_row(plane + y0, x0, x1, x2, x3, w0, w1, w2, w3, mask)
        r1, a, b = _cubic_row(plane + y1, x0, x1, x2, x3, w0, w1, w2, w3, mask)
        r2, c, d = _cubic_row(plane + y2, x0, x1, x2, x3, w0, w1, w2, w3, mask)
        r3, _, _ = _cubic_row(plane + y3, x0, x1, x2, x3, w0, w1, w2, w3, mask)
        value = bilinear(a, b, c, d, over, down)
        value += mix * (v0 * r0 + v1 * r1 + v2 * r2 + v3 * r3 - value)
    else:
        a = tl.load(plane + y1 + x1, mask=mask, other=0).to(tl.float32)
        b = tl.load(plane + y1 + x2, mask=mask, other=0).to(tl.float32)
        c = tl.load(plane + y2 + x1, mask=mask, other=0).to(tl.float32)
        d = tl.load(plane + y2 + x2, mask=mask, other=0).to(tl.float32)
        value = bilinear(a, b, c, d, over, down)
    return value


@triton.jit(do_not_specialize=["out_height", "out_width", "height", "width", "scale"])
def _compose_kernel(
    first,
    second,
    motion,
    refinement,
    correction,
    times,
    pred,
    out_height,
    out_width,
    height,
    width,
    n1,
    c1,
    y1,
    x1,
    n2,
    c2,
    y2,
    x2,
    pred_image,
    pred_color,
    pred_row,
    pred_pixel,
    correction_pitch,
    scale,
    REFINED: tl.constexpr,
    MIXED: tl.constexpr,
    AS_8BIT: tl.constexpr,
    PIXELS: tl.constexpr,
):
    image = tl.program_id(1).to(tl.int64)
    pixel = tl.program_id(0) * PIXELS + tl.arange(0, PIXELS)
    y = pixel // out_width
    x = pixel % out_width
    mask = y < out_height
    t = tl.load(times + image).to(tl.float32)
    plane = height * width
    own = motion + image * 5 * plane
    extra = refinement + image * 20 * plane
    # 2 t or 2 (1 - t) times the motion of unit time.
    dx = 2 * t * full_motion(own, extra, 0, y, x, height, width, mask, REFINED)
    dy = 2 * t * full_motion(own, extra, 1, y, x, height, width, mask, REFINED)
    to_y_1, to_x_1 = moved(y, x, dy, dx, height, width)
    dx = 2 * (1 - t) * full_motion(own, extra, 2, y, x, height, width, mask, REFINED)
    dy = 2 * (1 - t) * full_motion(own, extra, 3, y, x, height, width, mask, REFINED)
    to_y_2, to_x_2 = moved(y, x, dy, dx, height, width)
    logit = full_motion(own, extra, 4, y, x, height, width, mask, REFINED)
    # Channels of the correction: (output, row, column).
    source = correction + image * plane * correction_pitch
    source += ((y // 2) * width + x // 2) * correction_pitch + (y % 2) * 2 + x % 2
    logit += tl.log((1 - t) / t) + tl.load(source + 12, mask=mask, other=0.0).to(tl.float32)
    weight = tl.sigmoid(logit)
    mix = weight
    if MIXED:
        mix = tl.sigmoid(tl.load(source + 16, mask=mask, other=0.0).to(tl.float32))
    one = first + image * n1
    two = second + image * n2
    target = pred + image * pred_image + y * pred_row + x * pred_pixel
    for color in tl.static_range(3):
        a = _warped_color(
            one + color * c1, to_y_1, to_x_1, y1, x1, out_height, out_width, mix, mask, MIXED
        )
        b = _warped_color(
            two + color * c2, to_y_2, to_x_2, y2, x2, out_height, out_width, mix, mask, MIXED
        )
        value = scale * (b + weight * (a - b))
        value += tl.load(source + 4 * color, mask=mask, other=0.0).to(tl.float32)
        value = tl.minimum(tl.maximum(value, 0.0), 1.0)
        if AS_8BIT:
            value = value * 255 + 0.5
        tl.store(target + color * pred_color, value.to(pred.dtype.element_ty), mask=mask)
