"""What fused kernels make. (Without Triton's import, which not every machine has.)"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from torch import Tensor


class FusedFrame(NamedTuple):
    """A made frame (N, 3, H, W), the motion of the finest decoder (N, 5, h, w) that it was made
    with, and what the decoder at full size added to it (N, 5, 2 h, 2 w), None without one."""

    frame: Tensor
    motion: Tensor
    refinement: Tensor | None = None


class FusedPair(NamedTuple):
    """The frames of a pair, and the mean length of its motion in pixels: a scalar on the device, of
    several times the largest."""

    made: list[FusedFrame]
    length: Tensor


def columns(rows: Iterable[Sequence[Tensor | None]]) -> list[Tensor]:
    """The first tensors of all rows, then the second ones, and so on, without None."""
    return [x for column in zip(*rows) for x in column if x is not None]


def rows_of(columns: Sequence[Tensor], count: int) -> list[tuple[Tensor, ...]]:
    """The reverse, for so many rows."""
    return list(zip(*(columns[k : k + count] for k in range(0, len(columns), count))))
