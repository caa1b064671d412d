"""Which record is the p-th sample of the training stream: a pure function of (seed, position).

Nothing else enters: not the number of processes or workers, not what was read before. So a run
that is resumed at iteration k goes on with the samples that an unbroken run would have seen.
"""

import itertools
from collections.abc import Iterator, Sequence

import numpy as np
from detectron2.utils import comm
from torch.utils.data.sampler import Sampler


class StreamSampler(Sampler):
    """Endless (position, record index) pairs of this process.

    The stream is a sequence of epochs; in each, record i comes up weights[i] times, in random
    order. With W processes, process r takes positions start + r, start + r + W, ...: consecutive
    total batches are the same samples for any W that divides the batch.

    Args:
        weights: a positive integer per record: how often an epoch holds it.
        seed: non-negative, the same in all processes.
        start_position: position of the first sample of the stream, over all processes.
    """

    def __init__(self, weights: Sequence[int], seed: int, start_position: int = 0):
        if not len(weights) or min(weights) < 1:
            raise ValueError("StreamSampler takes a positive weight for each of >= 1 records")
        self._last_place = np.cumsum(weights)
        self._seed = seed
        self._start = start_position + comm.get_rank()
        self._step = comm.get_world_size()

    @property
    def epoch_size(self) -> int:
        """Samples per epoch, over all processes."""
        return int(self._last_place[-1])

    def __iter__(self) -> Iterator[tuple[int, int]]:
        epoch, order = -1, np.empty(0, np.int64)
        for position in itertools.count(self._start, self._step):
            if position // self.epoch_size != epoch:
                epoch = position // self.epoch_size
                order = np.random.default_rng([self._seed, epoch]).permutation(self.epoch_size)
            place = order[position % self.epoch_size]
            yield position, int(np.searchsorted(self._last_place, place, side="right"))
