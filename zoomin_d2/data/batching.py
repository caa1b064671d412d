"""Lists of samples as few large tensors, and back: how batches travel from worker processes.

Handing a tensor to another process costs a file descriptor and more time than making a crop. So the
worker stacks a batch, and the main process takes it apart without copying.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Generic, TypeVar, cast

import torch
from torch.utils.data import DataLoader

from zoomin_d2.data.worker_setup import start_workers
from zoomin_d2.frames import CorruptFrameError
from zoomin_d2.modeling.batch import Batch

_BatchT = TypeVar("_BatchT")
# The arguments of `Batch`: plain lists, dicts and tensors, which can be pinned and sent.
StackedBatch = tuple[list[dict], list[tuple[str, list[int], torch.Tensor]]]


def stack_samples(samples: list[dict]) -> StackedBatch:
    """Stack the tensors of equal key and shape; see `Batch` for what is returned."""
    members: dict[tuple[str, torch.Size], list[int]] = {}
    values: list[dict] = []
    for i, sample in enumerate(samples):
        tensors = {key: value for key, value in sample.items() if isinstance(value, torch.Tensor)}
        values.append({key: value for key, value in sample.items() if key not in tensors})
        for key, tensor in tensors.items():
            members.setdefault((key, tensor.shape), []).append(i)
    stacks = [
        (key, indices, torch.stack([samples[i][key] for i in indices]))
        for (key, _), indices in members.items()
    ]
    return values, stacks


def collate_or_error(
    collate: Callable[[list[dict]], _BatchT], samples: list[dict | CorruptFrameError]
) -> _BatchT | CorruptFrameError:
    """A batch, or the first error among its samples, for `WorkerLoader`.

    Raised in a worker process, the error would arrive as a RuntimeError with a traceback as text.
    """
    for sample in samples:
        if isinstance(sample, CorruptFrameError):
            return sample
    return collate(cast(list[dict], samples))


class WorkerLoader(Generic[_BatchT]):
    """A data loader whose workers obey the training alone, and whose errors are raised.

    Args:
        loader: yields batches or, in their place, errors (see `collate_or_error`).
    """

    def __init__(self, loader: DataLoader):
        self.loader = loader

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Iterator[_BatchT]:
        return self._checked(start_workers(self.loader))  # the workers start now

    @staticmethod
    def _checked(batches: Iterator[_BatchT | CorruptFrameError]) -> Iterator[_BatchT]:
        for batch in batches:
            if isinstance(batch, CorruptFrameError):
                raise batch
            yield batch


class BatchLoader:
    """A loader of stacked batches as an iterable of lists of samples.

    Args:
        loader: gives stacked batches.
        records_summary: what the samples are made of, for comparison.
        frames: what the samples are cut from, for use by another loader.
    """

    def __init__(
        self,
        loader: Iterable[StackedBatch],
        records_summary: dict | None = None,
        frames: Any = None,
    ):
        self.loader = loader
        self.records_summary = records_summary
        self.frames = frames

    def __iter__(self) -> Iterator[Batch]:
        return (Batch(*stacked) for stacked in self.loader)


class CarryingMapper:
    """A mapper that returns its CorruptFrameError instead of a sample; see `collate_or_error`."""

    def __init__(self, mapper: Callable[[dict], dict]):
        self.mapper = mapper

    def __call__(self, record: dict) -> dict | CorruptFrameError:
        try:
            return self.mapper(record)
        except CorruptFrameError as error:
            return error
