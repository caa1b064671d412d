"""Makes the first samples of every batch synthetic (synthetic_layers.py), in place of real ones.

Their number is fixed, so that shapes on the device are. A synthetic sample keeps the real one's t.
"""

import numpy as np
import torch

from zoomin_d2.data.batching import StackedBatch, stack_samples
from zoomin_d2.data.synthetic_layers import NUM_DRAWS, layered_triplets


def num_synthetic_samples(fraction: float, batch_size: int) -> int:
    """How many samples of a process's batch. Raises ValueError for a fraction outside [0, 1]."""
    if not 0 <= fraction <= 1:
        raise ValueError(f"INPUT.SYNTHETIC_FRACTION is {fraction}, expected 0 to 1")
    return round(fraction * batch_size)


def take_draws(samples: list[dict], num_synthetic: int) -> np.ndarray:
    """Remove "draws" from all samples, and give the first ones the values of synthetic samples.

    Returns:
        The draws of the synthetic samples, (num_synthetic, NUM_DRAWS) float32.
    """
    draws = [sample.pop("draws", None) for sample in samples][:num_synthetic]
    for sample in samples[:num_synthetic]:
        sample["file_name"] = f"synthetic/{sample['file_name']}"
        sample.pop("frame_t_hr", None)
        sample.pop("hr_scale", None)
    return np.array(draws, np.float32).reshape(-1, NUM_DRAWS)


def stack_with_synthetic(num_synthetic: int, samples: list[dict]) -> StackedBatch:
    """`stack_samples` for a batch whose first samples become synthetic."""
    draws = take_draws(samples, num_synthetic)
    if num_synthetic:
        stills = torch.stack([sample["frame_t"] for sample in samples])
        t = torch.tensor([sample["t"] for sample in samples[:num_synthetic]])
        frames = layered_triplets(stills, torch.from_numpy(draws), t)
        for sample, frame_1, frame_t, frame_2 in zip(samples, *frames):
            sample.update(frame_1=frame_1, frame_t=frame_t, frame_2=frame_2)
    return stack_samples(samples)
