"""A stream of 8-bit frames in, the frames between them out, while the next ones are being copied.

Every frame is copied to the device once, though it belongs to two pairs.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from zoomin_d2.inference.frame_kinds import to_tensor
from zoomin_d2.interpolate import Interpolate
from zoomin_d2.transfer import Transfer, overlapped, pairs_in_flight


def interpolate_stream(
    interpolate: Interpolate,
    device: torch.device,
    frames: Iterable[np.ndarray],
    ts: Sequence[float] = (0.5,),
) -> Iterator[list[np.ndarray]]:
    """For every two neighboring frames, the frames at the times between them.

    Args:
        interpolate: takes 8-bit frames on ``device`` and returns such frames.
        frames: (H, W, 3) uint8 RGB, all of one size; read a few frames ahead of the results, and
            copied, so that all may come in one buffer.
        ts: in (0, 1).

    Yields:
        len(frames) - 1 lists of len(ts) arrays (H, W, 3) uint8.

    Raises:
        ValueError: a frame is not 8-bit RGB, or differs in size from the first.
    """
    transfer = Transfer()
    owned = (x.clone() if device.type == "cpu" else x for x in _checked(frames))
    uploaded = (transfer.upload(frame, device) for frame in owned)
    started = (transfer.download(interpolate(*pair, list(ts))) for pair in pairwise(uploaded))
    ahead = pairs_in_flight(device, getattr(interpolate, "workers", 1))
    for made in overlapped(started, ahead):
        yield [frame[0].permute(1, 2, 0).contiguous().numpy() for frame in made]


def _checked(frames: Iterable[np.ndarray]) -> Iterator[Tensor]:
    size: tuple[int, ...] | None = None
    for number, frame in enumerate(frames):
        tensor, kind = to_tensor(frame, f"frame {number}")
        if not (kind.is_array and kind.is_8bit and kind.shape[2:] == (3,)):
            raise ValueError(
                f"frame {number} is {kind.dtype} {kind.shape}; streams take (H, W, 3) uint8 arrays"
            )
        if size is not None and tensor.shape[-2:] != size:
            raise ValueError(
                f"frame {number} has {tensor.shape[3]} x {tensor.shape[2]} pixels, but the ones "
                f"before it have {size[1]} x {size[0]}"
            )
        size = tuple(tensor.shape[-2:])
        yield tensor
