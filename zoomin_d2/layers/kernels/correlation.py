"""The cost volume in one kernel instead of hundreds, on GPUs; with a gradient.

Each function equals its namesake in layers/, which is the definition and runs everywhere else. They
compute in float32 and return the dtype of their input. Importing this file needs the package
`triton`, which comes with PyTorch for Linux.
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
    shared_memory,
)

_PIXELS = 64  # of a program's tile


def bilateral_correlation(features_1: Tensor, features_2: Tensor, radius: int) -> Tensor:
    """`layers.correlation.bilateral_correlation` in one kernel instead of 2 (2 r + 1)^2.

    Features are read from memory about once, and (2 r + 1)^2 - 1 times from the cache. The gradient
    is one kernel for each of the two frames, and only keeps the features.

    Args:
        features_1, features_2: (N, C, H, W) of one dtype and on one GPU, in any memory format.
        radius: in pixels.

    Returns:
        (N, (2 * radius + 1)**2, H, W).
    """
    return _correlation(features_1, features_2, radius)


# Registered with PyTorch as an operator, so that torch.compile and torch.export treat it as one.
@torch.library.custom_op("zoomin_d2::bilateral_correlation", mutates_args=())
def _correlation(features_1: Tensor, features_2: Tensor, radius: int) -> Tensor:
    volume = _empty_volume(features_1, features_2, radius)
    correlate_into(features_1, features_2, volume, radius)
    return volume


@_correlation.register_fake
def _empty_volume(features_1: Tensor, features_2: Tensor, radius: int) -> Tensor:
    n, _, height, width = features_1.shape
    return torch.empty(
        (n, (2 * radius + 1) ** 2, height, width),
        dtype=features_1.dtype,
        device=features_1.device,
        memory_format=torch.channels_last,  # the format that the next convolution needs
    )


@torch.library.custom_op("zoomin_d2::bilateral_correlation_backward", mutates_args=())
def _correlation_backward(
    gradient: Tensor, features_1: Tensor, features_2: Tensor, radius: int
) -> tuple[Tensor, Tensor]:
    return (
        _gradient(gradient, features_2, radius, 1),
        _gradient(gradient, features_1, radius, -1),
    )


@_correlation_backward.register_fake
def _(gradient, features_1, features_2, radius):
    return torch.empty_like(features_1), torch.empty_like(features_2)


def _keep(ctx, inputs, output):
    *features, ctx.radius = inputs
    ctx.save_for_backward(*features)


_correlation.register_autograd(
    lambda ctx, gradient: (*_correlation_backward(gradient, *ctx.saved_tensors, ctx.radius), None),
    setup_context=_keep,
)


def correlate_into(features_1: Tensor, features_2: Tensor, volume: Tensor, radius: int) -> None:
    """Write the correlation of (N, C, H, W) features into ``volume``, (N, (2 r + 1)^2, H, W)."""
    if _fit_matrix_units(features_1, features_2, volume, radius):
        _launch_on_matrix_units(features_1, features_2, volume, radius)
        return
    n, channels, height, width = features_1.shape
    pixels = 16 if n * height * width < 2**15 else 32
    launch(
        _correlation_kernel,
        (triton.cdiv(height * width, pixels), 2 * radius + 1, n),
        features_1,
        features_2,
        volume,
        *features_1.stride(),
        *features_2.stride(),
        *volume.stride(),
        height,
        width,
        channels**-0.5,
        CHANNELS=channels,
        RADIUS=radius,
        PIXELS=pixels,
        TILE=min(triton.next_power_of_2(channels), 128),
    )


def _fit_matrix_units(features_1: Tensor, features_2: Tensor, volume: Tensor, radius: int) -> bool:
    """Whether cuda/correlation.cu can be used: 16-bit numbers, of which a pixel's are neighbors."""
    channels = features_1.shape[1]
    pixels = [x.permute(0, 2, 3, 1) for x in (features_1, features_2, volume)]
    return (
        compute_capability(features_1) >= 80
        and channels % 8 == 0
        and 1 <= radius <= 12
        and _shared(channels, radius) <= shared_memory(features_1)
        and features_1.stride() == features_2.stride()
        and all(on_16_bytes(x) and follow_each_other(x) for x in pixels)
    )


_ROWS = 2  # of a block; this and `_shifts` were within 5 % of the best at four sizes, on an H200


def _shifts(radius: int) -> int:
    """Rows of displacements of a block, a divisor of all."""
    return max(x for x in range(1, 8) if (2 * radius + 1) % x == 0)


def _shared(channels: int, radius: int) -> int:
    """Bytes of shared memory: features, and then the results, as in the kernel."""
    diameter, shifts = 2 * radius + 1, _shifts(radius)
    pitch = (shifts * diameter + (7 if shifts == diameter else 14)) // 8 * 8
    features = 2 * (_ROWS + shifts - 1) * 32 * triton.cdiv(channels, 16) * 32
    return max(features, 2 * _ROWS * (32 - 2 * radius) * pitch)


@functools.cache
def _matrix_units_kernel(channels: int, radius: int, dtype: torch.dtype) -> CudaKernel:
    return CudaKernel(
        "correlation",
        RADIUS=radius,
        CHANNELS=channels,
        ROWS=_ROWS,
        SHIFTS=_shifts(radius),
        BLOCKS=2 if _shifts(radius) == 7 else 3,
        BFLOAT16=int(dtype == torch.bfloat16),
    )


