"""Lists of samples as few large tensors, and back: how batches travel from worker processes.

Handing a tensor to another process costs a file descriptor and more time than making a crop takes,
so a batch is stacked in the worker and taken apart, without copying, in the main process.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch.utils.data import DataLoader

from zoomin_d2.frames import CorruptFrameError

PackedBatch = tuple[list[torch.Tensor], list[dict], list[dict]]


def pack_samples(samples: list[dict]) -> PackedBatch:
    """Returns the stacked tensors (one per key and shape), each sample's other values, and each
    sample's places in the stacks: {key: (stack, row)}."""
    stacks: dict[tuple, list[torch.Tensor]] = {}
    values, places = [], []
    for sample in samples:
        tensors = {key: value for key, value in sample.items() if isinstance(value, torch.Tensor)}
        values.append({key: value for key, value in sample.items() if key not in tensors})
        place = {}
        for key, tensor in tensors.items():
            kind = (key, tensor.shape)
            stack = stacks.setdefault(kind, [])
            place[key] = (list(stacks).index(kind), len(stack))
            stack.append(tensor)
        places.append(place)
    return [torch.stack(stack) for stack in stacks.values()], values, places


def unpack_samples(batch: PackedBatch) -> list[dict]:
    """The samples again; their tensors are views of the stacks."""
    stacks, values, places = batch
    return [
        {**value, **{key: stacks[stack][row] for key, (stack, row) in place.items()}}
        for value, place in zip(values, places)
    ]


class UnpackedLoader:
    """A loader of packed batches as an iterable of lists of samples.

    Args:
        loader: gives packed batches.
        records_summary: what they are made of, for whoever wants to compare.
        frames: what they are cut from, for whoever wants another loader of it.
    """

    def __init__(
        self,
        loader: Iterable[PackedBatch],
        records_summary: dict | None = None,
        frames: Any = None,
    ):
        self.loader = loader
        self.records_summary = records_summary
        self.frames = frames

    def __iter__(self) -> Iterator[list[dict]]:
        return map(unpack_samples, self.loader)


class CarryingMapper:
    """A mapper that gives its CorruptFrameError instead of a sample: for `TestLoader`.

    Raised in a worker process, it would come out as a RuntimeError with a traceback in its text.
    """

    def __init__(self, mapper: Callable[[dict], dict]):
        self.mapper = mapper

    def __call__(self, record: dict) -> dict | CorruptFrameError:
        try:
            return self.mapper(record)
        except CorruptFrameError as error:
            return error


class TestLoader:
    """A loader of lists of samples, which raises the errors that came instead of them."""

    __test__ = False  # no test of pytest's

    def __init__(self, loader: DataLoader):
        self.loader = loader

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Iterator[list[dict]]:
        for batch in self.loader:
            for sample in batch:
                if isinstance(sample, CorruptFrameError):
                    raise sample
            yield batch
