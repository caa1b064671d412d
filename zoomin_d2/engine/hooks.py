"""Hooks beyond Detectron2's: discriminator step, first sign of life, pictures, best checkpoint."""

import json
import logging
import os
import re
import time
import warnings
from collections.abc import Callable
from datetime import timedelta

import detectron2.utils.comm as comm
import torch
from detectron2.config import CfgNode
from detectron2.engine import HookBase, hooks
from torch import nn
from torch.optim.lr_scheduler import LRScheduler

from zoomin_d2.engine.checkpointing import BEST_CHECKPOINT, AtomicCheckpointer
from zoomin_d2.engine.distributed import wrap_for_ddp
from zoomin_d2.engine.resilience.nonfinite import NonFiniteGuard
from zoomin_d2.engine.solver import build_optimizer, keep_settings
from zoomin_d2.engine.train_loop import GuardedTrainer
from zoomin_d2.files import write_json
from zoomin_d2.modeling import build_discriminator
from zoomin_d2.modeling.losses import hinge_d_losses
from zoomin_d2.modeling.meta_arch import FrameInterpolator
from zoomin_d2.modeling.step_record import with_context
from zoomin_d2.visualization import training_panel

logger = logging.getLogger(__name__)


class AdversarialHook(HookBase):
    """Trains the discriminator: one step after each step of the generator, on the same patches.

    The trainer without this hook is the `baseline` recipe. While the hook is active, it lends the
    model a view of the discriminator, from which the model computes the generator's loss. Only this
    hook changes the discriminator's weights.
    """

    def __init__(
        self,
        model: FrameInterpolator,
        discriminator: nn.Module,
        optimizer: torch.optim.Optimizer,
        scheduler: LRScheduler,
        *,
        loss_weight: float,
        start_iter: int = 0,
        metric_period: int = 20,
        guard: NonFiniteGuard | None = None,
    ):
        """
        Args:
            model: the unwrapped model whose ``step_record`` holds the patches.
            discriminator: unwrapped; wrapped for DDP here, apart from the generator.
            optimizer, scheduler: the discriminator's.
            loss_weight: lambda_3 of eq. 11.
            start_iter: iterations before the discriminator is used.
            metric_period: iterations between logged values (each waits for the device once).
            guard: watches the losses; None = a guard that keeps nothing.
        """
        self.guard = guard or NonFiniteGuard()
        self.model = model
        self.discriminator = discriminator
        self.optimizer = optimizer
        self.scheduler = scheduler
        self.loss_weight = loss_weight
        self.start_iter = start_iter
        self.metric_period = metric_period
        self._parallel = wrap_for_ddp(discriminator)

    def before_step(self) -> None:
        active = self.trainer.iter >= self.start_iter
        self.model.set_discriminator(self.discriminator if active else None)

    def after_step(self) -> None:
        # If the generator skipped the iteration, its patches may not be finite.
        if self.model.discriminator is not None and self.guard.last_skipped != self.trainer.iter:
            self._step()
        with warnings.catch_warnings():
            # The schedule is the generator's, from iteration 0. Before START_ITER the optimizer has
            # not stepped, and torch warns as if that were a mistake.
            warnings.filterwarnings("ignore", message="Detected call of `lr_scheduler.step")
            self.scheduler.step()

    def after_train(self) -> None:
        self.model.set_discriminator(None)

    def _step(self) -> None:
        record = self.model.step_record
        assert record is not None and record.valid is not None  # of this iteration's forward
        assert record.real is not None and record.fake is not None
        self._parallel.train()
        with self.model.autocast():
            # One forward for both halves: a second one before backward breaks DDP's buffers.
            judged = [with_context(x, record.context) for x in (record.real, record.fake)]
            logits = self._parallel(torch.cat(judged))
        logits_real, logits_fake = logits.float().view(2, *record.valid.shape)
        loss_real, loss_fake = hinge_d_losses(logits_real, logits_fake, record.valid)
        losses = {
            "loss_d_real": self.loss_weight * loss_real,
            "loss_d_fake": self.loss_weight * loss_fake,
        }
        self.optimizer.zero_grad()
        (losses["loss_d_real"] + losses["loss_d_fake"]).backward()
        iteration = self.trainer.iter
        if self.guard.must_skip(iteration, losses, self.discriminator.parameters()):
            self.optimizer.zero_grad(set_to_none=True)
            return
        is_logged = (iteration + 1) % self.metric_period == 0
        self.guard.watch(iteration, losses)
        if is_logged:
            self.guard.verify(iteration)
        self.optimizer.step()
        if is_logged:
            with torch.no_grad():
                valid = record.valid
                count = valid.sum().clamp(min=1)
                self._log(
                    {
                        **{k: v.detach() for k, v in losses.items()},
                        "[metric]logit_real": (logits_real * valid).sum() / count,
                        "[metric]logit_fake": (logits_fake * valid).sum() / count,
                        "[metric]regions_per_image": valid.sum(dim=1).float().mean(),
                        "[metric]gan_weight": torch.as_tensor(
                            record.gan_weight, device=valid.device
                        ),
                    }
                )

    def _log(self, values: dict[str, torch.Tensor]) -> None:
        reduced = {k: v.item() for k, v in comm.reduce_dict(values).items()}
        storage = self.trainer.storage
        if comm.is_main_process():
            storage.put_scalars(**reduced)
            lr = self.optimizer.param_groups[0]["lr"]
            storage.put_scalar("lr_discriminator", lr, smoothing_hint=False)

    def state_dict(self) -> dict:
        return {
            "discriminator": self.discriminator.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scheduler": self.scheduler.state_dict(),
        }

    def load_state_dict(self, state_dict: dict) -> None:
        self.discriminator.load_state_dict(state_dict["discriminator"])
        with keep_settings(self.optimizer, self.scheduler):
            self.optimizer.load_state_dict(state_dict["optimizer"])
            self.scheduler.load_state_dict(state_dict["scheduler"])


