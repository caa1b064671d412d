"""What a training forward leaves for later code in the same iteration.

Shape shorthand: see meta_arch.py.
"""

from dataclasses import dataclass

import torch
from detectron2.structures import Instances

from zoomin_d2.generators import GeneratorOutput


@dataclass
class StepRecord:
    """What one training forward left for the hooks (discriminator step, pictures); all detached."""

    frame_1: torch.Tensor  # (N, 3, H, W)
    frame_t: torch.Tensor
    frame_2: torch.Tensor
    outputs: GeneratorOutput
    num_skipped: int = 0  # unreadable records that were replaced in this batch
    proposals: list[Instances] | None = None
    # What the discriminator judges: (N * M, 3, S, S) patches, or (N, 3, H, W) whole images.
    real: torch.Tensor | None = None
    fake: torch.Tensor | None = None
    # The same places of frame_1 and frame_2 (6 channels), for a conditional discriminator.
    context: torch.Tensor | None = None
    valid: torch.Tensor | None = None  # (N, verdicts per image) bool: which verdicts count
    gan_weight: torch.Tensor | float = 0.0  # lambda_4 of this iteration


def with_context(patches: torch.Tensor, context: torch.Tensor | None) -> torch.Tensor:
    """Patches or images (R, 3, S, S) followed by their context's channels, if there is one."""
    return patches if context is None else torch.cat((patches, context), dim=1)
