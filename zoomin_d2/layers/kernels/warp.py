"""Everything that a level of a coarse-to-fine network reads, in one kernel; inference only.

Motion is (N, 5, h / 2, w / 2) float32 as in generators/motion_decoder.py. Its upsampling, the warps
of both frames' features, pixel shuffling and the concatenation are one pass: flows and sampling
positions are never written.
"""

import functools

import torch
import triton
import triton.language as tl
from torch import Tensor

from zoomin_d2.layers.kernels.launch import launch
from zoomin_d2.layers.kernels.nvrtc import (
    CudaKernel,
    compute_capability,
    follow_each_other,
    on_16_bytes,
)

_MANY_PIXELS = 2**17  # enough to give every thread of a GPU one


def gather_level(
    features: Tensor,
    motion: Tensor | None,
    hidden: Tensor | None,
    t: Tensor,
    out: Tensor,
    first: int,
    last: int,
) -> Tensor | None:
    """Write warped features, hidden, motion and t - 0.5 into the channels of one buffer.

    Equal to ``backward_warp`` of both frames' features by the flows of the motion, upsampled to
    this grid, and ``F.pixel_shuffle`` of hidden.

    Args:
        features: (2N, h, w, C), of every frame_1, then of every frame_2; not warped.
        motion: (N, 5, h / 2, w / 2) float32 of the level below; None: features are copied, motion
            is zero.
        hidden: (N, h / 2, w / 2, 4 C') of the level below, or None.
        t: (N,) float32.
        out: (N, h, w, D): channels [0, first) get frame_1's features, [first, 2 * first)
            frame_2's, those from ``last`` on hidden (C'), motion (5), t - 0.5 and zeros. Of the
            channels between, the last 8 get zeros, and the others stay unchanged.

    Returns:
        the motion on this grid, (N, 5, h, w) float32, or None.
    """
    n, height, width, total = out.shape
    finer = None
    if motion is not None:
        finer = torch.empty(n, 5, height, width, dtype=torch.float32, device=out.device)
    shuffled = 0 if hidden is None else hidden.shape[3] // 4
    start = last - 8 if last > 2 * first else last
    given = [features if x is None else x for x in (features, motion, hidden, t, out, finer)]
    pitches = [0 if x is None else x.stride(2) for x in (features, hidden, out)]
    if _fits_cuda(features, motion, hidden, t, out, first, last):
        many = n * height * width >= _MANY_PIXELS
        warp = motion is not None
        kernel = _cuda_kernel(first, start, last, total, shuffled, warp, many, out.dtype)
        rows, columns = kernel.constants["ROWS"], kernel.constants["COLUMNS"]
        ends = triton.cdiv(shuffled % 8 + 6, 8)
        launch(
            kernel,
            (triton.cdiv(width, columns), triton.cdiv(height, rows), n),
            *given,
            n,
            height,
            width,
            *(pitch // 8 for pitch in pitches),
            threads=kernel.constants["THREADS"],
            shared=16 * rows * columns * (2 + ends),
        )
        return finer
    # More would not fit the registers.
    pixels = 16 if first > 48 or total - start > 32 else 32
    launch(
        _gather_kernel,
        (triton.cdiv(height * width, pixels), 3, n),
        *given,
        n,
        height,
        width,
        *pitches,
        CHANNELS=first,
        HIDDEN=shuffled,
        START=start,
        TAIL=last - start,
        TOTAL=total,
        WARP=motion is not None,
        PIXELS=pixels,
        WIDE=triton.next_power_of_2(first),
        NARROW=triton.next_power_of_2(total - start),
    )
    return finer


def _fits_cuda(
    features: Tensor,
    motion: Tensor | None,
    hidden: Tensor | None,
    t: Tensor,
    out: Tensor,
    first: int,
    last: int,
) -> bool:
    """Whether cuda/gather_level.cu can be used: 16-bit numbers, eight of them on 16 bytes."""
    _, height, width, total = out.shape
    if compute_capability(out) < 80 or out.dtype not in (torch.float16, torch.bfloat16):
        return False
    if any(x is not None for x in (motion, hidden)) and (height % 2 or width % 2):
        return False
    if t.dtype != torch.float32 or not t.is_contiguous():
        return False
    if motion is not None and (motion.dtype != torch.float32 or not motion.is_contiguous()):
        return False
    channels = 0 if hidden is None else hidden.shape[3] // 4
    return (
        all(x % 8 == 0 for x in (first, last, total))
        and 0 < 2 * first <= last <= total - channels - 6
        and all(
            x.dtype == out.dtype
            and on_16_bytes(x)
            and follow_each_other(x)
            and x.shape[0] * x.stride(0) < 2**34  # 32 bits count in eights
            for x in (features, out, hidden)
            if x is not None
        )
    )


@functools.cache
def _cuda_kernel(
    first: int,
    start: int,
    last: int,
    total: int,
    hidden: int,
    warp: bool,
    many: bool,
    dtype: torch.dtype,
) -> CudaKernel:
    # Where there are few pixels, four threads share one, so that all of a GPU's have work.
    rows, columns, threads = (8, 16, 128) if many else (8, 8, 256)
    return CudaKernel(
        "gather_level",
        FIRST=first,
        START=start,
        LAST=last,
        TOTAL=total,
        HIDDEN=hidden,
        WARP=int(warp),
        ROWS=rows,
        COLUMNS=columns,
        THREADS=threads,
        BLOCKS=1024 // threads,
        BATCH=2 if warp else 6,
        BFLOAT16=int(dtype == torch.bfloat16),
    )


@triton.jit
def bilinear(a, b, c, d, over, down):
    """Between the four neighbors: a, b above, c, d below."""
    return (a * (1 - over) + b * over) * (1 - down) + (c * (1 - over) + d * over) * down


@triton.jit
def upsampled(plane, y, x, half_height, half_width, inside):
    """A plane of half the size, bilinear (align_corners=False) at the pixels (y, x) of this one."""
    odd_y = y & 1
    odd_x = x & 1
    above = tl.maximum((y >> 1) - 1 + odd_y, 0)
    below = tl.minimum((y >> 1) + odd_y, half_height - 1)
    left = tl.maximum((x >> 1) - 1 + odd_x, 0)
    right = tl.minimum((x >> 1) + odd_x, half_width - 1)
    down = 0.75 - 0.5 * odd_y.to(tl.float32)
    over = 0.75 - 0.5 * odd_x.to(tl.float32)
    a = tl.load(plane + above * half_width + left, mask=inside, other=0.0)
    b = tl.load(plane + above * half_width + right, mask=inside, other=0.0)
    c = tl.load(plane + below * half_width + left, mask=inside, other=0.0)
    d = tl.load(plane + below * half_width + right, mask=inside, other=0.0)
    return bilinear(a, b, c, d, over, down)


@triton.jit
def warped(
    source,
    row,
    column,
    at,
    motion,
    factor,
    y,
    x,
    height,
    width,
    half_height,
    half_width,
    inside,
    mask,
):
    """(P, C) float32 of a map at its pixels (y, x) (P,), moved by factor * the upsampled motion.

    ``row`` and ``column`` are the map's strides, ``at`` (1, C) the offsets of its channels; motion
    begins with its planes dx and dy, of half the size.
    """
    plane = half_height * half_width
    to_x = x + factor * upsampled(motion, y, x, half_height, half_width, inside)
    to_y = y + factor * upsampled(motion + plane, y, x, half_height, half_width, inside)
    to_x = tl.minimum(tl.maximum(to_x, 0.0), (width - 1).to(tl.float32))
    to_y = tl.minimum(tl.maximum(to_y, 0.0), (height - 1).to(tl.float32))
    left = to_x.to(tl.int32)
    top = to_y.to(tl.int32)
    over = (to_x - left)[:, None]
    down = (to_y - top)[:, None]
    right = tl.minimum(left + 1, width - 1)
    bottom = tl.minimum(top + 1, height - 1)
    a = tl.load(source + (top * row + left * column)[:, None] + at, mask=mask, other=0)
    b = tl.load(source + (top * row + right * column)[:, None] + at, mask=mask, other=0)
    c = tl.load(source + (bottom * row + left * column)[:, None] + at, mask=mask, other=0)
    d = tl.load(source + (bottom * row + right * column)[:, None] + at, mask=mask, other=0)
    a, b, c, d = a.to(tl.float32), b.to(tl.float32), c.to(tl.float32), d.to(tl.float32)
    return bilinear(a, b, c, d, over, down)


@triton.jit(do_not_specialize=["n", "height", "width"])
def _gather_kernel(
    features,
    motion,
    hidden,
    times,
    out,
    finer,
    n,
    height,
    width,
    feature_pitch,
    hidden_pitch,
    out_pitch,
    CHANNELS: tl.constexpr,
    HIDDEN: tl.constexpr,
    START: tl.constexpr,
    TAIL: tl.constexpr,
    TOTAL: tl.constexpr,
    WARP: tl.constexpr,
    PIXELS: tl.constexpr,
    WIDE: tl.constexpr,
    NARROW: tl.constexpr,
):
    role = tl.program_id(1)  # 0 and 1: features of the two frames; 2: everything else
    image = tl.program_id(2).to(tl.int64)
    pixel = tl.program_id(0) * PIXELS + tl.arange(0, PIXELS)
    y = pixel // width
    x = pixel % width
    inside = y < height
    t = tl.load(times + image).to(tl.float32)
    half_height = height // 2
    half_width = width // 2
    plane = half_height * half_width
    target = out + image * height * width * out_pitch + (pixel * out_pitch)[:, None]
    if role < 2:
        channel = tl.arange(0, WIDE)
        mask = inside[:, None] & (channel < CHANNELS)[None, :]
        source = features + (role * n + image) * height * width * feature_pitch
        if WARP:
            # Twice the pixels on the finer grid, and 2 t or 2 (1 - t) times unit time's motion.
            factor = 2 * tl.where(role == 0, 2 * t, 2 * (1 - t))
            own = motion + (image * 5 + 2 * role) * plane
            value = warped(
                source,
                width * feature_pitch,
                feature_pitch,
                channel[None, :],
                own,
                factor,
                y,
                x,
                height,
                width,
                half_height,
                half_width,
                inside,
                mask,
            )
        else:
            value = tl.load(
                source + (pixel * feature_pitch)[:, None] + channel[None, :], mask=mask
            ).to(tl.float32)
        tl.store(
            target + (role * CHANNELS + channel)[None, :],
            value.to(out.dtype.element_ty),
            mask=mask,
        )
    else:
        place = tl.arange(0, NARROW)
        slot = place - TAIL  # of hidden, then of motion; negative ones stay zero
        rest = tl.zeros((PIXELS, NARROW), dtype=tl.float32)
        if HIDDEN > 0:
            below = hidden + image * plane * hidden_pitch
            below += (((y // 2) * half_width + x // 2) * hidden_pitch)[:, None]
            rest = tl.load(
                below + (slot * 4)[None, :] + ((y % 2) * 2 + x % 2)[:, None],
                mask=inside[:, None] & ((slot >= 0) & (slot < HIDDEN))[None, :],
                other=0.0,
            ).to(tl.float32)
        if WARP:
            for i in tl.static_range(5):
                part_of = motion + (image * 5 + i) * plane
                part = upsampled(part_of, y, x, half_height, half_width, inside)
                if i < 4:
                    part *= 2
                tl.store(
                    finer + (image * 5 + i) * height * width + pixel,
                    part.to(finer.dtype.element_ty),
                    mask=inside,
                )
                rest = tl.where((slot == HIDDEN + i)[None, :], part[:, None], rest)
        rest = tl.where((slot == HIDDEN + 5)[None, :], t - 0.5, rest)
        tl.store(
            target + (START + place)[None, :],
            rest.to(out.dtype.element_ty),
            mask=inside[:, None] & (START + place < TOTAL)[None, :],
        )
