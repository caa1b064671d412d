"""The moving average of a generator, and the hook that keeps it."""

import copy
from contextlib import contextmanager

import torch
from detectron2.engine import HookBase

from zoomin_d2.modeling.meta_arch import FrameInterpolator


class GeneratorEMA:
    """Exponential moving average of a model's generator, which is evaluated and shipped.

    Early on the average is short, ``min(decay, (1 + n) / (10 + n))`` after n updates, so that short
    runs are not judged by their random start. (torch's AveragedModel reads its counter back from
    the GPU in every update; this class never waits.)

    Args:
        model: an unwrapped model with the attribute ``generator``.
        decay: per update.
    """

    def __init__(self, model: FrameInterpolator, decay: float):
        self.model = model
        self.decay = decay
        self.num_updates = 0
        self.generator = copy.deepcopy(model.generator).eval().requires_grad_(False)

    def restart(self) -> None:
        """Start over from the model's current generator."""
        self.num_updates = 0
        self.generator.load_state_dict(self.model.generator.state_dict())

    @torch.no_grad()
    def update(self) -> None:
        decay = min(self.decay, (1 + self.num_updates) / (10 + self.num_updates))
        self.num_updates += 1
        averaged, current = (
            tuple(self.generator.parameters()),
            tuple(self.model.generator.parameters()),
        )
        torch._foreach_lerp_(averaged, current, 1 - decay)
        # Buffers (the frozen context convolution) are constants: they are copied, not averaged.
        for ours, theirs in zip(self.generator.buffers(), self.model.generator.buffers()):
            ours.copy_(theirs)

    @contextmanager
    def applied(self):
        """Inside this context, the model runs with the averaged generator."""
        trained, self.model.generator = self.model.generator, self.generator
        try:
            yield
        finally:
            self.model.generator = trained

    def state_dict(self) -> dict:
        """Averaged weights under the model's own names, so that the model can load them."""
        return {f"generator.{k}": v for k, v in self.generator.state_dict().items()}

    def load_state_dict(self, state_dict: dict) -> None:
        self.generator.load_state_dict(
            {k.removeprefix("generator."): v for k, v in state_dict.items()}
        )


class EMAHook(HookBase):
    """Updates the average of the generator after every iteration."""

    def __init__(self, ema: GeneratorEMA):
        self.ema = ema

    def after_step(self) -> None:
        self.ema.update()

    def state_dict(self) -> dict:
        return {"num_updates": self.ema.num_updates}

    def load_state_dict(self, state_dict: dict) -> None:
        self.ema.num_updates = state_dict["num_updates"]
