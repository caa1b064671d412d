"""Pixels of two frames, their motion and the synthesis network's correction in; the frame between
them out.

Pixels are those of pixels.py, of frames that are taken as if padded by their border to
(2 h, 2 w). Activations are (N, h, w, C) as in conv.py. The frames are sampled once more: nothing
warped is kept at full size in more than 16 bits, or read again.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from zoomin_d2.layers.kernels.launch import launch
from zoomin_d2.layers.kernels.pixels import (
    colors_of,
    pixel_at,
    row_at,
    scale_of,
    tile_of_program,
    tiles,
)
from zoomin_d2.layers.kernels.warp import bilinear
from zoomin_d2.layers.kernels.warp_frames import full_motion, moved

_PIXELS = 128


def compose(
    pixels: Tensor,
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
        pixels: of both frames, see pixels.py.
        motion: (N, 5, h, w) float32.
        refinement: (N, 5, 2 h, 2 w) float32, added to it at full size, or None.
        correction: (N, h, w, C): of 3 colors, the mask's logit and, if ``mixed``, the logit of how
            bicubic the warp is, 4 pixels each.
        t: (N,) float32.
        pred: (N, 3, H, W) in any memory format; gets the result.
        mixed: warp bilinearly and bicubically, and mix the two.
    """
    n, _, out_height, out_width = pred.shape
    _, height, width, _ = correction.shape
    launch(
        _compose_kernel,
        (*tiles(out_height, out_width, _PIXELS), n),
        pixels,
        motion,
        motion if refinement is None else refinement,
        correction,
        t,
        pred,
        out_height,
        out_width,
        height,
        width,
        *pred.stride(),
        correction.stride(2),
        scale_of(pixels),
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
def _cubic_row(row, x0, x1, x2, x3, w0, w1, w2, w3):
    """Four pixels of a row, summed with weights, and its two in the middle."""
    a = pixel_at(row, x0)
    b = pixel_at(row, x1)
    c = pixel_at(row, x2)
    d = pixel_at(row, x3)
    return w0 * a + w1 * b + w2 * c + w3 * d, b, c


@triton.jit
def _warped(pixels, image, to_y, to_x, height, width, mix, MIXED: tl.constexpr):
    """(P, 4), a frame's pixels at positions (to_y, to_x) (P,) inside the padded frame."""
    left = to_x.to(tl.int32)
    top = to_y.to(tl.int32)
    over = (to_x - left)[:, None]
    down = (to_y - top)[:, None]
    x1 = tl.minimum(left, width - 1)
    x2 = tl.minimum(left + 1, width - 1)
    y1 = row_at(pixels, image, tl.minimum(top, height - 1), height, width)
    y2 = row_at(pixels, image, tl.minimum(top + 1, height - 1), height, width)
    if MIXED:
        x0 = tl.minimum(tl.maximum(left - 1, 0), width - 1)
        x3 = tl.minimum(left + 2, width - 1)
        y0 = row_at(pixels, image, tl.minimum(tl.maximum(top - 1, 0), height - 1), height, width)
        y3 = row_at(pixels, image, tl.minimum(top + 2, height - 1), height, width)
        w0, w1, w2, w3 = _cubic_weights(over)
        v0, v1, v2, v3 = _cubic_weights(down)
        r0, _, _ = _cubic_row(y0, x0, x1, x2, x3, w0, w1, w2, w3)
        r1, a, b = _cubic_row(y1, x0, x1, x2, x3, w0, w1, w2, w3)
        r2, c, d = _cubic_row(y2, x0, x1, x2, x3, w0, w1, w2, w3)
        r3, _, _ = _cubic_row(y3, x0, x1, x2, x3, w0, w1, w2, w3)
        value = bilinear(a, b, c, d, over, down)
        value += mix * (v0 * r0 + v1 * r1 + v2 * r2 + v3 * r3 - value)
    else:
        a = pixel_at(y1, x1)
        b = pixel_at(y1, x2)
        c = pixel_at(y2, x1)
        d = pixel_at(y2, x2)
        value = bilinear(a, b, c, d, over, down)
    return value


@triton.jit
def _store_color(target, value, correction, AS_8BIT: tl.constexpr):
    value += tl.load(correction).to(tl.float32)
    # What is not a number stays so, for those who look for it.
    value = tl.maximum(value, 0.0, propagate_nan=tl.PropagateNan.ALL)
    value = tl.minimum(value, 1.0, propagate_nan=tl.PropagateNan.ALL)
    if AS_8BIT:
        value = value * 255 + 0.5
    tl.store(target, value.to(target.dtype.element_ty))


@triton.jit(do_not_specialize=["out_height", "out_width", "height", "width", "scale"])
def _compose_kernel(
    pixels,
    motion,
    refinement,
    correction,
    times,
    pred,
    out_height,
    out_width,
    height,
    width,
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
    image = tl.program_id(2).to(tl.int64)
    y, x = tile_of_program(out_height, out_width, PIXELS)
    t = tl.load(times + image).to(tl.float32)
    plane = height * width
    own = motion + image * 5 * plane
    extra = refinement + image * 20 * plane
    # 2 t or 2 (1 - t) times the motion of unit time.
    dx = 2 * t * full_motion(own, extra, 0, y, x, height, width, REFINED)
    dy = 2 * t * full_motion(own, extra, 1, y, x, height, width, REFINED)
    to_y_1, to_x_1 = moved(y, x, dy, dx, height, width)
    dx = 2 * (1 - t) * full_motion(own, extra, 2, y, x, height, width, REFINED)
    dy = 2 * (1 - t) * full_motion(own, extra, 3, y, x, height, width, REFINED)
    to_y_2, to_x_2 = moved(y, x, dy, dx, height, width)
    logit = full_motion(own, extra, 4, y, x, height, width, REFINED)
    # Channels of the correction: (output, row, column).
    source = correction + image * plane * correction_pitch
    source += ((y >> 1) * width + (x >> 1)) * correction_pitch + (y & 1) * 2 + (x & 1)
    logit += tl.log((1 - t) / t) + tl.load(source + 12).to(tl.float32)
    weight = tl.sigmoid(logit)
    mix = weight
    if MIXED:
        mix = tl.sigmoid(tl.load(source + 16).to(tl.float32))
    second = image + tl.num_programs(2)
    a = _warped(pixels, image, to_y_1, to_x_1, out_height, out_width, mix[:, None], MIXED)
    b = _warped(pixels, second, to_y_2, to_x_2, out_height, out_width, mix[:, None], MIXED)
    red, green, blue = colors_of(scale * (b + weight[:, None] * (a - b)))
    target = pred + image * pred_image + y * pred_row + x * pred_pixel
    _store_color(target, red, source, AS_8BIT)
    _store_color(target + pred_color, green, source + 4, AS_8BIT)
    _store_color(target + 2 * pred_color, blue, source + 8, AS_8BIT)
