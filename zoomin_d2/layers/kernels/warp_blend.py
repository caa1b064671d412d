"""Two frames and their features in, warped and blended as channels of one buffer out (eq. 1, 2).

Inference only. Motion is (N, 5, h, w) float32 as in generators/flow_net.py, at half the size of the
padded frames. Its upsampling, four warps and two blends are one pass; flows, sampling positions and
warped features are never written.
"""

import triton
import triton.language as tl
from torch import Tensor

from zoomin_d2.layers.kernels.launch import launch
from zoomin_d2.layers.kernels.pixels import scale_of
from zoomin_d2.layers.kernels.warp import upsampled, warped

_PIXELS = 32


def warp_blend(
    frame_1: Tensor, frame_2: Tensor, features: Tensor, motion: Tensor, t: Tensor, out: Tensor
) -> Tensor:
    """Warp and blend frames and features by the same flows and mask.

    Equal to ``blend(backward_warp(x_1, flow_1t), backward_warp(x_2, flow_2t), blend_mask)`` of the
    frames and their features.

    Args:
        frame_1, frame_2: (N, 3, H, W) in any memory format, uint8 or float in [0, 1].
        features: (2N, H, W', C) dense, of every frame_1, then of every frame_2; W' >= W.
        motion: (N, 5, h, w) float32, 2h >= H, 2w >= W.
        t: (N,) float32.
        out: (N, H, W', D) dense: channels [0, C) get the features, the next three the frame in
            [0, 1], all others and all columns from W on get zero.
    """
    n, _, height, width = frame_1.shape
    _, _, pitch, channels = features.shape
    rest = out.shape[3] - channels
    launch(
        _warp_blend_kernel,
        (triton.cdiv(height * pitch, _PIXELS), 2, n),
        frame_1,
        frame_2,
        features,
        motion,
        t,
        out,
        n,
        height,
        width,
        pitch,
        *motion.shape[2:],
        *frame_1.stride(),
        *frame_2.stride(),
        scale_of(frame_1),
        CHANNELS=channels,
        TOTAL=out.shape[3],
        WIDE=triton.next_power_of_2(channels),
        NARROW=triton.next_power_of_2(rest),
        PIXELS=_PIXELS,
    )
    return out


@triton.jit(
    do_not_specialize=["n", "height", "width", "pitch", "half_height", "half_width", "scale"]
)
def _warp_blend_kernel(
    first,
    second,
    features,
    motion,
    times,
    out,
    n,
    height,
    width,
    pitch,
    half_height,
    half_width,
    n1,
    c1,
    y1,
    x1,
    n2,
    c2,
    y2,
    x2,
    scale,
    CHANNELS: tl.constexpr,
    TOTAL: tl.constexpr,
    WIDE: tl.constexpr,
    NARROW: tl.constexpr,
    PIXELS: tl.constexpr,
):
    image = tl.program_id(2).to(tl.int64)
    pixel = tl.program_id(0) * PIXELS + tl.arange(0, PIXELS)
    y = pixel // pitch
    x = pixel % pitch
    inside = y < height
    seen = inside & (x < width)
    t = tl.load(times + image).to(tl.float32)
    own = motion + image * 5 * half_height * half_width
    other = own + 2 * half_height * half_width
    # Twice the pixels on the finer grid, and 2 t or 2 (1 - t) times the motion of unit time.
    t_1 = 4 * t
    t_2 = 4 * (1 - t)
    logit = upsampled(
        own + 4 * half_height * half_width, y, x, half_height, half_width, seen
    ) + tl.log((1 - t) / t)
    weight = tl.sigmoid(logit)[:, None]
    target = out + image * height * pitch * TOTAL + (pixel.to(tl.int64) * TOTAL)[:, None]
    # The two branches share no name: their shapes differ.
    if tl.program_id(1) == 0:
        channel = tl.arange(0, WIDE)[None, :]
        mask = seen[:, None] & (channel < CHANNELS)
        row = pitch.to(tl.int64) * CHANNELS  # many pixels times many channels
        source = features + image * height * row
        one = warped(
            source,
            row,
            CHANNELS,
            channel,
            own,
            t_1,
            y,
            x,
            height,
            width,
            half_height,
            half_width,
            seen,
            mask,
        )
        two = warped(
            source + n * height * row,
            row,
            CHANNELS,
            channel,
            other,
            t_2,
            y,
            x,
            height,
            width,
            half_height,
            half_width,
            seen,
            mask,
        )
        value = two + weight * (one - two)
        tl.store(
            target + channel,
            value.to(out.dtype.element_ty),
            mask=inside[:, None] & (channel < CHANNELS),
        )
    else:
        color = tl.arange(0, NARROW)[None, :]
        shown = seen[:, None] & (color < 3)
        frame_1 = warped(
            first + image * n1,
            y1,
            x1,
            color * c1,
            own,
            t_1,
            y,
            x,
            height,
            width,
            half_height,
            half_width,
            seen,
            shown,
        )
        frame_2 = warped(
            second + image * n2,
            y2,
            x2,
            color * c2,
            other,
            t_2,
            y,
            x,
            height,
            width,
            half_height,
            half_width,
            seen,
            shown,
        )
        frame = scale * (frame_2 + weight * (frame_1 - frame_2))
        tl.store(
            target + CHANNELS + color,
            frame.to(out.dtype.element_ty),
            mask=inside[:, None] & (CHANNELS + color < TOTAL),
        )
