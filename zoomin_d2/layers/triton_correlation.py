"""What PyTorch does in many kernels, in one each, on GPUs; with gradients.

Each function is equal to its namesake in this room, which is the definition and what runs
elsewhere. They compute in float32 and return the dtype of their input. Importing this file needs
the package `triton`, which comes with PyTorch for Linux.
"""

import torch
import triton
import triton.language as tl

_PIXELS = 64  # of a program's tile


def bilateral_correlation(
    features_1: torch.Tensor, features_2: torch.Tensor, radius: int
) -> torch.Tensor:
    """`layers.correlation.bilateral_correlation` in one kernel instead of 2 (2 r + 1)^2.

    Features are read from memory about once, the other (2 r + 1)^2 - 1 times from the cache; the
    gradient is one kernel for each of the two, and keeps nothing but the features.

    Args:
        features_1, features_2: (N, C, H, W) of one dtype and on one GPU, in any memory format.
        radius: in pixels.

    Returns:
        (N, (2 * radius + 1)**2, H, W).
    """
    return _Correlation.apply(features_1, features_2, radius)


class _Correlation(torch.autograd.Function):
    @staticmethod
    def forward(ctx, features_1, features_2, radius):
        ctx.save_for_backward(features_1, features_2)
        ctx.radius = radius
        n, channels, height, width = features_1.shape
        diameter = 2 * radius + 1
        volume = torch.empty(
            (n, diameter**2, height, width),
            dtype=features_1.dtype,
            device=features_1.device,
            memory_format=torch.channels_last,  # what the convolution after it wants
        )
        grid = (triton.cdiv(height * width, _PIXELS), diameter**2, n)
        _correlation_kernel[grid](
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
            PIXELS=_PIXELS,
            TILE=32,
        )
        return volume

    @staticmethod
    def backward(ctx, gradient):
        features_1, features_2 = ctx.saved_tensors
        needed_1, needed_2 = ctx.needs_input_grad[:2]
        return (
            _gradient(gradient, features_2, ctx.radius, 1) if needed_1 else None,
            _gradient(gradient, features_1, ctx.radius, -1) if needed_2 else None,
            None,
        )


def _gradient(gradient: torch.Tensor, other: torch.Tensor, radius: int, sign: int) -> torch.Tensor:
    """Of the one frame's features; ``other`` are the other frame's, +1 is for features_1.

    volume[d](x) holds features_1(x - d): features_1 at u meets the volume at u + d, where
    features_2 is the one at u + 2 d. For features_2 all signs turn round.
    """
    n, channels, height, width = other.shape
    result = torch.empty_like(other)
    tile = 16
    grid = (triton.cdiv(height * width, _PIXELS), triton.cdiv(channels, tile), n)
    _correlation_gradient_kernel[grid](
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


@triton.jit
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
    displacement = tl.program_id(1)
    image = tl.program_id(2).to(tl.int64)  # large batches do not fit 32 bits
    dy = displacement // (2 * RADIUS + 1) - RADIUS
    dx = displacement % (2 * RADIUS + 1) - RADIUS
    pixel = tl.program_id(0) * PIXELS + tl.arange(0, PIXELS)
    y = pixel // width
    x = pixel % width
    # Of frame_1 the pixel where the object came from, of frame_2 the one where it goes to.
    from_y = y - dy
    from_x = x - dx
    to_y = y + dy
    to_x = x + dx
    inside = (from_y >= 0) & (from_y < height) & (from_x >= 0) & (from_x < width)
    inside &= (to_y >= 0) & (to_y < height) & (to_x >= 0) & (to_x < width) & (y < height)
    from_offset = image * n1 + from_y * y1 + from_x * x1
    to_offset = image * n2 + to_y * y2 + to_x * x2
    total = tl.zeros((PIXELS,), dtype=tl.float32)
    for start in range(0, CHANNELS, TILE):
        channel = start + tl.arange(0, TILE)
        mask = inside[:, None] & (channel < CHANNELS)[None, :]
        a = tl.load(first + from_offset[:, None] + (channel * c1)[None, :], mask=mask, other=0.0)
        b = tl.load(second + to_offset[:, None] + (channel * c2)[None, :], mask=mask, other=0.0)
        total += tl.sum(a.to(tl.float32) * b.to(tl.float32), axis=1)
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
        # The place in the volume, and from there as far again: the other frame's pixel.
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
