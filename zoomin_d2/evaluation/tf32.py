"""Full float32 while scores are computed."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def disable_tf32() -> Iterator[None]:
    """Turns TensorFloat-32 off, with which convolutions on NVIDIA GPUs keep 10 of 23 bits."""
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = before
