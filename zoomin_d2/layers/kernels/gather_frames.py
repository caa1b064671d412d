"""Everything that a decoder at full size reads, in one kernel; inference only.

Pixels are those of pixels.py, of frames that are taken as if padded by their border to
(2 h, 2 w). Motion and hidden are as in warp.py.
"""

import triton
import triton.language as tl
from torch import Tensor

from zoomin_d2.layers.kernels.launch import launch
from zoomin_d2.layers.kernels.pixels import scale_of, tile_of_program, tiles
from zoomin_d2.layers.kernels.warp_frames import full_motion, joined, moved, sampled_colors

_PIXELS = 128
HIDDEN_SLOT = 16  # of the first channel of hidden; colors, motion and time come before it


def gather_frames(pixels: Tensor, motion: Tensor, hidden: Tensor, t: Tensor, out: Tensor) -> Tensor:
    """Write warped colors, motion, t - 0.5 and hidden into the channels of one full-size buffer.

    Equal to ``backward_warp`` of both frames - 0.5 by the flows of the upsampled motion, and
    ``F.pixel_shuffle`` of hidden.

    Args:
        pixels: of both frames, see pixels.py.
        motion: (N, 5, h, w) float32.
        hidden: (N, h, w, 4 C).
        t: (N,) float32.
        out: (N, 2 h, 2 w, D): channels [0, 6) get frame_1's and frame_2's colors, [6, 11) the
            motion, 11 t - 0.5, [12, 16) zeros, those from 16 on hidden (C) and zeros.
    """
    n, _, height, width = motion.shape
    rest = out.shape[3] - HIDDEN_SLOT
    launch(
        _gather_frames_kernel,
        (*tiles(2 * height, 2 * width, _PIXELS), n),
        pixels,
        motion,
        hidden,
        t,
        out,
        *pixels.shape[1:3],
        height,
        width,
        hidden.stride(2),
        out.stride(2),
        scale_of(pixels),
        HIDDEN=hidden.shape[3] // 4,
        SLOT=HIDDEN_SLOT,
        REST=rest,
        NARROW=triton.next_power_of_2(rest),
        PIXELS=_PIXELS,
        num_warps=4,
    )
    return out


@triton.jit(do_not_specialize=["in_height", "in_width", "height", "width", "scale"])
def _gather_frames_kernel(
    pixels,
    motion,
    hidden,
    times,
    out,
    in_height,
    in_width,
    height,
    width,
    hidden_pitch,
    out_pitch,
    scale,
    HIDDEN: tl.constexpr,
    SLOT: tl.constexpr,
    REST: tl.constexpr,
    NARROW: tl.constexpr,
    PIXELS: tl.constexpr,
):
    image = tl.program_id(2).to(tl.int64)
    y, x = tile_of_program(2 * height, 2 * width, PIXELS)
    t = tl.load(times + image).to(tl.float32)
    plane = height * width
    target = out + image * 4 * plane * out_pitch + ((y * 2 * width + x) * out_pitch)[:, None]
    slot = tl.arange(0, NARROW)
    below = hidden + image * plane * hidden_pitch
    below += (((y >> 1) * width + (x >> 1)) * hidden_pitch + (y & 1) * 2 + (x & 1))[:, None]
    value = tl.load(below + (4 * slot)[None, :], mask=(slot < HIDDEN)[None, :], other=0.0)
    tl.store(
        target + (SLOT + slot)[None, :],
        value.to(out.dtype.element_ty),
        mask=(slot < REST)[None, :],
    )
    own = motion + image * 5 * plane
    m0 = full_motion(own, own, 0, y, x, height, width, False)
    m1 = full_motion(own, own, 1, y, x, height, width, False)
    m2 = full_motion(own, own, 2, y, x, height, width, False)
    m3 = full_motion(own, own, 3, y, x, height, width, False)
    m4 = full_motion(own, own, 4, y, x, height, width, False)
    second = image + tl.num_programs(2)
    # 2 t or 2 (1 - t) times the motion of unit time.
    to_y, to_x = moved(y, x, 2 * t * m1, 2 * t * m0, height, width)
    r1, g1, b1 = sampled_colors(pixels, image, to_y, to_x, in_height, in_width, scale)
    to_y, to_x = moved(y, x, 2 * (1 - t) * m3, 2 * (1 - t) * m2, height, width)
    r2, g2, b2 = sampled_colors(pixels, second, to_y, to_x, in_height, in_width, scale)
    zero = tl.zeros((PIXELS,), dtype=tl.float32)
    # The last index of a join runs fastest: even channels first, then odd ones.
    even = joined(r1, b1, g2, m0, m2, m4, zero, zero)
    odd = joined(g1, r2, b2, m1, m3, zero + (t - 0.5), zero, zero)
    value = tl.reshape(tl.join(even, odd), (PIXELS, SLOT))
    tl.store(target + tl.arange(0, SLOT)[None, :], value.to(out.dtype.element_ty))
