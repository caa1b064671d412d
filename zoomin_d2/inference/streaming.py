"""A stream of 8-bit frames in, the frames between them out, while the next ones are on their way.

On a GPU three things happen at once, on a CUDA stream each: frame k + 1 is copied to the device
from page-locked memory, the frames before k are computed, and those before them are copied back.
Every frame is copied once, though it belongs to two pairs. The host waits only for results.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from zoomin_d2.inference.engine import InferenceEngine
from zoomin_d2.inference.frame_kinds import to_tensor

_IN_FLIGHT = 3  # pairs: one on its way there, one being computed, one on its way back


def interpolate_stream(
    engine: InferenceEngine, frames: Iterable[np.ndarray], ts: Sequence[float] = (0.5,)
) -> Iterator[list[np.ndarray]]:
    """For every two neighbouring frames, the frames at the times between them.

    Args:
        engine: of an Interpolator.
        frames: (H, W, 3) uint8 RGB, all of one size; read a few ahead of what is given out.
        ts: in (0, 1).

    Yields:
        len(frames) - 1 lists of len(ts) arrays (H, W, 3) uint8.

    Raises:
        ValueError: a frame is not 8-bit RGB, or of another size than the first.
    """
    transfer = _GpuTransfer(engine.device) if engine.device.type == "cuda" else _NoTransfer()
    waiting: deque = deque()
    previous: Tensor | None = None
    for number, frame in enumerate(frames):
        tensor, kind = to_tensor(frame, f"frame {number}")
        if not (kind.is_array and kind.is_8bit):
            raise ValueError(f"frame {number} is {kind.dtype}: streams take (H, W, 3) uint8 arrays")
        if previous is not None and tensor.shape != previous.shape:
            raise ValueError(
                f"frame {number} has {tensor.shape[3]} x {tensor.shape[2]} pixels, the ones before "
                f"{previous.shape[3]} x {previous.shape[2]}"
            )
        tensor = transfer.upload(tensor)
        if previous is not None:
            waiting.append(transfer.download(engine(previous, tensor, ts)))
        previous = tensor
        if len(waiting) >= _IN_FLIGHT:
            yield transfer.finish(waiting.popleft())
    while waiting:
        yield transfer.finish(waiting.popleft())


class _NoTransfer:
    """Everything is where it is needed."""

    def upload(self, frame: Tensor) -> Tensor:
        return frame

    def download(self, frames: list[Tensor]) -> list[Tensor]:
        return frames

    def finish(self, frames: list[Tensor]) -> list[np.ndarray]:
        return [_as_array(x) for x in frames]


class _GpuTransfer:
    """Copies on streams of their own."""

    def __init__(self, device: torch.device):
        self._device = device
        self._up, self._down = (torch.cuda.Stream(device) for _ in range(2))

    def upload(self, frame: Tensor) -> Tensor:
        compute = torch.cuda.current_stream(self._device)
        with torch.cuda.stream(self._up):
            moved = frame.pin_memory().to(self._device, non_blocking=True)
        compute.wait_stream(self._up)
        moved.record_stream(compute)  # its memory is not reused before `compute` is done with it
        return moved

    def download(self, frames: list[Tensor]) -> tuple[list[Tensor], torch.cuda.Event]:
        self._down.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(self._down):
            copies = []
            for frame in frames:
                copy = torch.empty_like(frame, device="cpu", pin_memory=True)
                copies.append(copy.copy_(frame, non_blocking=True))
                frame.record_stream(self._down)
            return copies, self._down.record_event()

    def finish(self, copied: tuple[list[Tensor], torch.cuda.Event]) -> list[np.ndarray]:
        copied[1].synchronize()
        return [_as_array(x) for x in copied[0]]


def _as_array(frame: Tensor) -> np.ndarray:
    return frame[0].permute(1, 2, 0).contiguous().numpy()
