"""Frames and times in, the generator's outputs and L_synth out: the fixed part of an iteration.

Nothing here depends on values, only on shapes, and a training's shapes never change: a GPU can run
all of it, forward and backward, as two CUDA graphs. The rest (proposals, patches, the
discriminator) differs from batch to batch and stays outside.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from zoomin_d2.generators import GeneratorOutput

Losses = dict[str, torch.Tensor]
SynthesisLosses = Callable[[GeneratorOutput, torch.Tensor], Losses]


class SynthesisStep(nn.Module):
    """A generator and the losses of its frames (eq. 8), in training.

    Args:
        generator: called with (frame_1, frame_2, t).
        losses: ``(outputs, frame_t) -> weighted losses``, scalars.
        compiled: run both through `torch.compile`, which takes a minute at the start.
    """

    def __init__(self, generator: nn.Module, losses: SynthesisLosses, *, compiled: bool = False):
        super().__init__()
        self.generator = generator
        self._losses = losses
        self._run = torch.compile(self._run_once, dynamic=False) if compiled else self._run_once
        self._replay: Callable | None = None

    def forward(
        self, frame_1: torch.Tensor, frame_2: torch.Tensor, frame_t: torch.Tensor, t: torch.Tensor
    ) -> tuple[torch.Tensor, GeneratorOutput, Losses]:
        """
        Args:
            frame_1, frame_2, frame_t: (N, 3, H, W) RGB in [0, 1].
            t: (N,) in (0, 1).

        Returns:
            pred_frame (N, 3, H, W), through which another loss may reach the generator; all
            outputs, for viewing only; and the losses.
        """
        if self._replay is not None:
            return self._replay(frame_1, frame_2, frame_t, t)
        outputs, losses = self._run(frame_1, frame_2, frame_t, t)
        return outputs.pred_frame, outputs.detached(), losses

    def _run_once(
        self, frame_1: torch.Tensor, frame_2: torch.Tensor, frame_t: torch.Tensor, t: torch.Tensor
    ) -> tuple[GeneratorOutput, Losses]:
        outputs = self.generator(frame_1, frame_2, t)
        return outputs, self._losses(outputs, frame_t)

    def record(self, num_samples: int, size: tuple[int, int], device: torch.device) -> None:
        """From now on, replay two CUDA graphs; every call must then have these shapes.

        Call it inside the training's autocast, while no other thread uses the GPU. From then on,
        parameters must keep their place in memory.

        Args:
            num_samples: N, of this process.
            size: (H, W).
        """
        frames = [torch.rand((num_samples, 3, *size), device=device) for _ in range(3)]
        arguments = (*frames, torch.full((num_samples,), 0.5, device=device))
        recorded: Any = torch.cuda.make_graphed_callables(_Recordable(self), arguments)

        def replay(*given: torch.Tensor) -> tuple[torch.Tensor, GeneratorOutput, Losses]:
            if [x.shape for x in given] != [x.shape for x in arguments]:
                raise ValueError(
                    f"frames of {tuple(given[0].shape)}, after {tuple(frames[0].shape)}: with "
                    "SOLVER.CUDA_GRAPH, all batches of a training must have one size"
                )
            pred_frame, maps, losses = recorded(*given)
            # The next replay overwrites what this one returns, but losses are kept longer.
            losses = {k: v.clone() for k, v in losses.items()}
            return pred_frame, GeneratorOutput(**maps).detached(), losses

        self._replay = replay


class _Recordable(nn.Module):
    """A `SynthesisStep` not yet recorded, for make_graphed_callables, which changes it."""

    def __init__(self, step: SynthesisStep):
        super().__init__()
        self.step = step

    def forward(self, *arguments: torch.Tensor) -> tuple[torch.Tensor, Losses, Losses]:
        """As the step's, but tensors alone (a graph has nothing else): maps by name."""
        pred_frame, outputs, losses = self.step(*arguments)
        return pred_frame, outputs.maps, losses
