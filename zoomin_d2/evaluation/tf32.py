"""Whole float32 for as long as scores are computed."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def disable_tf32() -> Iterator[None]:
    """No TensorFloat-32 within it: on NVIDIA GPUs convolutions would keep 10 of 23 bits."""
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = before
