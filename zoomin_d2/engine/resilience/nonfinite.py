"""Losses, gradients and weights in; if one is NaN or inf, all processes stop or skip together.

Nothing here waits for the device more often than Detectron2's own logging does: losses stay on the
device and are read every SOLVER.METRIC_PERIOD iterations. Only SOLVER.SKIP_NONFINITE waits in every
iteration.
"""

import logging
import os
from collections.abc import Callable, Iterable

import detectron2.utils.comm as comm
import torch
from detectron2.engine import HookBase
from detectron2.utils.events import get_event_storage

from zoomin_d2.engine.checkpointing import nonfinite_names
from zoomin_d2.files import write_atomically

logger = logging.getLogger(__name__)

# This many skipped iterations in a row are no accident: the weights or the data are bad.
MAX_SKIPPED_IN_A_ROW = 50


class NonFiniteError(FloatingPointError):
    """A loss or a weight became NaN or inf; the message says where, and what was saved."""


class NonFiniteGuard:
    """Finds the first non-finite loss on any process, and stops all processes.

    Args:
        output_dir: gets ``nonfinite/`` with the inputs of the bad iteration (one file per process
            that had it) and the state of the training; "" writes nothing.
        skip: skip and count such iterations instead (SOLVER.SKIP_NONFINITE).
        load_batch: iteration -> this process's batch in it.
        get_state: -> the content of a checkpoint.
    """

    def __init__(
        self,
        output_dir: str = "",
        *,
        skip: bool = False,
        load_batch: Callable[[int], list[dict]] | None = None,
        get_state: Callable[[], dict] | None = None,
    ):
        self.output_dir = output_dir
        self.skip = skip
        self.num_skipped = 0
        self.last_skipped = -1  # iteration
        self._load_batch = load_batch
        self._get_state = get_state
        self._pending: list[tuple[int, dict[str, torch.Tensor]]] = []
        self._in_a_row = 0

    def watch(self, iteration: int, losses: dict[str, torch.Tensor]) -> None:
        """Keep losses for `verify`; does not wait for the device."""
        self._pending.append((iteration, {k: v.detach() for k, v in losses.items()}))

    def verify(self, iteration: int) -> None:
        """Read the losses that were kept; called by all processes in the same iteration.

        Raises:
            NonFiniteError: in every process, if a loss of any process is not finite.
        """
        found = None
        values = [x.float() for _, losses in self._pending for x in losses.values()]
        if values and not torch.stack(values).isfinite().all():
            found = next(
                (i, {k: v.item() for k, v in losses.items()})
                for i, losses in self._pending
                if not all(v.isfinite() for v in losses.values())
            )
        self._pending.clear()
        self._agree(iteration, found, "Loss became infinite or NaN")

    def verify_weights(self, iteration: int, weights: dict[str, torch.Tensor]) -> None:
        """Raises NonFiniteError if a weight is not finite; all processes have the same weights."""
        bad = nonfinite_names(weights)
        if bad:
            problem = f"{len(bad)} weights became infinite or NaN, the first is '{bad[0]}',"
            self._agree(iteration, (iteration, {}), problem)

    @torch.no_grad()
    def must_skip(
        self,
        iteration: int,
        losses: dict[str, torch.Tensor],
        parameters: Iterable[torch.nn.Parameter],
    ) -> bool:
        """With `skip`: whether any process has a non-finite loss or gradient. Waits for the device.

        Raises:
            NonFiniteError: after MAX_SKIPPED_IN_A_ROW skipped iterations in a row.
        """
        if not self.skip:
            return False
        gradients = [p.grad for p in parameters if p.grad is not None]
        values = [*losses.values(), *torch._foreach_norm(gradients)]
        is_bad = torch.stack([x.float() for x in values]).isfinite().logical_not().any().int()
        if comm.get_world_size() > 1:
            torch.distributed.all_reduce(is_bad, torch.distributed.ReduceOp.MAX)
        if not is_bad:
            self._in_a_row = 0 if self.last_skipped != iteration else self._in_a_row
            return False
        self.num_skipped += 1
        self._in_a_row += self.last_skipped != iteration
        self.last_skipped = iteration
        logger.warning(
            "Skipping iteration %d: non-finite loss or gradient (%d skipped so far): %s",
            iteration,
            self.num_skipped,
            {k: v.item() for k, v in losses.items()},
        )
        get_event_storage().put_scalar("nonfinite/skipped_iterations", self.num_skipped)
        if self._in_a_row >= MAX_SKIPPED_IN_A_ROW:
            found = (iteration, {k: v.item() for k, v in losses.items()})
            self._agree(iteration, found, f"{self._in_a_row} iterations in a row were skipped, and")
        return True

    def _agree(self, iteration: int, found: tuple[int, dict] | None, problem: str) -> None:
        reports = comm.all_gather(found)
        if not any(reports):
            return
        first = min(report[0] for report in reports if report)
        batch, names = None, []
        if found and found[0] == first and self._load_batch is not None:
            batch = self._load_batch(first)
            names = [sample["file_name"] for sample in batch]
        where = "\n".join(
            f"  process {rank}: {report[1]}, batch: {', '.join(files)}"
            for rank, (report, files) in enumerate(zip(reports, comm.all_gather(names)))
            if report and report[0] == first
        )
        kept = self._dump(first, iteration, found, batch)
        raise NonFiniteError(
            f"{problem} at iteration={first}!\n{where}\n{kept}"
            "--resume continues from the last good checkpoint with the same batches; "
            "SOLVER.SKIP_NONFINITE True skips bad iterations; a lower SOLVER.BASE_LR or "
            "SOLVER.CLIP_GRADIENTS may prevent them."
        )

    def _dump(self, first: int, iteration: int, found, batch: list[dict] | None) -> str:
        """Save inputs and state; returns a sentence that says where they are."""
        if not self.output_dir:
            return ""
        folder = os.path.join(self.output_dir, "nonfinite")
        stem = os.path.join(folder, f"iteration_{first:07d}")
        try:
            os.makedirs(folder, exist_ok=True)
            if batch is not None:
                content = {"iteration": first, "losses": found[1], "batch": list(batch)}
                path = f"{stem}_inputs_{comm.get_rank()}.pth"
                write_atomically(path, lambda f: torch.save(content, f))
            if comm.is_main_process() and self._get_state is not None:
                state = {"found_at_iteration": iteration, **self._get_state()}
                write_atomically(f"{stem}_state.pth", lambda f: torch.save(state, f))
        except OSError as error:  # the disk may be full; the report must appear all the same
            return f"Inputs and state could not be saved: {error}\n"
        return (
            f"Inputs of iteration {first} and the state of iteration {iteration} are in "
            f"{stem}_*.pth\n"
        )


class WeightCheckHook(HookBase):
    """Before a checkpoint is written: are its weights, and all losses so far, finite?

    Every process needs it, before the checkpointer's hook.

    Args:
        guard: checks the weights.
        period: iterations between checkpoints.
        networks: name -> trained or averaged network; None if the recipe has no such network.
    """

    def __init__(
        self, guard: NonFiniteGuard, period: int, networks: dict[str, torch.nn.Module | None]
    ):
        self.guard = guard
        self.period = period
        self.networks = networks

    def after_step(self) -> None:
        iteration = self.trainer.iter
        if (iteration + 1) % self.period == 0 or iteration + 1 >= self.trainer.max_iter:
            self.check()

    def check(self) -> None:
        self.guard.verify(self.trainer.iter)
        weights = {
            f"{name}.{key}": value
            for name, network in self.networks.items()
            if network is not None
            for key, value in network.state_dict().items()
        }
        self.guard.verify_weights(self.trainer.iter, weights)