def build_adversarial_hook(
    cfg: CfgNode,
    model: FrameInterpolator,
    guard: NonFiniteGuard,
    build_scheduler: Callable[[CfgNode, torch.optim.Optimizer], LRScheduler],
) -> AdversarialHook | None:
    """The hook for ``cfg.MODEL.DISCRIMINATOR``; None for the recipe without a discriminator."""
    discriminator = build_discriminator(cfg)
    if discriminator is None:
        return None
    optimizer = build_optimizer(cfg, discriminator.parameters(), cfg.SOLVER.DISCRIMINATOR.LR_FACTOR)
    return AdversarialHook(
        model,
        discriminator,
        optimizer,
        build_scheduler(cfg, optimizer),
        loss_weight=cfg.MODEL.LOSS_WEIGHTS.GAN_D,
        start_iter=cfg.SOLVER.DISCRIMINATOR.START_ITER,
        metric_period=cfg.SOLVER.METRIC_PERIOD,
        guard=guard,
    )


class FirstIterationHook(HookBase):
    """Logs the first iteration at once, because METRIC_PERIOD of them take many minutes on a CPU.

    Args:
        steps: the steps whose losses are logged.
        is_on_cpu: also log how long the rest will take; a GPU's first iteration cannot predict it.
    """

    def __init__(self, steps: GuardedTrainer, is_on_cpu: bool):
        self.steps = steps
        self.is_on_cpu = is_on_cpu
        self._start = 0.0

    def before_step(self) -> None:
        self._start = time.perf_counter()

    def after_step(self) -> None:
        iteration = self.trainer.iter
        if iteration != self.trainer.start_iter:
            return
        losses = {name: value.item() for name, value in self.steps.last_losses.items()}
        seconds = time.perf_counter() - self._start
        rest = self.trainer.max_iter - iteration - 1
        eta = f", about {timedelta(seconds=int(seconds * rest))} for the other {rest}"
        logger.info(
            "Iteration %d: total_loss %.4g (%s), %.2f s%s",
            iteration,
            sum(losses.values()),
            ", ".join(f"{name} {value:.4g}" for name, value in losses.items()),
            seconds,
            eta if self.is_on_cpu else "",
        )


class VisualizationHook(HookBase):
    """Every ``period`` iterations, a picture of the batch's first sample for TensorBoard.

    Only a writer on the main process clears images from the event storage: register the hook on the
    main process only.
    """

    def __init__(self, model: FrameInterpolator, period: int):
        self.model = model
        self.period = period

    def after_step(self) -> None:
        if self.period > 0 and (self.trainer.iter + 1) % self.period == 0:
            record = self.model.step_record
            assert record is not None  # of this iteration's forward
            panel = training_panel(record)
            self.trainer.storage.put_image("training/first_sample", panel)


