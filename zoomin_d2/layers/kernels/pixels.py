"""Frames with the colors of a pixel side by side, for the kernels that sample them.

Wherever a motion points, such a kernel fetches a pixel at once: of 8 bits a color, with one load of
32 bits instead of three of 8. Pixels are, of every frame_1, then of every frame_2,

    (2N, H, W) int32 of 8-bit frames: red, green, blue, `TOP`, from the lowest byte up,
    (2N, H, W, 4) of float frames: red, green, blue, and a value that nothing uses.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

# Put above a byte, it makes the float 2 ** 23 + byte: one instruction masks the bits, one subtracts
# 2 ** 23, and both are exact. GPUs convert integers at a fraction of that rate.
TOP = tl.constexpr(0x4B000000)
_TILE_WIDTH = tl.constexpr(32)  # a warp's: neighbors in a row share what they fetch


def pixels_of(frame_1: Tensor, frame_2: Tensor) -> Tensor:
    """The pixels of frames (N, 3, H, W); those of 8 bits are left to `FrameConv`, which reads every
    frame anyway."""
    n, _, height, width = frame_1.shape
    if frame_1.dtype == torch.uint8:
        return frame_1.new_empty(2 * n, height, width, dtype=torch.int32)
    pixels = frame_1.new_empty(2 * n, height, width, 4)
    torch.cat((frame_1, frame_2), out=pixels[..., :3].permute(0, 3, 1, 2))
    return pixels


def scale_of(frame: Tensor) -> float:
    """The factor that brings the values of a frame into [0, 1]."""
    return 1.0 if frame.is_floating_point() else 1 / 255


def tiles(height: int, width: int, size: int) -> tuple[int, int]:
    """How many of a program's tiles, of ``size`` pixels, lie beside and below one another."""
    wide = _TILE_WIDTH.value
    return triton.cdiv(width, wide), triton.cdiv(height, size // wide)


@triton.jit
def tile_of_program(height, width, PIXELS: tl.constexpr):
    """y and x (P,) of a program's pixels; those outside repeat the map's border.

    Without divisions by a width, and without masks: what is outside is computed and written twice.
    """
    pixel = tl.arange(0, PIXELS)
    y = tl.program_id(1) * (PIXELS // _TILE_WIDTH) + pixel // _TILE_WIDTH
    x = tl.program_id(0) * _TILE_WIDTH + pixel % _TILE_WIDTH
    return tl.minimum(y, height - 1), tl.minimum(x, width - 1)


@triton.jit
def row_at(pixels, image, y, height, width):
    """Pointers (P,) to rows y (P,) of a frame's pixels."""
    # Pointers, not offsets: a pixel's address then takes fewer instructions.
    size: tl.constexpr = 1 if pixels.dtype.element_ty == tl.int32 else 4
    return pixels + image * size * height * width + size * y * width


@triton.jit
def pixel_at(row, x):
    """Red, green, blue and 0 or noise, (P, 4) float32, of pixels x (P,) of rows of `row_at`."""
    if row.dtype.element_ty == tl.int32:
        value = tl.load(row + x)
        red = (value & 0x7F0000FF).to(tl.float32, bitcast=True) - 8388608.0
        green = (value & 0x7F00FF00).to(tl.float32, bitcast=True) * 0.00390625 - 32768.0
        blue = ((value >> 16) + (TOP - (TOP >> 16))).to(tl.float32, bitcast=True) - 8388608.0
        even, odd = tl.join(red, blue), tl.join(green, tl.zeros_like(green))
        colors = tl.reshape(tl.join(even, odd), (x.shape[0], 4))
    else:
        colors = tl.load((row + 4 * x)[:, None] + tl.arange(0, 4)[None, :]).to(tl.float32)
    return colors


@triton.jit
def colors_of(value):
    """Red, green and blue, (P,) each, of pixels (P, 4)."""
    even, odd = tl.split(tl.reshape(value, (value.shape[0], 2, 2)))
    red, blue = tl.split(even)
    green, _ = tl.split(odd)
    return red, green, blue
