"""The Python entry point: two frames and a time in, the frame between them out.

from zoomin_d2 import Interpolator

interpolator = Interpolator.from_pretrained("fast")
middle = interpolator(frame_1, frame_2)                    # t = 0.5
three = interpolator(frame_1, frame_2, [0.25, 0.5, 0.75])  # a list of frames
"""

import math
import os
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeVar, cast, overload

import numpy as np
import torch
from torch import Tensor, nn

from zoomin_d2.inference.engine import InferenceEngine, default_dtype
from zoomin_d2.inference.frame_kinds import check_pair, from_tensor, to_tensor
from zoomin_d2.inference.streaming import interpolate_stream
from zoomin_d2.model_zoo.generator_file import load_generator, shipped_generators

Frame = np.ndarray | Tensor
FrameT = TypeVar("FrameT", np.ndarray, Tensor)  # what goes in comes out


class Interpolator:
    """A generator that is ready to use.

    Attributes:
        name: of the model.
        device, dtype: where and in what precision it runs.
        generator: the network itself, converted to both.
        metadata: what its file says of it (model_zoo/generator_file.py); {} without a file.
    """

    def __init__(
        self,
        generator: nn.Module,
        name: str = "generator",
        *,
        device: str | torch.device | None = None,
        dtype: torch.dtype | None = None,
        compile: bool | str = False,
        cuda_graphs: bool | None = None,
        metadata: dict[str, str] | None = None,
    ):
        """
        Args:
            generator: any network called as the entries of GENERATORS are; it is moved to
                the device and kept.
            device: None takes the GPU where there is one.
            dtype: None takes float16 on a GPU, bfloat16 on a CPU that multiplies matrices of it
                (Intel AMX: half the time, the same PSNR to 0.001 dB), float32 elsewhere.
            compile: `torch.compile` the network; the first frame of each size takes a minute.
            cuda_graphs: replay recorded kernels for sizes that come again; None: on a GPU.
        """
        device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        dtype = dtype or default_dtype(device)
        self.name = name
        self.metadata = metadata or {}
        self._engine = InferenceEngine(
            generator, device, dtype, compile=compile, cuda_graphs=cuda_graphs
        )

    @classmethod
    def from_pretrained(
        cls,
        name_or_path: str | os.PathLike = "fast",
        device: str | torch.device | None = None,
        dtype: torch.dtype | None = None,
        compile: bool | str = False,
        **kwargs,
    ) -> "Interpolator":
        """A model that ships, or one from a file.

        Args:
            name_or_path: a name (`Interpolator.available()`), a .safetensors file of
                tools/export_model.py, or a training checkpoint (.pth).
            device, dtype, compile, **kwargs: as for the class.

        Raises:
            FileNotFoundError, ValueError: as `generator_file.load_generator`.
        """
        loaded = load_generator(name_or_path)
        return cls(
            loaded.generator,
            loaded.name,
            device=device,
            dtype=dtype,
            compile=compile,
            metadata=loaded.metadata,
            **kwargs,
        )

    @staticmethod
    def available() -> list[str]:
        """Names of the models that ship."""
        return shipped_generators()

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return self._engine.device

    @property
    def dtype(self) -> torch.dtype:
        """The precision that it computes in."""
        return self._engine.dtype

    @property
    def generator(self) -> nn.Module:
        """The network, on `device`."""
        return self._engine.generator

    @overload
    def __call__(self, frame_1: FrameT, frame_2: FrameT, t: float | Tensor = ...) -> FrameT: ...
    @overload
    def __call__(self, frame_1: FrameT, frame_2: FrameT, t: Sequence[float]) -> list[FrameT]: ...
    def __call__(
        self, frame_1: Frame, frame_2: Frame, t: float | Tensor | Sequence[float] = 0.5
    ) -> Any:
        """The frame at time t, or the frames at several times.

        Args:
            frame_1, frame_2: of one kind and size: numpy (H, W, 3) RGB or grey, uint8, uint16 or
                float in [0, 1]; or tensors (N, 3, H, W), float in [0, 1] or uint8, on any device
                (inference/frame_kinds.py says it in full).
            t: 0 < t < 1, 0 is frame_1 and 1 is frame_2; or a tensor (N,) with one t per pair; or a
                list of times, for which frames are encoded once where the generator can.

        Returns:
            a frame of the same kind, dtype, size and device; for a list of times, a list of them.

        Raises:
            TypeError, ValueError: a frame or a time is not of that kind; says which and why.
        """
        tensor_1, kind = to_tensor(frame_1, "frame_1")
        tensor_2, kind_2 = to_tensor(frame_2, "frame_2")
        check_pair(kind, kind_2)
        several = not isinstance(t, Tensor) and np.ndim(t) > 0
        asked: list = list(cast(Sequence, t)) if several else [t]
        times = [_check_time(x, len(tensor_1)) for x in asked]
        made = self._engine(tensor_1, tensor_2, times) if times else []
        frames: list = [from_tensor(x, kind) for x in made]
        return frames if several else frames[0]

    def stream(
        self, frames: Iterable[np.ndarray], ts: Sequence[float] = (0.5,)
    ) -> Iterator[list[np.ndarray]]:
        """The frames between every two neighbours of a stream, with copies and work overlapped.

        Args:
            frames: (H, W, 3) uint8 RGB, all of one size.
            ts: times in (0, 1).

        Returns:
            an iterator over len(frames) - 1 lists of len(ts) arrays (H, W, 3) uint8.

        Raises:
            ValueError: a time or, while iterating, a frame is not of that kind.
        """
        return interpolate_stream(self._engine, frames, [_check_number(t) for t in ts])

    def __repr__(self) -> str:
        return f"Interpolator('{self.name}', device='{self.device}', dtype={self.dtype})"


def _check_time(t: float | Tensor, n: int) -> float | Tensor:
    if isinstance(t, Tensor) and t.dim() > 0:
        if t.shape != (n,):
            raise ValueError(f"t must have one value per pair, ({n},), got {tuple(t.shape)}")
        # Values on a GPU are not read back: that would wait for it.
        if t.device.type == "cpu" and not ((t > 0) & (t < 1)).all():
            raise ValueError(f"t must lie between 0 and 1, got {t.tolist()}")
        return t
    return _check_number(t)


def _check_number(t: float | Tensor) -> float:
    t = float(t)
    if not (math.isfinite(t) and 0 < t < 1):
        raise ValueError(
            f"t must lie between 0 and 1, got {t:g}; the frames at 0 and 1 are frame_1 and frame_2"
        )
    return t
