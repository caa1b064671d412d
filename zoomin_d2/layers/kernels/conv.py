"""A convolution with everything before and after it, in one kernel; inference only.

Activations are (N, h, w, C) tensors whose last dimension is dense. They may be a slice of the
channels of a larger buffer, which the kernel reads or writes, so that nothing is ever concatenated.
Bias, leaky ReLU, the sum of a residual block and pixel shuffling happen before the result is
written. It computes in float32 from operands in the weight's dtype.

Definition: `reference`, in PyTorch. An implicit matrix product: for each of the kernel's taps,
(pixels of a tile, channels) times (channels, output channels). On Hopper GPUs, another kernel does
most of the work (conv_halo.py).
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
import triton
import triton.language as tl
from torch import Tensor, nn

from zoomin_d2.layers.kernels.conv_halo import fits_halo, launch_halo, packed_for_halo
from zoomin_d2.layers.kernels.launch import compiling, launch
from zoomin_d2.layers.kernels.tiles import (
    TILE_WIDTH,
    HaloTile,
    Tile,
    candidates,
    fastest,
    halo_candidates,
)


def padded(channels: int, multiple: int = 16) -> int:
    """Channels of a buffer: aligned to 16, as 16-byte accesses and the matrix units need."""
    return triton.cdiv(channels, multiple) * multiple


def _layout(x: Tensor | None) -> tuple | None:
    """All that the choice of a tile depends on."""
    return None if x is None else (x.shape, x.stride(), x.dtype, x.data_ptr() % 16)


class FusedConv:
    """A convolution of a network, packed for the kernel.

    Args:
        conv: of size 1 or 3, "same" padding.
        slope: of the leaky ReLU after it; 1 = none.
        slots: the place of each of its input channels in the input buffer; None: in order.
        channels: of the input buffer, a multiple of 16. Those without a slot may hold any finite
            value.
        shuffle: write the result pixel shuffled, four output channels to one of twice the size.
    """

    def __init__(
        self,
        conv: nn.Conv2d,
        slope: float = 1.0,
        *,
        slots: Sequence[int] | None = None,
        channels: int | None = None,
        shuffle: bool = False,
    ):
        outputs, inputs, self.side, _ = conv.weight.shape
        self.stride, self.dilation, self.slope = conv.stride[0], conv.dilation[0], slope
        self.channels = channels or padded(inputs)
        self.outputs = outputs
        slots = list(range(inputs) if slots is None else slots)
        weight = conv.weight.detach().permute(2, 3, 1, 0).reshape(self.side**2, inputs, outputs)
        bias = conv.bias.detach().float()
        if shuffle:  # (c, dy, dx) -> (dy, dx, c): neighbors in memory stay neighbors
            order = torch.arange(outputs, device=weight.device).view(-1, 4).T.flatten()
            weight, bias = weight[..., order], bias[order]
        self.quarter = outputs // 4 if shuffle else 0
        self.weight = weight.new_zeros(self.side**2, self.channels, padded(outputs))
        self.weight[:, torch.tensor(slots, device=weight.device), :outputs] = weight
        self.bias = bias.new_zeros(padded(outputs))
        self.bias[:outputs] = bias
        self._tiles: dict[tuple, Tile | HaloTile] = {}
        self._packed: dict[int, Tensor] = {}  # the weights for conv_halo.py, by outputs of a block

    def out_size(self, height: int, width: int) -> tuple[int, int]:
        """The size of the result, (h, w), before shuffling."""
        return -(-height // self.stride), -(-width // self.stride)

    def __call__(
        self, x: Tensor, out: Tensor, residual: Tensor | None = None, *, tune: bool = False
    ) -> Tensor:
        """
        Args:
            x: (N, h, w, channels); its address and strides are multiples of 16 bytes.
            out: (N, h', w', C), any strides; written from channel 0 on; channels beyond the
                convolution's become ``residual``'s or zero.
            residual: (N, h', w', C), added before the leaky ReLU.
            tune: time some tiles at the first call with this size, and keep the fastest.

        Returns:
            ``out``.
        """
        key = tuple(_layout(y) for y in (x, out, residual))
        if key not in self._tiles:
            default, *others = self._candidates(x, out, residual)
            if compiling() and tune:
                for tile in others:
                    self._launch(x, out, residual, tile)
            elif tune and not torch.cuda.is_current_stream_capturing():
                default = fastest([default, *others], lambda t: self._launch(x, out, residual, t))
            if compiling():  # ``fastest`` comes later
                self._launch(x, out, residual, default)
                return out
            self._tiles[key] = default
        self._launch(x, out, residual, self._tiles[key])
        return out

    def _candidates(self, x: Tensor, out: Tensor, residual: Tensor | None) -> list[Tile | HaloTile]:
        height, width = self.out_size(*x.shape[1:3])
        pixels, outputs = x.shape[0] * height * width, self.weight.shape[2]
        tiles = candidates(pixels, outputs, self.channels)
        if (
            self.side != 3
            or self.quarter
            or not fits_halo(
                self.weight,
                self.outputs,
                x,
                out,
                residual,
                stride=self.stride,
                dilation=self.dilation,
                slope=self.slope,
            )
        ):
            return tiles
        written = self.outputs if out.dtype == torch.float32 else outputs
        halo = halo_candidates(
            x.shape[0] * height,
            width,
            written,
            self.channels,
            self.stride,
            self.dilation,
            residual is not None,
        )
        return [*halo, *tiles]

    def _launch(
        self, x: Tensor, out: Tensor, residual: Tensor | None, tile: Tile | HaloTile
    ) -> None:
        n, in_height, in_width, channels = x.shape
        height, width = self.out_size(in_height, in_width)
        if channels != self.channels or x.stride(3) != 1 or x.stride(1) != in_width * x.stride(2):
            raise ValueError(
                f"the input must be (N, h, w, {self.channels}) with dense rows and channels, got "
                f"{tuple(x.shape)} with strides {x.stride()}"
            )
        if isinstance(tile, HaloTile):
            if tile.outputs not in self._packed:
                used = triton.cdiv(self.outputs, tile.outputs) * tile.outputs
                self._packed[tile.outputs] = packed_for_halo(self.weight[..., :used], tile.outputs)
            launch_halo(
                x,
                self._packed[tile.outputs],
                self.bias,
                residual,
                out,
                stride=self.stride,
                dilation=self.dilation,
                slope=self.slope,
                tile=tile,
            )
            return
        added = out if residual is None else residual
        tiles = triton.cdiv(height, tile.rows) * triton.cdiv(width, TILE_WIDTH)
        launch(
            _conv_kernel,
            (tiles * n, triton.cdiv(self.weight.shape[2], tile.outputs)),
            x,
            self.weight,
            self.bias,
            added,
            out,
            in_height,
            in_width,
            height,
            width,
            x.stride(2),
            channels,
            self.weight.shape[2],
            4 * out.shape[3] if self.quarter else out.shape[3],
            *added.stride(),
            *out.stride(),
            self.stride,
            self.dilation,
            self.slope,
            SIDE=self.side,
            STEPS=triton.cdiv(channels, tile.channels),
            RESIDUAL=residual is not None,
            QUARTER=self.quarter,
            ROWS=tile.rows,
            COLUMNS=TILE_WIDTH,
            OUTPUTS=tile.outputs,
            STEP=tile.channels,
            num_warps=tile.warps,
            num_stages=tile.stages,
        )

    def reference(self, x: Tensor, residual: Tensor | None = None) -> Tensor:
        """The definition: (N, h, w, channels) -> (N, h', w', outputs) float32."""
        weight = self.weight.float().view(self.side, self.side, self.channels, -1)
        weight = weight.permute(3, 2, 0, 1)[: self.outputs]
        padding = self.dilation * (self.side // 2)
        y = F.conv2d(
            x.float().permute(0, 3, 1, 2),
            weight,
            self.bias[: self.outputs],
            self.stride,
            padding,
            self.dilation,
        )
        if self.quarter:
            y = F.pixel_shuffle(y.unflatten(1, (4, -1)).transpose(1, 2).flatten(1, 2), 2)
        y = y.permute(0, 2, 3, 1)
        y = y if residual is None else y + residual.float()
        return F.leaky_relu(y, self.slope)


@triton.jit
def offsets(y, x, channel, row_stride, pixel_stride, channel_stride):
    """(P, C): where the channels (C,) of the pixels (y, x), (P,), are in an image."""
    return (y * row_stride + x * pixel_stride)[:, None] + (channel * channel_stride)[None, :]


# Sizes vary from video to video, and must not each compile another kernel.
@triton.jit(
    do_not_specialize=[
        "in_height",
        "in_width",
        "height",
        "width",
        "stride",
        "dilation",
        "slope",
    ]
)
def _conv_kernel(
    x,
    weight,
    bias,
    added,
    out,
    in_height,
    in_width,
    height,
    width,
    x_pixel,
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
    stride,
    dilation,
    slope,
    SIDE: tl.constexpr,
    STEPS: tl.constexpr,
    RESIDUAL: tl.constexpr,
    QUARTER: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    OUTPUTS: tl.constexpr,
    STEP: tl.constexpr,
):
    tiles_x = tl.cdiv(width, COLUMNS)
    tiles = tiles_x * tl.cdiv(height, ROWS)
    tile = tl.program_id(0) % tiles
    image = (tl.program_id(0) // tiles).to(tl.int64)  # large batches do not fit 32 bits
    pixel = tl.arange(0, ROWS * COLUMNS)
    out_y = (tile // tiles_x) * ROWS + pixel // COLUMNS
    out_x = (tile % tiles_x) * COLUMNS + pixel % COLUMNS
    valid = (out_y < height) & (out_x < width)
    output = tl.program_id(1) * OUTPUTS + tl.arange(0, OUTPUTS)
    lane = tl.arange(0, STEP)
    source = x + image * in_height * in_width * x_pixel
    total = tl.zeros((ROWS * COLUMNS, OUTPUTS), dtype=tl.float32)
    for step in range(SIDE * SIDE * STEPS):
        tap = step // STEPS
        channel = (step % STEPS) * STEP + lane
        in_y = out_y * stride + (tap // SIDE - SIDE // 2) * dilation
        in_x = out_x * stride + (tap % SIDE - SIDE // 2) * dilation
        inside = valid & (in_y >= 0) & (in_y < in_height) & (in_x >= 0) & (in_x < in_width)
        a = tl.load(
            source + ((in_y * in_width + in_x) * x_pixel)[:, None] + channel[None, :],
            mask=inside[:, None] & (channel < channels)[None, :],
            other=0.0,
        )
        b = tl.load(
            weight + ((tap * channels + channel) * weight_row)[:, None] + output[None, :],
            mask=(channel < channels)[:, None] & (output < weight_row)[None, :],
            other=0.0,
        )
        total = tl.dot(a, b, total, input_precision="ieee")
    total += tl.load(bias + output, mask=output < weight_row, other=0.0)[None, :]
    mask = valid[:, None] & (output < num_out)[None, :]
    if RESIDUAL:
        offset = offsets(out_y, out_x, output, added_row, added_pixel, added_channel)
        total += tl.load(added + image * added_image + offset, mask=mask, other=0.0).to(tl.float32)
    total = tl.where(total >= 0, total, total * slope)
    if QUARTER > 0:
        part = output // QUARTER
        offset = (2 * out_y)[:, None] + (part // 2)[None, :]
        offset = offset * out_row + ((2 * out_x)[:, None] + (part % 2)[None, :]) * out_pixel
        offset += ((output % QUARTER) * out_channel)[None, :]
        mask = valid[:, None] & (output < 4 * QUARTER)[None, :]
    else:
        offset = offsets(out_y, out_x, output, out_row, out_pixel, out_channel)
    tl.store(out + image * out_image + offset, total.to(out.dtype.element_ty), mask=mask)
