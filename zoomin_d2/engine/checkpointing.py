"""Training state in, files that are always whole out; and the generator's moving average."""

import copy
import os
from contextlib import contextmanager

import torch
from detectron2.checkpoint import DetectionCheckpointer
from safetensors.torch import load_file
from torch import nn

from zoomin_d2.files import write_atomically

# The best checkpoint must not become what --resume continues from.
BEST_CHECKPOINT = "model_best"


class AtomicCheckpointer(DetectionCheckpointer):
    """DetectionCheckpointer whose files appear whole or not at all.

    fvcore writes in place: a process killed meanwhile leaves a truncated file that
    ``last_checkpoint`` may name. Here a file is written beside, synced, and renamed.

    Args:
        extra: plain values stored in every checkpoint (provenance).
        prefer_ema: always load the averaged weights where a file has them (evaluation).

    Without ``prefer_ema``, a run that starts from a file takes its averaged weights, and a run that
    is resumed the trained ones. Reads .safetensors, too.
    """

    def __init__(
        self,
        model: nn.Module,
        save_dir: str = "",
        *,
        extra: dict | None = None,
        prefer_ema: bool = False,
        **kwargs,
    ):
        super().__init__(model, save_dir, **kwargs)
        self.extra = extra or {}
        self.prefer_ema = prefer_ema
        self._take_ema = prefer_ema

    def save(self, name: str, **kwargs) -> None:
        if not self.save_dir or not self.save_to_disk:
            return
        data = {"model": self.model.state_dict(), **self.extra}
        for key, obj in self.checkpointables.items():
            data[key] = obj.state_dict()
        data.update(kwargs)
        basename = f"{name}.pth"
        path = os.path.join(self.save_dir, basename)
        self.logger.info("Saving checkpoint to %s", path)
        write_atomically(path, lambda f: torch.save(data, f))
        if name != BEST_CHECKPOINT:
            self.tag_last_checkpoint(basename)

    def tag_last_checkpoint(self, last_filename_basename: str) -> None:
        path = os.path.join(self.save_dir, "last_checkpoint")
        write_atomically(path, lambda f: f.write(last_filename_basename.encode()))

    def load(self, path: str, checkpointables: list[str] | None = None) -> dict:
        self._take_ema = self.prefer_ema or checkpointables == []
        return super().load(path, checkpointables)

    def _load_file(self, filename: str) -> dict:
        if filename.endswith(".safetensors"):
            return {"model": load_file(filename)}
        data = super()._load_file(filename)
        ema = data.pop("ema_model", None) if self._take_ema else None
        if ema is not None:
            data["model"] = ema
        return data

    def _log_incompatible_keys(self, incompatible) -> None:
        # A generator that is only partly loaded interpolates badly without saying why.
        wrong = [*incompatible.missing_keys, *(name for name, *_ in incompatible.incorrect_shapes)]
        if wrong:
            raise ValueError(
                f"the checkpoint does not fit MODEL.GENERATOR: {len(wrong)} tensors are missing or "
                f"have another shape, the first is '{wrong[0]}'. Use the config it was trained with"
            )
        if incompatible.unexpected_keys:
            self.logger.warning("Not used of the checkpoint: %s", incompatible.unexpected_keys)


class GeneratorEMA:
    """Exponential moving average of a model's generator; what is evaluated and shipped.

    Early on the average is short, ``min(decay, (1 + n) / (10 + n))`` after n updates, so that short
    runs are not judged by their random start. (torch's AveragedModel reads its counter back from
    the GPU in every update; this one never waits.)

    Args:
        model: an unwrapped model with the attribute ``generator``.
        decay: per update.
    """

    def __init__(self, model: nn.Module, decay: float):
        self.model = model
        self.decay = decay
        self.num_updates = 0
        self.generator = copy.deepcopy(model.generator).eval().requires_grad_(False)

    @torch.no_grad()
    def update(self) -> None:
        decay = min(self.decay, (1 + self.num_updates) / (10 + self.num_updates))
        self.num_updates += 1
        averaged, current = (
            list(self.generator.parameters()),
            list(self.model.generator.parameters()),
        )
        torch._foreach_lerp_(averaged, current, 1 - decay)
        # Buffers (the frozen context convolution) are constants: they are carried, not averaged.
        for ours, theirs in zip(self.generator.buffers(), self.model.generator.buffers()):
            ours.copy_(theirs)

    @contextmanager
    def applied(self):
        """Within it, the model runs with the averaged generator."""
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
