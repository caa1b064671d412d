"""A finished network whose frames are part of what another one learns from (distillation)."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from zoomin_d2.inference.averaging import Averaged
from zoomin_d2.inference.devices import default_dtype
from zoomin_d2.inference.engine import InferenceEngine


class Teacher:
    """Mixes the frames of a finished network, averaged over the pair's mirror images, into the true
    ones.

    Much of a true frame cannot be known from its neighbors: noise, and whatever moved in between.
    To a network that learns, that is noise in its gradient, however often it sees the sample. What
    a teacher makes of the pair has none of it, and the mean over mirror images also lacks the
    errors that depend on direction (Hinton et al., "Distilling the Knowledge in a Neural Network").

    Args:
        load: returns the finished network. It is called when a training first needs it, so that
            what was taught can be used without its teacher. The network is moved to the device of
            the frames, converted, and kept.
        share: of the teacher's frame in the mixture, 0 to 1.
    """

    def __init__(self, load: Callable[[], nn.Module], share: float):
        self.share = share
        self._load = load
        self._interpolate: Averaged | None = None

    def mix(
        self, frame_1: torch.Tensor, frame_2: torch.Tensor, frame_t: torch.Tensor, t: torch.Tensor
    ) -> torch.Tensor:
        """The target of the training, (N, 3, H, W) in [0, 1], without gradient.

        Args:
            frame_1, frame_2, frame_t: (N, 3, H, W) RGB in [0, 1]; frame_t is the true one.
            t: (N,) in (0, 1).
        """
        if self._interpolate is None:
            device = frame_1.device
            with torch.random.fork_rng(devices=[]):  # a resumed run loads it at another iteration
                network = self._load()
            engine = InferenceEngine(network, device, default_dtype(device))
            self._interpolate = Averaged(engine)
        times: Any = [t]  # the engine takes one for each sample, too
        # (The engine switches autograd off itself. Autocast would round what it keeps exact.)
        with torch.autocast(frame_1.device.type, enabled=False):
            (made,) = self._interpolate(frame_1, frame_2, times)
        return torch.lerp(frame_t, made, self.share)