def _launch_on_matrix_units(
    features_1: Tensor, features_2: Tensor, volume: Tensor, radius: int
) -> None:
    n, channels, height, width = features_1.shape
    groups = (2 * radius + 1) // _shifts(radius)
    launch(
        _matrix_units_kernel(channels, radius, volume.dtype),
        (triton.cdiv(width, 32 - 2 * radius), triton.cdiv(height, _ROWS), n * groups),
        features_1,
        features_2,
        volume,
        features_1.stride(3),
        volume.stride(3),
        height,
        width,
        channels**-0.5,
        threads=256,
        shared=_shared(channels, radius),
    )


def _gradient(gradient: Tensor, other: Tensor, radius: int, sign: int) -> Tensor:
    """The gradient of one frame's features; ``other`` are the other frame's, +1 is for features_1.

    volume[d](x) holds features_1(x - d): features_1 at u meets the volume at u + d, where
    features_2 is the one at u + 2 d. For features_2 all signs are reversed.
    """
    n, channels, height, width = other.shape
    result = torch.empty_like(other)
    tile = 16
    grid = (triton.cdiv(height * width, _PIXELS), triton.cdiv(channels, tile), n)
    launch(
        _correlation_gradient_kernel,
        grid,
        gradient,
        other,
        result,
        *gradient.stride(),
        *other.stride(),
        *result.stride(),
        height,
        width,
        channels**-0.5,
        CHANNELS=channels,
        RADIUS=radius,
        SIGN=sign,
        PIXELS=_PIXELS,
        TILE=tile,
    )
    return result


@triton.jit(do_not_specialize=["height", "width", "scale"])
def _correlation_kernel(
    first,
    second,
    volume,
    n1,
    c1,
    y1,
    x1,
    n2,
    c2,
    y2,
    x2,
    nv,
    cv,
    yv,
    xv,
    height,
    width,
    scale,
    CHANNELS: tl.constexpr,
    RADIUS: tl.constexpr,
    PIXELS: tl.constexpr,
    TILE: tl.constexpr,
):
    # A row of displacements: its columns read almost the same data, which is in the cache.
    row = tl.program_id(1)
    image = tl.program_id(2).to(tl.int64)  # large batches do not fit 32 bits
    pixel = tl.program_id(0) * PIXELS + tl.arange(0, PIXELS)
    y = pixel // width
    x = pixel % width
    # In frame_1, the pixel where the object came from; in frame_2, the one where it goes.
    from_y = y - row + RADIUS
    to_y = y + row - RADIUS
    rows = (from_y >= 0) & (from_y < height) & (to_y >= 0) & (to_y < height) & (y < height)
    for column in tl.static_range(2 * RADIUS + 1):
        from_x = x - column + RADIUS
        to_x = x + column - RADIUS
        inside = rows & (from_x >= 0) & (from_x < width) & (to_x >= 0) & (to_x < width)
        from_offset = image * n1 + from_y * y1 + from_x * x1
        to_offset = image * n2 + to_y * y2 + to_x * x2
        total = tl.zeros((PIXELS,), dtype=tl.float32)
        for start in tl.static_range(0, CHANNELS, TILE):
            channel = start + tl.arange(0, TILE)
            mask = inside[:, None] & (channel < CHANNELS)[None, :]
            at = (channel * c1)[None, :]
            a = tl.load(first + from_offset[:, None] + at, mask=mask, other=0.0)
            at = (channel * c2)[None, :]
            b = tl.load(second + to_offset[:, None] + at, mask=mask, other=0.0)
            total += tl.sum(a.to(tl.float32) * b.to(tl.float32), axis=1)
        displacement = row * (2 * RADIUS + 1) + column
        target = volume + image * nv + displacement * cv + y * yv + x * xv
        tl.store(target, (total * scale).to(volume.dtype.element_ty), mask=y < height)


@triton.jit
def _correlation_gradient_kernel(
    gradient,
    other,
    result,
    ng,
    dg,
    yg,
    xg,
    no,
    co,
    yo,
    xo,
    nr,
    cr,
    yr,
    xr,
    height,
    width,
    scale,
    CHANNELS: tl.constexpr,
    RADIUS: tl.constexpr,
    SIGN: tl.constexpr,
    PIXELS: tl.constexpr,
    TILE: tl.constexpr,
):
    image = tl.program_id(2).to(tl.int64)
    pixel = tl.program_id(0) * PIXELS + tl.arange(0, PIXELS)
    channel = tl.program_id(1) * TILE + tl.arange(0, TILE)
    y = pixel // width
    x = pixel % width
    total = tl.zeros((PIXELS, TILE), dtype=tl.float32)
    for displacement in range((2 * RADIUS + 1) * (2 * RADIUS + 1)):
        dy = SIGN * (displacement // (2 * RADIUS + 1) - RADIUS)
        dx = SIGN * (displacement % (2 * RADIUS + 1) - RADIUS)
        # The place in the volume; the same distance further is the other frame's pixel.
        mid_y = y + dy
        mid_x = x + dx
        far_y = mid_y + dy
        far_x = mid_x + dx
        inside = (mid_y >= 0) & (mid_y < height) & (mid_x >= 0) & (mid_x < width)
        inside &= (far_y >= 0) & (far_y < height) & (far_x >= 0) & (far_x < width) & (y < height)
        weight = tl.load(
            gradient + image * ng + displacement * dg + mid_y * yg + mid_x * xg,
            mask=inside,
            other=0.0,
        )
        features = tl.load(
            other + (image * no + far_y * yo + far_x * xo)[:, None] + (channel * co)[None, :],
            mask=inside[:, None] & (channel < CHANNELS)[None, :],
            other=0.0,
        )
        total += weight.to(tl.float32)[:, None] * features.to(tl.float32)
    target = result + (image * nr + y * yr + x * xr)[:, None] + (channel * cr)[None, :]
    mask = (y < height)[:, None] & (channel < CHANNELS)[None, :]
    tl.store(target, (total * scale).to(result.dtype.element_ty), mask=mask)
