"""The 3 x 3 convolution of `FusedConv` for GPUs of the Hopper generation.

Every pixel of the input is an operand of nine products. `_conv_kernel` fetches it nine times from
the L2 cache, which bounds it. Here a program makes several rows of a strip of columns, and a row
that it fetches serves the three output rows around it: 3 (rows + 2) fetches instead of 9 rows.
The tensor memory accelerator fetches them, with zeros outside the frame, at no thread's cost.
"""

from typing import Any

import triton
import triton.language as tl
from torch import Tensor

from zoomin_d2.layers.kernels.launch import IS_TRITON_3_5, launch
from zoomin_d2.layers.kernels.tiles import Tile

try:
    from triton.tools.tensor_descriptor import TensorDescriptor
except ImportError:  # before Triton 3.4; `strips_work` is False there
    TensorDescriptor = None


def strips_work() -> bool:
    """Whether `launch_strips` can be used here: by Triton 3.5 or later, on a Hopper GPU or in the
    interpreter. (Other GPUs were not measured, and some have too little shared memory.)"""
    if not IS_TRITON_3_5:
        return False
    if triton.knobs.runtime.interpret:
        return True
    try:
        target = triton.runtime.driver.active.get_current_target()
    except RuntimeError:  # no GPU: launches are only counted
        return False
    return target.backend == "cuda" and int(target.arch) // 10 == 9


def launch_strips(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    residual: Tensor | None,
    out: Tensor,
    *,
    dilation: int,
    slope: float,
    tile: Tile,
) -> None:
    """`FusedConv` with side 3 and stride 1, not shuffled; the tensors and ``slope`` as there.

    Args:
        tile: with ``columns``.
    """
    n, height, width, channels = x.shape
    box = [1, 1, tile.columns, tile.channels]
    source: Any = TensorDescriptor(x, list(x.shape), list(x.stride()), box)
    added = out if residual is None else residual
    blocks = triton.cdiv(height, tile.rows * dilation) * dilation
    launch(
        _conv_strips_kernel,
        (
            n * blocks * triton.cdiv(width, tile.columns),
            triton.cdiv(weight.shape[2], tile.outputs),
        ),
        weight,
        source,
        bias,
        added,
        out,
        height,
        width,
        channels,
        weight.shape[2],
        out.shape[3],
        *added.stride(),
        *out.stride(),
        dilation,
        slope,
        STEPS=triton.cdiv(channels, tile.channels),
        RESIDUAL=residual is not None,
        ROWS=tile.rows,
        COLUMNS=tile.columns,
        OUTPUTS=tile.outputs,
        STEP=tile.channels,
        num_warps=tile.warps,
        num_stages=tile.stages,
    )


@triton.jit
def offsets(y, x, channel, row_stride, pixel_stride, channel_stride):
    """(P, C): where the channels (C,) of the pixels (y, x), (P,), are in an image."""
    return (y * row_stride + x * pixel_stride)[:, None] + (channel * channel_stride)[None, :]


# Sizes vary from video to video, and must not each compile another kernel.
@triton.jit(do_not_specialize=["height", "width", "dilation", "slope"])
def _conv_strips_kernel(
    weight,
    source,
    bias,
    added,
    out,
    height,
    width,
    channels,
    weight_row,
    num_out,
    added_image,
    added_row,
    added_pixel,
    added_channel,
    out_image,
    out_row,
    out_pixel,
    out_channel,
    dilation,
    slope,
    STEPS: tl.constexpr,
    RESIDUAL: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    OUTPUTS: tl.constexpr,
    STEP: tl.constexpr,
):
    strips = tl.cdiv(width, COLUMNS)
    # Rows `dilation` apart share the rows that they need.
    blocks = tl.cdiv(height, ROWS * dilation) * dilation
    block = (tl.program_id(0) // strips) % blocks
    image = tl.program_id(0) // (strips * blocks)
    top = (block // dilation) * ROWS * dilation + block % dilation
    left = (tl.program_id(0) % strips) * COLUMNS
    column = left + tl.arange(0, COLUMNS)
    output = tl.program_id(1) * OUTPUTS + tl.arange(0, OUTPUTS)
    lane = tl.arange(0, STEP)
    shift = tl.load(bias + output, mask=output < weight_row, other=0.0)[None, :]
    totals = ()  # one for each row
    for row in tl.static_range(ROWS):
        total = tl.zeros((COLUMNS, OUTPUTS), dtype=tl.float32) + shift
        if RESIDUAL:
            y = top + row * dilation
            mask = ((y < height) & (column < width))[:, None] & (output < num_out)[None, :]
            offset = offsets(y, column, output, added_row, added_pixel, added_channel)
            start = added + image.to(tl.int64) * added_image  # large batches do not fit 32 bits
            total += tl.load(start + offset, mask=mask, other=0.0).to(tl.float32)
        totals = totals + (total,)
    for step in range(3 * STEPS):
        side = step // STEPS
        first = (step % STEPS) * STEP
        channel = first + lane
        taps = weight + ((side * channels + channel) * weight_row)[:, None] + output[None, :]
        given = (channel < channels)[:, None] & (output < weight_row)[None, :]
        next_tap = 3 * channels * weight_row
        above = tl.load(taps, mask=given, other=0.0)
        here = tl.load(taps + next_tap, mask=given, other=0.0)
        below = tl.load(taps + 2 * next_tap, mask=given, other=0.0)
        x = left + (side - 1) * dilation
        rows = ()
        for row in tl.static_range(ROWS + 2):
            fetched = source.load([image, top + (row - 1) * dilation, x, first])
            rows = rows + (fetched.reshape(COLUMNS, STEP),)
        sums = ()
        for row in tl.static_range(ROWS):
            total = tl.dot(rows[row], above, totals[row], input_precision="ieee")
            total = tl.dot(rows[row + 1], here, total, input_precision="ieee")
            total = tl.dot(rows[row + 2], below, total, input_precision="ieee")
            sums = sums + (total,)
        totals = sums
    for row in tl.static_range(ROWS):
        y = top + row * dilation
        mask = ((y < height) & (column < width))[:, None] & (output < num_out)[None, :]
        total = tl.where(totals[row] >= 0, totals[row], totals[row] * slope)
        offset = offsets(y, column, output, out_row, out_pixel, out_channel)
        start = out + image.to(tl.int64) * out_image
        tl.store(start + offset, total.to(out.dtype.element_ty), mask=mask)
