"""One training step of the generator, watched by a guard against non-finite values."""

from collections.abc import Iterator

import torch
from detectron2.engine import SimpleTrainer

from zoomin_d2.engine.resilience.nonfinite import NonFiniteGuard


class GuardedTrainer(SimpleTrainer):
    """Detectron2's SimpleTrainer, with a guard between its backward pass and its step."""

    def __init__(self, *args, guard: NonFiniteGuard, **kwargs):
        super().__init__(*args, **kwargs)
        self.guard = guard
        self.last_batch: list[dict] | None = None
        self.last_losses: dict[str, torch.Tensor] = {}
        self._data_loader_iter_obj: Iterator[list[dict]] | None = None  # as Detectron2 names it

    @property
    def _data_loader_iter(self) -> Iterator[list[dict]]:
        if self._data_loader_iter_obj is None:
            self._data_loader_iter_obj = self._remembering(iter(self.data_loader))
        return self._data_loader_iter_obj

    def close(self) -> None:
        """End the data workers; if Python's exit ended them, their sockets would stay in TMPDIR."""
        self._data_loader_iter_obj = None

    def _remembering(self, batches: Iterator[list[dict]]) -> Iterator[list[dict]]:
        for self.last_batch in batches:
            yield self.last_batch

    def _write_metrics(self, loss_dict, data_time, prefix="", iter=None) -> None:
        # Called between the backward pass and the optimizer's step.
        self.last_losses = loss_dict
        if self.guard.must_skip(self.iter, loss_dict, self.model.parameters()):
            self.optimizer.zero_grad(set_to_none=True)  # without gradients, its step does nothing
            return
        self.guard.watch(self.iter, loss_dict)
        if (self.iter + 1) % self.gather_metric_period == 0:
            self.guard.verify(self.iter)  # before Detectron2's check, which covers one process
        super()._write_metrics(loss_dict, data_time, prefix, iter)
