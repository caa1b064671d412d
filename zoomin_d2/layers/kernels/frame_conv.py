"""Two frames, 8-bit or float, in; the first convolution and the pixels of both out; inference only.

Frames are (N, 3, H, W) in any memory format, uint8 or float in [0, 1], and are taken as if padded
by their border to (2 h, 2 w). Activations are (N, h, w, C) as in conv.py.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor, nn

from zoomin_d2.layers.kernels.launch import launch
from zoomin_d2.layers.kernels.pixels import TOP, pixels_of, scale_of, tile_of_program, tiles

_PIXELS = 128


class FrameConv:
    """A network's first convolution, 3 x 3 with stride 2 on frames - 0.5, then leaky ReLU.

    Args:
        conv: of three input channels.
        slope: of the leaky ReLU, in [0, 1].
    """

    def __init__(self, conv: nn.Conv2d, slope: float):
        outputs = conv.out_channels
        self.slope, self.outputs = slope, max(triton.next_power_of_2(outputs), 16)
        self.weight = conv.weight.new_zeros(32, self.outputs)
        self.weight[:27, :outputs] = conv.weight.detach().flatten(1).T
        self.bias = conv.bias.detach().new_zeros(self.outputs, dtype=torch.float32)
        self.bias[:outputs] = conv.bias.detach()

    def __call__(self, frame_1: Tensor, frame_2: Tensor, out: Tensor) -> Tensor:
        """
        Args:
            out: (2N, h, w, C): for every frame_1, then for every frame_2; channels beyond the
                convolution's become zero.

        Returns:
            the frames' pixels, see pixels.py.
        """
        pixels = pixels_of(frame_1, frame_2)
        n, _, in_height, in_width = frame_1.shape
        _, height, width, channels = out.shape
        launch(
            _frame_conv_kernel,
            (*tiles(height, width, _PIXELS), 2 * n),
            frame_1,
            frame_2,
            self.weight,
            self.bias,
            out,
            pixels,
            n,
            in_height,
            in_width,
            height,
            width,
            *frame_1.stride(),
            *frame_2.stride(),
            out.stride(2),
            channels,
            scale_of(frame_1),
            self.slope,
            OUTPUTS=self.outputs,
            COPY=frame_1.dtype == torch.uint8,
            PIXELS=_PIXELS,
        )
        return pixels


@triton.jit(do_not_specialize=["n", "in_height", "in_width", "height", "width", "scale", "slope"])
def _frame_conv_kernel(
    first,
    second,
    weight,
    bias,
    out,
    pixels,
    n,
    in_height,
    in_width,
    height,
    width,
    n1,
    c1,
    y1,
    x1,
    n2,
    c2,
    y2,
    x2,
    out_pitch,
    num_out,
    scale,
    slope,
    OUTPUTS: tl.constexpr,
    COPY: tl.constexpr,
    PIXELS: tl.constexpr,
):
    image = tl.program_id(2).to(tl.int64)
    y, x = tile_of_program(height, width, PIXELS)
    tap = tl.arange(0, 32)  # (color, dy, dx), 27 of them
    color = tap // 9
    in_y = (2 * y - 1)[:, None] + ((tap % 9) // 3)[None, :]
    in_x = (2 * x - 1)[:, None] + (tap % 3)[None, :]
    # Zeros outside the padded frame, as for any convolution (with this stride, only above it and to
    # the left); the border's value in its padding.
    used = (tap < 27)[None, :]
    mask = used & (in_y >= 0) & (in_x >= 0)
    in_y = tl.maximum(tl.minimum(in_y, in_height - 1), 0)
    in_x = tl.maximum(tl.minimum(in_x, in_width - 1), 0)
    if image < n:
        source = first + image * n1 + (color * c1)[None, :] + in_y * y1 + in_x * x1
        value = tl.load(source, mask=used, other=0.0)
    else:
        source = second + (image - n) * n2 + (color * c2)[None, :] + in_y * y2 + in_x * x2
        value = tl.load(source, mask=used, other=0.0)
    if COPY:
        # The bytes of two by two pixels are among those of a convolution's place: no other loads.
        value = value.to(tl.int32)
        shifted = value << (8 * color)[None, :]
        for row in tl.static_range(2):
            for column in tl.static_range(2):
                chosen = (tap % 9 == 3 * row + column + 4) & (tap < 27)
                pixel_value = tl.sum(tl.where(chosen[None, :], shifted, 0), 1)
                full_y = 2 * y + row
                full_x = 2 * x + column
                tl.store(
                    pixels + image * in_height * in_width + full_y * in_width + full_x,
                    pixel_value | TOP,
                    mask=(full_y < in_height) & (full_x < in_width),
                )
        value = (value | TOP).to(tl.float32, bitcast=True) - 8388608.0
    value = tl.where(mask, value.to(tl.float32) * scale - 0.5, 0.0)
    output = tl.arange(0, OUTPUTS)
    w = tl.load(weight + (tap * OUTPUTS)[:, None] + output[None, :])
    total = tl.dot(value.to(weight.dtype.element_ty), w, input_precision="ieee")
    total += tl.load(bias + output)[None, :]
    total = tl.maximum(total, total * slope)
    target = out + image * height * width * out_pitch + ((y * width + x) * out_pitch)[:, None]
    tl.store(
        target + output[None, :],
        total.to(out.dtype.element_ty),
        mask=(output < num_out)[None, :],
    )
