"""Detail of made frames (generators/detail.py), in CUDA kernels where a GPU can run them."""

from typing import Any

import torch
from torch import Tensor

from zoomin_d2.frames import to_8bit
from zoomin_d2.generators.detail import (
    CELL,
    EPSILON,
    LUMA,
    MAX_GAIN,
    detail_energies,
    motion_of_energies,
    restore_detail,
)
from zoomin_d2.generators.motion_decoder import Time


class PairDetail:
    """Restores the detail of frames that were made between two.

    Args:
        frame_1, frame_2: (N, 3, H, W) of one dtype, uint8 or float in [0, 1].
        strength: see `restore_detail`.
        fused: use the kernels, where they run; needs Triton.
    """

    def __init__(self, frame_1: Tensor, frame_2: Tensor, strength: float, *, fused: bool):
        self._strength = strength
        self._kernels = _kernels_for(frame_1) if fused else None
        # Of the kernels, cells: energies that are not smoothed yet.
        of = detail_energies if self._kernels is None else self._kernels.cells
        self._energies = of(frame_1, frame_2)

    @property
    def grid(self) -> tuple[int, int]:
        """Height and width of flows and mask in cells."""
        return self._energies.shape[-2], self._energies.shape[-1]

    def restored(self, frame: Tensor, flows: Tensor, mask: Tensor, dtype: torch.dtype) -> Tensor:
        """The frame with its detail, in its memory format.

        Args:
            frame: (N, 3, H, W), uint8 or float in [0, 1].
            flows, mask: on the grid of cells, as for `restore_detail`.
            dtype: of the result, floating point or uint8.
        """
        if self._kernels is None:
            made = restore_detail(frame, self._energies, flows, mask, self._strength)
            return _as(made, dtype)
        out = _out(frame, dtype)
        self._kernels.restore(frame, self._energies, flows, mask, self._strength, out)
        return _as(out, dtype)

    def restored_along(
        self, frame: Tensor, motion: Tensor, t: Tensor, dtype: torch.dtype
    ) -> Tensor:
        """As `restored`, along the motion (N, 5, H' / 2, W' / 2) of the finest decoder.

        Args:
            t: (N,) in (0, 1).
        """
        if self._kernels is None:
            flows, mask = motion_of_energies(motion, Time.of(t), self.grid)
            return self.restored(frame, flows, mask, dtype)
        out = _out(frame, dtype)
        self._kernels.restore_along(frame, self._energies, motion, t, self._strength, out)
        return _as(out, dtype)


def _kernels_for(frame: Tensor) -> Any:
    """The kernels, or None where they do not run: on a CPU, on other GPUs, without NVRTC."""
    from zoomin_d2.layers.kernels.detail import DetailKernels
    from zoomin_d2.layers.kernels.launch import compiling
    from zoomin_d2.layers.kernels.nvrtc import compute_capability

    if not (frame.is_cuda or compiling()) or not compute_capability(frame):
        return None
    return DetailKernels(cell=CELL, epsilon=EPSILON, max_gain=MAX_GAIN, luma=LUMA)


def _out(frame: Tensor, dtype: torch.dtype) -> Tensor:
    return torch.empty_like(frame, dtype=dtype if dtype == torch.uint8 else torch.float32)


def _as(frame: Tensor, dtype: torch.dtype) -> Tensor:
    return to_8bit(frame) if dtype == torch.uint8 else frame.to(dtype)