class ResumablePeriodicCheckpointer(hooks.PeriodicCheckpointer):
    """Detectron2's hook, which would forget on --resume which old checkpoints to delete."""

    def before_train(self) -> None:
        super().before_train()
        if self.trainer.start_iter == 0:
            return  # the files in OUTPUT_DIR are another run's
        files = self.checkpointer.get_all_checkpoint_files()
        self.recent_checkpoints = sorted(
            f for f in files if re.fullmatch(r"model_\d+\.pth", os.path.basename(f))
        )


class ResumableEvalHook(hooks.EvalHook):
    """Detectron2's hook, which would leave out on --resume an evaluation that was interrupted.

    It also evaluates at the end only if the last iteration succeeded.

    Args:
        last_evaluated: the iteration of the last finished evaluation of this run; 0: none.
    """

    def __init__(self, eval_period: int, eval_function: Callable, last_evaluated: Callable):
        super().__init__(eval_period, eval_function)
        self._last_evaluated = last_evaluated

    def before_train(self) -> None:
        start = self.trainer.start_iter
        is_due = self._period > 0 and start % self._period == 0 and start < self.trainer.max_iter
        if start > 0 and is_due and max(comm.all_gather(self._last_evaluated())) < start:
            logger.info("Evaluating iteration %d, which was interrupted", start)
            # As in the step that the checkpoint ends with.
            self.trainer.iter = self.trainer.storage.iter = start - 1
            self._do_eval()
            self.trainer.iter = self.trainer.storage.iter = start

    def after_train(self) -> None:
        if self.trainer.iter >= self.trainer.max_iter:
            super().after_train()


class ResumableBestCheckpointer(hooks.BestCheckpointer):
    """Detectron2's hook, which would forget on --resume what the best value was.

    The value is kept in a file beside the checkpoint: a periodic checkpoint, written before the
    evaluation of the same iteration, would not have it. A value of another run, or of another test
    set, does not count.

    Args:
        measured: what identifies comparable values: the run, the test set, the metric.
    """

    def __init__(
        self, eval_period: int, checkpointer: AtomicCheckpointer, metric: str, measured: dict
    ):
        super().__init__(eval_period, checkpointer, metric, file_prefix=BEST_CHECKPOINT)
        self._measured = measured

    @property
    def _path(self) -> str:
        return os.path.join(self._checkpointer.save_dir, f"{self._file_prefix}.json")

    def read(self) -> dict:
        """What the file holds of this run and test set; {} if nothing."""
        try:
            with open(self._path) as f:
                kept = json.load(f)
            numbers = {
                "value": float(kept["value"]),
                "iteration": int(kept["iteration"]),
                "evaluated": int(kept["evaluated"]),
            }
            is_ours = {key: kept.get(key) for key in self._measured} == self._measured
        except FileNotFoundError:
            return {}
        except (ValueError, KeyError, TypeError, AttributeError):
            logger.warning("%s cannot be read: no best value is known", self._path)
            return {}
        return numbers if is_ours else {}

    def before_train(self) -> None:
        if self.trainer.start_iter > 0 and (kept := self.read()):
            self.best_metric, self.best_iter = kept["value"], kept["iteration"]
        if self._val_metric in self.trainer.storage.latest():  # evaluated on resuming
            self._best_checking()

    def after_train(self) -> None:
        if self.trainer.iter >= self.trainer.max_iter:
            self._best_checking()

    def _best_checking(self) -> None:
        latest = self.trainer.storage.latest().get(self._val_metric)
        if latest is None:
            logger.warning("%s was not computed: no best model is kept", self._val_metric)
            return
        value, iteration = latest[0], min(latest[1], self.trainer.max_iter - 1)
        is_best = self.best_metric is None or value > self.best_metric
        before = "" if self.best_metric is None else f" (best before: {self.best_metric:.5f})"
        is_saved = is_best and self._update_best(value, iteration)
        logger.info(
            "%s is %.5f%s: %s",
            self._val_metric,
            value,
            before,
            "saved as the best model" if is_saved else "not saved",
        )
        if is_saved:
            self._checkpointer.save(self._file_prefix, iteration=iteration)
        if self.best_metric is not None:
            kept = {"value": float(self.best_metric), "iteration": int(self.best_iter)}
            write_json(self._path, {**self._measured, **kept, "evaluated": iteration + 1})
