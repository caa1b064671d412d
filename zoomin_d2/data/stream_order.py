"""Which record is the p-th sample of the training stream: a pure function of (seed, position).

Nothing else matters: not the number of processes or workers, not what was read before. So a run
that resumes at iteration k continues with the samples that an uninterrupted run would have seen.
"""

import itertools
from collections.abc import Iterator, Sequence

import numpy as np


class StreamOrder:
    """Indices of records by position: epochs in which record i comes up weights[i] times, shuffled.

    Args:
        weights: a positive integer per record: how often an epoch holds it.
        seed: non-negative, the same in all processes.
    """

    def __init__(self, weights: Sequence[int], seed: int):
        if not len(weights) or min(weights) < 1:
            raise ValueError("StreamOrder needs at least one record and a positive weight for each")
        self._last_place = np.cumsum(weights)
        self._seed = seed
        self._epoch, self._order = -1, np.empty(0, np.int64)

    @property
    def epoch_size(self) -> int:
        """Samples per epoch, over all processes."""
        return int(self._last_place[-1])

    def __getitem__(self, position: int) -> int:
        epoch, place = divmod(position, self.epoch_size)
        if epoch != self._epoch:
            self._epoch = epoch
            self._order = np.random.default_rng([self._seed, epoch]).permutation(self.epoch_size)
        return int(np.searchsorted(self._last_place, self._order[place], side="right"))


def positions(
    start: int, batch_size: int, process: tuple[int, int], worker: tuple[int, int]
) -> Iterator[int]:
    """Endless positions of one worker of one process.

    Process r of W has every W-th position, so that consecutive total batches are the same samples
    for any W that divides the batch. Worker i of n makes every n-th batch of its process.

    Args:
        start: position of the first sample of the stream, over all processes.
        batch_size: samples per batch of one process.
        process, worker: (which, of how many).
    """
    rank, num_processes = process
    for batch in itertools.count(*worker):
        for sample in range(batch * batch_size, (batch + 1) * batch_size):
            yield start + rank + sample * num_processes
