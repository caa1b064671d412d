"""Two frames, 8-bit or float, and a motion in; both frames, warped at full size, out.

Frames are (N, 3, H, W) in any memory format, uint8 or float in [0, 1], and are taken as if padded
by their border to (2 h, 2 w). Activations are (N, h, w, C) as in triton_conv.py.
"""

import triton
import triton.language as tl
from torch import Tensor

from zoomin_d2.layers.kernels.frame_conv import scale_of
from zoomin_d2.layers.kernels.launch import launch
from zoomin_d2.layers.kernels.warp import bilinear, upsampled

_PIXELS = 64
FRAME_CHANNELS = 32  # 2 frames x 3 colours x 4 pixels, the mask's logit, zeros


def warp_frames(frame_1: Tensor, frame_2: Tensor, motion: Tensor, t: Tensor, out: Tensor) -> Tensor:
    """Both frames, warped at full size by an upsampled motion, as channels of half the size.

    Equal to ``pixel_unshuffle(cat(backward_warp(frame, flow) of both) - 0.5, 2)``.

    Args:
        motion: (N, 5, h, w) float32.
        t: (N,) float32.
        out: (N, h, w, 32): 24 channels of pixels, the motion's logit of the mask, zeros.
    """
    n, _, in_height, in_width = frame_1.shape
    _, height, width, _ = out.shape
    launch(
        _warp_frames_kernel,
        (triton.cdiv(height * width, _PIXELS), n),
        frame_1,
        frame_2,
        motion,
        t,
        out,
        in_height,
        in_width,
        height,
        width,
        *frame_1.stride(),
        *frame_2.stride(),
        out.stride(2),
        scale_of(frame_1),
        PIXELS=_PIXELS,
        num_warps=2,
    )
    return out


@triton.jit
def _sample(frame, top, bottom, left, right, down, over, mask):
    """A colour plane, given the offsets of two rows and two columns and the weights between."""
    a = tl.load(frame + top + left, mask=mask, other=0).to(tl.float32)
    b = tl.load(frame + top + right, mask=mask, other=0).to(tl.float32)
    c = tl.load(frame + bottom + left, mask=mask, other=0).to(tl.float32)
    d = tl.load(frame + bottom + right, mask=mask, other=0).to(tl.float32)
    return bilinear(a, b, c, d, over, down)


@triton.jit
def _sample_frame(
    frame, c, row, column, motion, factor, y, x, in_height, in_width, height, width, scale, mask
):
    """Three colours - 0.5 at the full-size pixels (y, x), moved by motion's first two planes."""
    to_x = x + factor * upsampled(motion, y, x, height, width, mask)
    to_y = y + factor * upsampled(motion + height * width, y, x, height, width, mask)
    to_x = tl.minimum(tl.maximum(to_x, 0.0), (2 * width - 1).to(tl.float32))
    to_y = tl.minimum(tl.maximum(to_y, 0.0), (2 * height - 1).to(tl.float32))
    left = to_x.to(tl.int32)
    top = to_y.to(tl.int32)
    over = to_x - left
    down = to_y - top
    right = tl.minimum(left + 1, in_width - 1) * column
    bottom = tl.minimum(top + 1, in_height - 1) * row
    left = tl.minimum(left, in_width - 1) * column
    top = tl.minimum(top, in_height - 1) * row
    red = _sample(frame, top, bottom, left, right, down, over, mask)
    green = _sample(frame + c, top, bottom, left, right, down, over, mask)
    blue = _sample(frame + 2 * c, top, bottom, left, right, down, over, mask)
    return red * scale - 0.5, green * scale - 0.5, blue * scale - 0.5


@triton.jit
def _joined(g0, g1, g2, g3, g4, g5, g6, g7):
    """(P, 2, 2, 2) whose last three indices are the bits of the number."""
    even = tl.join(tl.join(g0, g4), tl.join(g2, g6))
    return tl.join(even, tl.join(tl.join(g1, g5), tl.join(g3, g7)))


@triton.jit(do_not_specialize=["in_height", "in_width", "height", "width", "scale"])
def _warp_frames_kernel(
    first,
    second,
    motion,
    times,
    out,
    in_height,
    in_width,
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
    out_pitch,
    scale,
    PIXELS: tl.constexpr,
):
    image = tl.program_id(1).to(tl.int64)
    pixel = tl.program_id(0) * PIXELS + tl.arange(0, PIXELS)
    y = pixel // width
    x = pixel % width
    mask = y < height
    t = tl.load(times + image).to(tl.float32)
    own = motion + image * 5 * height * width
    other = own + 2 * height * width
    # Twice the pixels on the finer grid, and 2 t or 2 (1 - t) of what unit time moves.
    t_1 = 4 * t
    t_2 = 4 * (1 - t)
    frame_1 = first + image * n1
    frame_2 = second + image * n2
    logit = tl.load(own + 4 * height * width + pixel, mask=mask, other=0.0)
    zero = tl.zeros((PIXELS,), dtype=tl.float32)
    for row in tl.static_range(2):
        for column in tl.static_range(2):
            a, b, c = _sample_frame(
                frame_1,
                c1,
                y1,
                x1,
                own,
                t_1,
                2 * y + row,
                2 * x + column,
                in_height,
                in_width,
                height,
                width,
                scale,
                mask,
            )
            d, e, f = _sample_frame(
                frame_2,
                c2,
                y2,
                x2,
                other,
                t_2,
                2 * y + row,
                2 * x + column,
                in_height,
                in_width,
                height,
                width,
                scale,
                mask,
            )
            if row == 0:
                if column == 0:
                    q00 = _joined(a, b, c, d, e, f, logit, zero)
                else:
                    q01 = _joined(a, b, c, d, e, f, zero, zero)
            else:
                if column == 0:
                    q10 = _joined(a, b, c, d, e, f, zero, zero)
                else:
                    q11 = _joined(a, b, c, d, e, f, zero, zero)
    value = tl.join(tl.join(q00, q10), tl.join(q01, q11))
    value = tl.reshape(value, (PIXELS, 32))
    target = out + image * height * width * out_pitch + (pixel * out_pitch)[:, None]
    target += tl.arange(0, 32)[None, :]
    tl.store(target, value.to(out.dtype.element_ty), mask=mask[:, None])
