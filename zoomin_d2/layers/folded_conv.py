"""A convolution computed for several neighboring pixels of a row at once; inference only.

GPU libraries fill their tiles with 64 output channels or more. A large kernel with 32 or 3 outputs
at full size leaves most of a tile empty. A row of W pixels with C channels is, in memory, also a
row of W / fold pixels with fold * C channels: as a convolution of those, with a narrower kernel,
the same sums have fold times the outputs, for a few more multiplications by zero.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


class FoldedConv:
    """A "same" convolution of stride 1 with an odd square kernel, on (N, H, W, C) activations.

    Args:
        weight: (outputs, inputs, k, k).
        bias: (outputs,).
        fold: how many pixels of a row are computed together; 1 is an ordinary convolution.
        in_channels, out_channels: of the buffers, at least the convolution's; those of the input
            beyond it may hold any finite value, those of the output become zero.
    """

    def __init__(
        self,
        weight: Tensor,
        bias: Tensor,
        fold: int,
        *,
        in_channels: int | None = None,
        out_channels: int | None = None,
    ):
        outputs, inputs, side, _ = weight.shape
        self.fold, self.out_channels = fold, out_channels or outputs
        self._channels = in_channels or inputs
        radius = side // 2
        reach = -(-radius // fold)  # pixels of the folded row to the left, and to the right
        self._padding = (radius, reach)
        folded = weight.new_zeros(
            fold, self.out_channels, fold, self._channels, side, 2 * reach + 1
        )
        for pixel in range(fold):
            for tap in range(side):
                column, part = divmod(pixel + tap - radius, fold)
                folded[pixel, :outputs, part, :inputs, :, column + reach] = weight[..., tap]
        self._weight = folded.flatten(2, 3).flatten(0, 1)
        self._weight = self._weight.contiguous(memory_format=torch.channels_last)
        self._bias = bias.new_zeros(fold, self.out_channels)
        self._bias[:, :outputs] = bias
        self._bias = self._bias.flatten()

    def __call__(self, x: Tensor) -> Tensor:
        """(N, H, W, in_channels), contiguous, W a multiple of fold -> (N, H, W, out_channels).

        Raises:
            ValueError: the layout or the size is different.
        """
        n, height, width, channels = x.shape
        if width % self.fold or channels != self._channels or not x.is_contiguous():
            raise ValueError(
                f"the input must be a contiguous (N, H, W, {self._channels}) with W a multiple of "
                f"{self.fold}, got {tuple(x.shape)} with strides {x.stride()}"
            )
        row = x.view(n, height, width // self.fold, self.fold * channels).permute(0, 3, 1, 2)
        y = F.conv2d(row, self._weight, self._bias, padding=self._padding).permute(0, 2, 3, 1)
        return y.reshape(n, height, width, self.out_channels)
