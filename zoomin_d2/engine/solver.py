"""Config and parameters in, optimizer and learning-rate schedule out (section 3.5)."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from detectron2.config import CfgNode
from detectron2.solver import LRMultiplier
from detectron2.solver import build_lr_scheduler as build_d2_lr_scheduler
from detectron2.solver.build import maybe_add_gradient_clipping
from fvcore.common.param_scheduler import ExponentialParamScheduler
from torch import nn


class PaperExponentialLR(ExponentialParamScheduler):
    """The paper's schedule: times 0.1 per ``decay_iters`` iterations, smoothly, down to a floor.

    Args:
        max_iter: iterations of the whole training.
        decay_iters: iterations per factor 0.1; the paper's 10 epochs of 3198 triplets at batch 2
            are 15,990.
        floor: lower bound as a fraction of the base learning rate (the paper: 1e-8 of 1e-4 = 1e-4).
    """

    def __init__(self, max_iter: int, decay_iters: int, floor: float):
        super().__init__(start_value=1.0, decay=0.1)
        self._num_decays = max_iter / decay_iters
        self._floor = floor

    def __call__(self, where: float) -> float:
        return max(super().__call__(where * self._num_decays), self._floor)


def build_optimizer(
    cfg: CfgNode, parameters: Iterable[nn.Parameter], lr_factor: float = 1.0
) -> torch.optim.Optimizer:
    """Adam over ``parameters`` with ``SOLVER.BASE_LR * lr_factor`` and the config's clipping.

    ``SOLVER.CLIP_GRADIENTS.CLIP_TYPE`` is "full_model" or one of Detectron2's.
    """
    trainable = [p for p in parameters if p.requires_grad]
    options = {
        "lr": cfg.SOLVER.BASE_LR * lr_factor,
        "betas": tuple(cfg.SOLVER.ADAM_BETAS),
        "weight_decay": cfg.SOLVER.WEIGHT_DECAY,
    }
    clip = cfg.SOLVER.CLIP_GRADIENTS
    if not (clip.ENABLED and clip.CLIP_TYPE == "full_model"):
        return maybe_add_gradient_clipping(cfg, torch.optim.Adam)(trainable, **options)
    optimizer = torch.optim.Adam(trainable, **options)

    def clip_norm(*_) -> None:  # over all gradients; Detectron2 clips each tensor separately
        nn.utils.clip_grad_norm_(trainable, clip.CLIP_VALUE, clip.NORM_TYPE)

    optimizer.register_step_pre_hook(clip_norm)
    return optimizer


def build_lr_scheduler(
    cfg: CfgNode, optimizer: torch.optim.Optimizer
) -> torch.optim.lr_scheduler.LRScheduler:
    """``SOLVER.LR_SCHEDULER_NAME``: "PaperExponentialLR" or any of Detectron2's."""
    if cfg.SOLVER.LR_SCHEDULER_NAME != "PaperExponentialLR":
        return build_d2_lr_scheduler(cfg, optimizer)
    schedule = PaperExponentialLR(
        cfg.SOLVER.MAX_ITER,
        cfg.SOLVER.PAPER_DECAY_ITERS,
        cfg.SOLVER.PAPER_LR_FLOOR / cfg.SOLVER.BASE_LR,
    )
    return LRMultiplier(optimizer, schedule, cfg.SOLVER.MAX_ITER)


@contextmanager
def keep_settings(
    optimizer: torch.optim.Optimizer, scheduler: torch.optim.lr_scheduler.LRScheduler
) -> Iterator[None]:
    """Within it, load the states of an interrupted run. They hold that run's rates, betas, and
    decay, too; after it, those of this run's config hold."""
    settings = [{k: v for k, v in g.items() if k != "params"} for g in optimizer.param_groups]
    base_lrs = list(scheduler.base_lrs)
    yield
    scheduler.base_lrs = base_lrs
    for group, own, lr in zip(optimizer.param_groups, settings, scheduler.get_lr(), strict=True):
        group.update(own)
        if isinstance(group["lr"], torch.Tensor):  # which a CUDA graph reads
            group["lr"].fill_(lr)
        else:
            group["lr"] = lr
