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
    valid: torch.Tensor | None = None  # (N, M) bool; None when every region counts
