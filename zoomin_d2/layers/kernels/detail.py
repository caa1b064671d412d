"""Fine structure made stronger (generators/detail.py), in two CUDA kernels; inference only.

Cells here are energies before their smoothing: the mean of D^2 over 4 x 4 pixels. Who reads them
smooths them, which saves a pass. Flows, mask, and gain are not stored.

Shape shorthand: N pairs; H, W: a frame; h, w: cells in it, those at a border not always whole.
"""

import ctypes
import functools
from collections.abc import Sequence

import torch
import triton
from torch import Tensor

from zoomin_d2.layers.kernels.launch import launch
from zoomin_d2.layers.kernels.nvrtc import CudaKernel

_SIDE = 32  # pixels, of a block's tile
_WIDE = _SIDE + 4  # with those around it that its luma is smoothed with


class DetailKernels:
    """The two kernels, for the constants of a definition.

    Frames are (N, 3, H, W) in any memory format, of up to 2^27 pixels: uint8, or floats of 16 or
    32 bits in [0, 1].

    Args:
        cell: pixels of a cell's side, a power of 2.
        epsilon: added to energies.
        max_gain: of detail.
        luma: the weights of red, green, and blue.
    """

    def __init__(self, *, cell: int, epsilon: float, max_gain: float, luma: Sequence[float]):
        self.cell = cell
        self._of_frames = dict(zip(("RED", "GREEN", "BLUE"), luma), CELL=cell)
        self._of_gains = {"EPSILON": epsilon, "MAX_GAIN": max_gain}
        self._threads = 32 * _SIDE // cell

    def cells(self, frame_1: Tensor, frame_2: Tensor | None = None) -> Tensor:
        """(2N, h, w) float32, of every frame_1, then of every frame_2, which have the same dtype;
        (N, h, w) if there is no frame_2.

        Raises:
            ValueError: the frames differ in size.
        """
        frames = [frame_1] if frame_2 is None else [frame_1, frame_2]
        n, _, height, width = frame_1.shape
        if frames[-1].shape != frame_1.shape:
            shapes = tuple(frame_1.shape), tuple(frames[-1].shape)
            raise ValueError(f"frame_1 and frame_2 must have one size, got {shapes}")
        grid = triton.cdiv(height, self.cell), triton.cdiv(width, self.cell)
        out = torch.empty(len(frames) * n, *grid, dtype=torch.float32, device=frame_1.device)
        launch(
            _kernel("detail_cells", **self._of_frames, **_format(frame_1)),
            (triton.cdiv(width, _SIDE), triton.cdiv(height, _SIDE), len(out)),
            frame_1,
            frames[-1],
            out,
            n,
            height,
            width,
            *_strides(frame_1),
            *_strides(frames[-1]),
            threads=self._threads,
            shared=4 * _WIDE * (_WIDE + _SIDE),
        )
        return out

    def restore(
        self,
        frame: Tensor,
        cells: Tensor,
        flows: Tensor,
        mask: Tensor,
        strength: float,
        out: Tensor,
    ) -> Tensor:
        """Write the frame with stronger detail, clipped to [0, 1], into ``out``.

        Args:
            cells: (2N, h, w), of `cells`.
            flows: (2N, 2, h, w) in cells, of every pair to its frame_1, then to its frame_2.
            mask: (N, 1, h, w), the weight of frame_1.
            strength: 0 changes nothing, 1 gives full strength.
            out: (N, 3, H, W) in any memory format, float32 or uint8: halves are rounded up.
        """
        return self._restore(frame, cells, flows, mask, strength, out)

    def restore_along(
        self, frame: Tensor, cells: Tensor, motion: Tensor, t: Tensor, strength: float, out: Tensor
    ) -> Tensor:
        """As `restore`, with flows and mask of a motion, which are computed on the way.

        Args:
            motion: (N, 5, H' / 2, W' / 2) as in generators/motion_decoder.py; H', W': H and W,
                padded to whole cells at least.
            t: (N,) in (0, 1).
        """
        return self._restore(frame, cells, motion, t, strength, out)

    def _restore(
        self,
        frame: Tensor,
        cells: Tensor,
        motion: Tensor,
        times: Tensor,
        strength: float,
        out: Tensor,
    ) -> Tensor:
        n, _, height, width = frame.shape
        motion, times = motion.float().contiguous(), times.float().contiguous()
        around = _SIDE // self.cell + 2
        launch(
            _kernel(
                "restore_detail",
                **self._of_frames,
                **self._of_gains,
                **_format(frame),
                MOTION=int(motion.shape[1] == 5),
                AS_8BIT=int(out.dtype == torch.uint8),
            ),
            (triton.cdiv(width, _SIDE), triton.cdiv(height, _SIDE), n),
            frame,
            cells,
            self.cells(frame),
            motion,
            times,
            out,
            height,
            width,
            *motion.shape[2:],
            *_strides(frame),
            *_strides(out),
            float(strength),
            threads=self._threads,
            shared=4 * (_WIDE * (_WIDE + _SIDE) + around**2),
        )
        return out


@functools.cache
def _kernel(name: str, **constants: int | float) -> CudaKernel:
    return CudaKernel(name, **constants)


def _format(frame: Tensor) -> dict[str, int]:
    return {"BYTES": frame.element_size(), "BFLOAT16": int(frame.dtype == torch.bfloat16)}


def _strides(frame: Tensor) -> tuple:
    """Of image, color, row, and pixel, as the kernels take them.

    Raises:
        ValueError: 32 bits cannot count the numbers from the first to the last one of an image.
    """
    image, *inside = frame.stride()
    if sum(stride * (size - 1) for stride, size in zip(inside, frame.shape[1:])) >= 2**31:
        raise ValueError(f"strides {tuple(frame.stride())} are too large for a frame")
    return ctypes.c_longlong(image), *inside
