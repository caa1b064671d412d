"""Positions of crops in a memory full of pixels in, the crops out: area-averaged, turned, flipped.

One pointwise computation for a whole batch: on a GPU, `torch.compile` makes it one kernel.
"""

import functools
from collections.abc import Callable

import torch


def area_crops(
    pixels: torch.Tensor,
    starts: torch.Tensor,
    strides: torch.Tensor,
    extents: torch.Tensor,
    size: tuple[int, int],
    num_taps: int,
) -> torch.Tensor:
    """N crops of any extents, each averaged by area to one size and rounded, halves up.

    An output pixel is the mean of the source pixels under its square, weighted by how much of each
    the square covers: OpenCV's INTER_AREA.

    Args:
        pixels: (P, 3) uint8.
        starts: (N,) int64, the crops' first pixels.
        strides: (N, 2) int64, pixels from a row to the next and from a column to the next. Negative
            strides flip; exchanging the two transposes.
        extents: (N, 2) int64, rows and columns of the sources, at least ``size``.
        size: (H, W) of the crops.
        num_taps: source pixels that an output pixel may touch along a side: 1 where no crop is
            made smaller, else at least ``ceil(extent / size) + 1``.

    Returns:
        (N, 3, H, W) uint8.
    """
    values = pixels.flatten()
    rows, row_weights = _taps(extents[:, 0], size[0], num_taps)
    columns, column_weights = _taps(extents[:, 1], size[1], num_taps)
    rows = starts[:, None, None] + rows * strides[:, :1, None]
    columns = columns * strides[:, 1:, None]
    channel = torch.arange(3, device=pixels.device).view(3, 1, 1)
    mean = torch.zeros((), device=pixels.device)
    for i in range(num_taps):
        for j in range(num_taps):
            place = rows[:, i, None, :, None] + columns[:, j, None, None, :]
            weight = row_weights[:, i, None, :, None] * column_weights[:, j, None, None, :]
            mean = mean + weight * values[3 * place + channel]
    return (mean + 0.5).to(torch.uint8)


def _taps(extents: torch.Tensor, size: int, num_taps: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Source pixels along one side, (N, num_taps, size) int64, and their shares of the mean."""
    edges = torch.arange(size + 1, device=extents.device) * extents[:, None]
    # Divided as integers: a compiled float division may come out just below a whole number.
    first = (edges[:, :-1] // size)[:, None]
    places = first + torch.arange(num_taps, device=extents.device)[:, None]
    low, high = edges[:, None, :-1] / size, edges[:, None, 1:] / size
    covered = torch.minimum(high, places + 1) - torch.maximum(low, places)
    weights = covered.clamp(min=0) * (size / extents[:, None, None])
    return torch.minimum(places, extents[:, None, None] - 1), weights


@functools.cache
def area_crops_on(device_type: str) -> Callable[..., torch.Tensor]:
    """`area_crops`, compiled where that pays; the compiled code is kept for the next call."""
    return torch.compile(area_crops, dynamic=False) if device_type == "cuda" else area_crops
