"""`batched_inputs` (modeling/interpolator.py) in, tensors on a device out."""

import torch


def stack_frames(batched_inputs: list[dict], key: str, device: torch.device) -> torch.Tensor:
    """(N, 3, H, W) float in [0, 1], of samples whose frames are uint8, or float in [0, 1].

    Raises:
        ValueError: there are no samples, or frames of several sizes.
        TypeError: a dtype whose range is not known.
    """
    sizes = {tuple(x[key].shape) for x in batched_inputs}
    if len(sizes) != 1:
        raise ValueError(
            f"'{key}' must have one size per batch, got {sorted(sizes) or 'no samples'}"
        )
    frames = torch.stack([x[key] for x in batched_inputs])
    if frames.dtype != torch.uint8 and not frames.is_floating_point():
        raise TypeError(f"'{key}' must be uint8, or float in [0, 1], got {frames.dtype}")
    frames = frames.to(device, non_blocking=True)
    return frames.float() / 255 if frames.dtype == torch.uint8 else frames.float()


def stack_times(batched_inputs: list[dict], device: torch.device) -> torch.Tensor:
    """(N,) float. Raises ValueError where a t does not lie between 0 and 1."""
    times = [float(x["t"]) for x in batched_inputs]
    if not all(0 < t < 1 for t in times):
        raise ValueError(f"t must lie between 0 and 1, got {times}")
    return torch.tensor(times).to(device, non_blocking=True)
