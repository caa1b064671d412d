"""What PyTorch does in many kernels, in one each, on GPUs: inference only, no gradients.

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

    Features are read from memory about once, the other (2 r + 1)^2 - 1 times from the cache.

    Args:
        features_1, features_2: (N, C, H, W) of one dtype and on one GPU, in any memory format.
        radius: in pixels.

    Returns:
        (N, (2 * radius + 1)**2, H, W).
    """
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
