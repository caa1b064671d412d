"""Two frames, 8-bit or float, and a motion in; both frames, warped at full size, out.

Frames are (N, 3, H, W) in any memory format, uint8 or float in [0, 1], and are taken as if padded
by their border to (2 h, 2 w). Activations are (N, h, w, C) as in conv.py.
"""

import triton
import triton.language as tl
from torch import Tensor

from zoomin_d2.layers.kernels.frame_conv import scale_of
from zoomin_d2.layers.kernels.launch import launch
from zoomin_d2.layers.kernels.warp import bilinear, upsampled

_PIXELS = 64
FRAME_CHANNELS = 32  # 2 frames x 3 colors x 4 pixels, the mask's logit, zeros


def warp_frames(
    frame_1: Tensor,
    frame_2: Tensor,
    motion: Tensor,
    refinement: Tensor | None,
    t: Tensor,
    out: Tensor,
) -> Tensor:
    """Both frames, warped at full size by an upsampled motion, as channels of half the size.

    Equal to ``pixel_unshuffle(cat(backward_warp(frame, flow) of both) - 0.5, 2)``.

    Args:
        motion: (N, 5, h, w) float32.
        refinement: (N, 5, 2 h, 2 w) float32, added to it at full size, or None.
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
        motion if refinement is None else refinement,
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
        REFINED=refinement is not None,
        PIXELS=_PIXELS,
        num_warps=2,
    )
    return out


@triton.jit
def full_motion(
    motion, refinement, i: tl.constexpr, y, x, height, width, mask, REFINED: tl.constexpr
):
    """Plane i of a motion at the full-size pixels (y, x), (P,): upsampled, and refined there."""
    value = upsampled(motion + i * height * width, y, x, height, width, mask)
    if i < 4:
        value *= 2  # twice the pixels on the finer grid
    if REFINED:
        plane = refinement + i * 4 * height * width
        value += tl.load(plane + y * 2 * width + x, mask=mask, other=0.0)
    return value


@triton.jit
def moved(y, x, dy, dx, height, width):
    """Positions (y + dy, x + dx), no further than the border of a frame of (2 h, 2 w) pixels."""
    to_y = tl.minimum(tl.maximum(y + dy, 0.0), (2 * height - 1).to(tl.float32))
    to_x = tl.minimum(tl.maximum(x + dx, 0.0), (2 * width - 1).to(tl.float32))
    return to_y, to_x


@triton.jit
def _sample(frame, top, bottom, left, right, down, over, mask):
    """A color plane, given the offsets of two rows and two columns and the weights between."""
    a = tl.load(frame + top + left, mask=mask, other=0).to(tl.float32)
    b = tl.load(frame + top + right, mask=mask, other=0).to(tl.float32)
    c = tl.load(frame + bottom + left, mask=mask, other=0).to(tl.float32)
    d = tl.load(frame + bottom + right, mask=mask, other=0).to(tl.float32)
    return bilinear(a, b, c, d, over, down)


@triton.jit
def sampled_colors(frame, c, row, column, to_y, to_x, in_height, in_width, scale, mask):
    """Three colors - 0.5, bilinear, at positions of `moved`."""
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
def joined(g0, g1, g2, g3, g4, g5, g6, g7):
    """(P, 2, 2, 2); the last three indices are the bits of the number."""
    even = tl.join(tl.join(g0, g4), tl.join(g2, g6))
    return tl.join(even, tl.join(tl.join(g1, g5), tl.join(g3, g7)))


@triton.jit(do_not_specialize=["in_height", "in_width", "height", "width", "scale"])
def _warp_frames_kernel(
    first,
    second,
    motion,
    refinement,
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
    REFINED: tl.constexpr,
    PIXELS: tl.constexpr,
):
    image = tl.program_id(1).to(tl.int64)
    pixel = tl.program_id(0) * PIXELS + tl.arange(0, PIXELS)
    y = pixel // width
    x = pixel % width
    mask = y < height
    t = tl.load(times + image).to(tl.float32)
    own = motion + image * 5 * height * width
    extra = refinement + image * 20 * height * width
    # 2 t or 2 (1 - t) times the motion of unit time.
    t_1 = 2 * t
    t_2 = 2 * (1 - t)
    frame_1 = first + image * n1
    frame_2 = second + image * n2
    logit = tl.load(own + 4 * height * width + pixel, mask=mask, other=0.0)
    zero = tl.zeros((PIXELS,), dtype=tl.float32)
    for row in tl.static_range(2):
        for column in tl.static_range(2):
            full_y = 2 * y + row
            full_x = 2 * x + column
            dx = t_1 * full_motion(own, extra, 0, full_y, full_x, height, width, mask, REFINED)
            dy = t_1 * full_motion(own, extra, 1, full_y, full_x, height, width, mask, REFINED)
            to_y, to_x = moved(full_y, full_x, dy, dx, height, width)
            a, b, c = sampled_colors(
                frame_1, c1, y1, x1, to_y, to_x, in_height, in_width, scale, mask
            )
            dx = t_2 * full_motion(own, extra, 2, full_y, full_x, height, width, mask, REFINED)
            dy = t_2 * full_motion(own, extra, 3, full_y, full_x, height, width, mask, REFINED)
            to_y, to_x = moved(full_y, full_x, dy, dx, height, width)
            d, e, f = sampled_colors(
                frame_2, c2, y2, x2, to_y, to_x, in_height, in_width, scale, mask
            )
            if row == 0:
                if column == 0:
                    q00 = joined(a, b, c, d, e, f, logit, zero)
                else:
                    q01 = joined(a, b, c, d, e, f, zero, zero)
            else:
                if column == 0:
                    q10 = joined(a, b, c, d, e, f, zero, zero)
                else:
                    q11 = joined(a, b, c, d, e, f, zero, zero)
    value = tl.join(tl.join(q00, q10), tl.join(q01, q11))
    value = tl.reshape(value, (PIXELS, 32))
    target = out + image * height * width * out_pitch + (pixel * out_pitch)[:, None]
    target += tl.arange(0, 32)[None, :]
    tl.store(target, value.to(out.dtype.element_ty), mask=mask[:, None])
