"""The pixels of two frames and a motion in; both frames, warped at full size, out.

Pixels are those of pixels.py, of frames that are taken as if padded by their border to
(2 h, 2 w). Activations are (N, h, w, C) as in conv.py.
"""

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
from zoomin_d2.layers.kernels.warp import bilinear, upsampled

_PIXELS = 64
FRAME_CHANNELS = 32  # 2 frames x 3 colors x 4 pixels, the mask's logit, zeros


def warp_frames(
    pixels: Tensor, motion: Tensor, refinement: Tensor | None, t: Tensor, out: Tensor
) -> Tensor:
    """Both frames, warped at full size by an upsampled motion, as channels of half the size.

    Equal to ``pixel_unshuffle(cat(backward_warp(frame, flow) of both) - 0.5, 2)``.

    Args:
        pixels: of both frames, see pixels.py.
        motion: (N, 5, h, w) float32.
        refinement: (N, 5, 2 h, 2 w) float32, added to it at full size, or None.
        t: (N,) float32.
        out: (N, h, w, 32): 24 channels of pixels, the motion's logit of the mask, zeros.
    """
    n, height, width, _ = out.shape
    launch(
        _warp_frames_kernel,
        (*tiles(height, width, _PIXELS), n),
        pixels,
        motion,
        motion if refinement is None else refinement,
        t,
        out,
        *pixels.shape[1:3],
        height,
        width,
        out.stride(2),
        scale_of(pixels),
        REFINED=refinement is not None,
        PIXELS=_PIXELS,
        num_warps=2,
    )
    return out


@triton.jit
def full_motion(motion, refinement, i: tl.constexpr, y, x, height, width, REFINED: tl.constexpr):
    """Plane i of a motion at the full-size pixels (y, x), (P,): upsampled, and refined there."""
    value = upsampled(motion + i * height * width, y, x, height, width, True)
    if i < 4:
        value *= 2  # twice the pixels on the finer grid
    if REFINED:
        value += tl.load(refinement + i * 4 * height * width + y * 2 * width + x)
    return value


@triton.jit
def _corner_motion(
    motion,
    refinement,
    i: tl.constexpr,
    y,
    x,
    row: tl.constexpr,
    column: tl.constexpr,
    height,
    width,
    REFINED: tl.constexpr,
):
    """`full_motion`, i < 4, at the full-size pixels (2 y + row, 2 x + column).

    The same numbers; but for the four corners of (y, x) together, the compiler finds that they
    share all but nine loads.
    """
    above = tl.maximum(y - 1, 0) if row == 0 else y
    below = y if row == 0 else tl.minimum(y + 1, height - 1)
    left = tl.maximum(x - 1, 0) if column == 0 else x
    right = x if column == 0 else tl.minimum(x + 1, width - 1)
    plane = motion + i * height * width
    a = tl.load(plane + above * width + left)
    b = tl.load(plane + above * width + right)
    c = tl.load(plane + below * width + left)
    d = tl.load(plane + below * width + right)
    value = bilinear(a, b, c, d, 0.75 - 0.5 * column, 0.75 - 0.5 * row)
    value *= 2  # twice the pixels on the finer grid
    if REFINED:
        plane = refinement + i * 4 * height * width
        value += tl.load(plane + (2 * y + row) * 2 * width + 2 * x + column)
    return value


@triton.jit
def moved(y, x, dy, dx, height, width):
    """Positions (y + dy, x + dx), no further than the border of a frame of (2 h, 2 w) pixels."""
    to_y = tl.minimum(tl.maximum(y + dy, 0.0), (2 * height - 1).to(tl.float32))
    to_x = tl.minimum(tl.maximum(x + dx, 0.0), (2 * width - 1).to(tl.float32))
    return to_y, to_x


@triton.jit
def sampled_colors(pixels, image, to_y, to_x, in_height, in_width, scale):
    """Three colors - 0.5, (P,) each, bilinear, of a frame's pixels at positions of `moved`."""
    left = to_x.to(tl.int32)
    top = to_y.to(tl.int32)
    over = (to_x - left)[:, None]
    down = (to_y - top)[:, None]
    right = tl.minimum(left + 1, in_width - 1)
    bottom = row_at(pixels, image, tl.minimum(top + 1, in_height - 1), in_height, in_width)
    left = tl.minimum(left, in_width - 1)
    top = row_at(pixels, image, tl.minimum(top, in_height - 1), in_height, in_width)
    a = pixel_at(top, left)
    b = pixel_at(top, right)
    c = pixel_at(bottom, left)
    d = pixel_at(bottom, right)
    return colors_of(bilinear(a, b, c, d, over, down) * scale - 0.5)


@triton.jit
def joined(g0, g1, g2, g3, g4, g5, g6, g7):
    """(P, 2, 2, 2); the last three indices are the bits of the number."""
    even = tl.join(tl.join(g0, g4), tl.join(g2, g6))
    return tl.join(even, tl.join(tl.join(g1, g5), tl.join(g3, g7)))


@triton.jit(do_not_specialize=["in_height", "in_width", "height", "width", "scale"])
def _warp_frames_kernel(
    pixels,
    motion,
    refinement,
    times,
    out,
    in_height,
    in_width,
    height,
    width,
    out_pitch,
    scale,
    REFINED: tl.constexpr,
    PIXELS: tl.constexpr,
):
    image = tl.program_id(2).to(tl.int64)
    y, x = tile_of_program(height, width, PIXELS)
    t = tl.load(times + image).to(tl.float32)
    plane = height * width
    own = motion + image * 5 * plane
    extra = refinement + image * 20 * plane
    second = image + tl.num_programs(2)
    # 2 t or 2 (1 - t) times the motion of unit time.
    t_1 = 2 * t
    t_2 = 2 * (1 - t)
    logit = tl.load(own + 4 * plane + y * width + x)
    zero = tl.zeros((PIXELS,), dtype=tl.float32)
    for row in tl.static_range(2):
        for column in tl.static_range(2):
            dx = t_1 * _corner_motion(own, extra, 0, y, x, row, column, height, width, REFINED)
            dy = t_1 * _corner_motion(own, extra, 1, y, x, row, column, height, width, REFINED)
            to_y, to_x = moved(2 * y + row, 2 * x + column, dy, dx, height, width)
            a, b, c = sampled_colors(pixels, image, to_y, to_x, in_height, in_width, scale)
            dx = t_2 * _corner_motion(own, extra, 2, y, x, row, column, height, width, REFINED)
            dy = t_2 * _corner_motion(own, extra, 3, y, x, row, column, height, width, REFINED)
            to_y, to_x = moved(2 * y + row, 2 * x + column, dy, dx, height, width)
            d, e, f = sampled_colors(pixels, second, to_y, to_x, in_height, in_width, scale)
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
    target = out + image * plane * out_pitch + ((y * width + x) * out_pitch)[:, None]
    tl.store(target + tl.arange(0, 32)[None, :], value.to(out.dtype.element_ty))
