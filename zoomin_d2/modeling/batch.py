"""`batched_inputs` (modeling/meta_arch.py) in, tensors on a device out."""

import torch


def stack_frames(batched_inputs: list[dict], key: str, device: torch.device) -> torch.Tensor:
    """(N, 3, H, W) float in [0, 1], of samples whose frames are uint8, or float in [0, 1].

    Raises:
        ValueError: there are no samples, one lacks the frame, or frames are of several sizes.
        TypeError: several dtypes, or one whose range is not known.
    """
    for sample in batched_inputs:
        if key not in sample:
            raise ValueError(
                f"a sample has {sorted(sample)} and no '{key}': FrameInterpolator takes frame_1, "
                "frame_2 and t; for single images there is zoomin_d2.Interpolator"
            )
    sizes = {tuple(x[key].shape) for x in batched_inputs}
    if len(sizes) != 1:
        raise ValueError(
            f"'{key}' must have one size per batch, got {sorted(sizes) or 'no samples'}"
        )
    dtypes = {x[key].dtype for x in batched_inputs}
    if len(dtypes) != 1:
        raise TypeError(f"'{key}' must have one dtype per batch, got {sorted(map(str, dtypes))}")
    frames = _stack([x[key] for x in batched_inputs])
    if frames.dtype != torch.uint8 and not frames.is_floating_point():
        raise TypeError(f"'{key}' must be uint8, or float in [0, 1], got {frames.dtype}")
    frames = frames.to(device, non_blocking=True)
    return frames.float() / 255 if frames.dtype == torch.uint8 else frames.float()


def _stack(tensors: list[torch.Tensor]) -> torch.Tensor:
    """`torch.stack`; where they are the rows of one tensor (data/batching.py), that one itself.

    It is in pinned memory: the copy to the GPU needs neither a copy before it nor the host's time.
    """
    whole, shape = tensors[0]._base, tensors[0].shape
    if whole is None or whole.shape != (len(tensors), *shape):
        return torch.stack(tensors)
    rows = zip(tensors, whole)
    in_order = all(x._base is whole and x.data_ptr() == row.data_ptr() for x, row in rows)
    same_layout = all(x.shape == shape and x.stride() == whole.stride()[1:] for x in tensors)
    return whole if in_order and same_layout else torch.stack(tensors)


def stack_times(batched_inputs: list[dict], device: torch.device) -> torch.Tensor:
    """(N,) float. Raises ValueError where a t does not lie between 0 and 1."""
    times = [float(x["t"]) for x in batched_inputs]
    if not all(0 < t < 1 for t in times):
        raise ValueError(f"t must lie between 0 and 1, got {times}")
    return torch.tensor(times).to(device, non_blocking=True)
