"""`batched_inputs` (modeling/meta_arch.py) in, tensors on a device out."""

from collections.abc import Sequence

import torch

from zoomin_d2.frames import to_float


class Batch(list[dict]):
    """Samples whose tensors are rows of stacks, and those stacks.

    It is a list of dicts like any other `batched_inputs`, but code that needs a tensor of the whole
    batch need not stack it again. (The stacks are in pinned memory, so the copy to the GPU needs
    neither another copy before it nor the host's time.)

    Args:
        values: each sample without its tensors.
        stacks: (key, samples that have it, their tensors (K, ...)); a key occurs several times if
            its shape differs between samples.
    """

    def __init__(
        self, values: Sequence[dict], stacks: Sequence[tuple[str, Sequence[int], torch.Tensor]]
    ):
        super().__init__(dict(sample) for sample in values)
        self._wholes: dict[str, tuple[torch.Tensor, tuple[torch.Tensor, ...]]] = {}
        for key, members, stack in stacks:
            rows = stack.unbind()
            for i, row in zip(members, rows, strict=True):
                self[i][key] = row
            if len(rows) == len(self):
                self._wholes[key] = stack, rows

    def whole(self, key: str) -> torch.Tensor | None:
        """``key`` of all samples as one tensor; None if they have several shapes.

        Also None if a sample was added, removed or given another tensor: then only the samples
        themselves are right.
        """
        stack, rows = self._wholes.get(key, (None, ()))
        is_current = len(rows) == len(self) and all(x.get(key) is row for x, row in zip(self, rows))
        return stack if is_current else None


def stack_frames(batched_inputs: list[dict], key: str, device: torch.device) -> torch.Tensor:
    """(N, 3, H, W) float in [0, 1], of samples whose frames are uint8, or float in [0, 1].

    Raises:
        ValueError: there are no samples, one lacks the frame, or frames have several sizes.
        TypeError: frames have several dtypes, or one whose range is unknown.
    """
    for sample in batched_inputs:
        if key not in sample:
            raise ValueError(
                f"a sample has {sorted(sample)} but no '{key}': FrameInterpolator takes frame_1, "
                "frame_2 and t; for single images use zoomin_d2.Interpolator"
            )
    sizes = {tuple(x[key].shape) for x in batched_inputs}
    if len(sizes) != 1:
        raise ValueError(
            f"'{key}' must have one size per batch, got {sorted(sizes) or 'no samples'}"
        )
    dtypes = {x[key].dtype for x in batched_inputs}
    if len(dtypes) != 1:
        raise TypeError(f"'{key}' must have one dtype per batch, got {sorted(map(str, dtypes))}")
    frames = batched_inputs.whole(key) if isinstance(batched_inputs, Batch) else None
    if frames is None:
        frames = torch.stack([x[key] for x in batched_inputs])
    return to_float(frames.to(device, non_blocking=True))


def stack_times(batched_inputs: list[dict], device: torch.device) -> torch.Tensor:
    """(N,) float. Raises ValueError if a t is not between 0 and 1."""
    times = [float(x["t"]) for x in batched_inputs]
    if not all(0 < t < 1 for t in times):
        raise ValueError(f"t must be between 0 and 1, got {times}")
    return torch.tensor(times).to(device, non_blocking=True)
