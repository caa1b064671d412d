"""Methods to compare, each as a call on two frames: our models in every mode, and peers.

A peer is any function ``(frame_1, frame_2) -> frame`` on float tensors (N, 3, H, W) in [0, 1] on
the device, t = 0.5. It gets half-precision frames if half precision is asked for. It may have the
attributes ``module`` (nn.Module), whose parameters are counted, and ``random_weights``, so that
nobody mistakes its quality for that of the method.
"""

import importlib
import os
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from zoomin_d2.inference.cuda_graphs import CudaGraphCache, CudaGraphCapture
from zoomin_d2.inference.engine import InferenceEngine
from zoomin_d2.model_zoo.generator_file import load_generator

Peer = Callable[[Tensor, Tensor], Tensor]

# The modes of a method. All but "eager" replay a CUDA graph on a GPU; "triton" runs fused kernels
# (inference/fused/), for networks that have them, with the tiles that users get by default.
MODES = ("eager", "graph", "triton", "compiled")


def load_peer(name: str) -> Peer:
    """The function "module:function" of an importable module.

    Raises:
        ValueError: the name has another form, or the module has no such function.
        ImportError: the module cannot be imported.
    """
    module_name, _, function_name = name.partition(":")
    if not module_name or not function_name:
        raise ValueError(f"a peer must be named module:function, got '{name}'")
    function = getattr(importlib.import_module(module_name), function_name, None)
    if not callable(function):
        raise ValueError(f"the module '{module_name}' has no function '{function_name}'")
    return function


class TimedModel:
    """One of our generators, 8-bit frames in and out, as `Interpolator` runs it.

    Args:
        generator: a network, which is moved, converted and kept.
        mode: of `MODES`; "graph" needs a GPU.
        random_weights: the method is only timed.
    """

    def __init__(
        self,
        generator: nn.Module,
        device: torch.device,
        dtype: torch.dtype,
        mode: str,
        *,
        random_weights: bool = False,
    ):
        _check_mode(mode, device)
        self.mode = mode
        self.random_weights = random_weights
        self.module = generator
        fused = "tune" if os.environ.get("ZOOMIN_TRITON") == "tune" else True
        self.engine = InferenceEngine(
            generator,
            device,
            dtype,
            compile=mode == "compiled",
            cuda_graphs=mode != "eager" and device.type == "cuda",
            triton=fused if mode == "triton" else False,
        )

    @staticmethod
    def prepare(frame: Tensor) -> Tensor:
        """An 8-bit frame (N, 3, H, W) on the device as this method takes it."""
        return frame.contiguous(memory_format=torch.channels_last)

    def __call__(self, frame_1: Tensor, frame_2: Tensor) -> Tensor:
        return self.engine(frame_1, frame_2, [0.5])[0]

    def unrecorded(self, frame_1: Tensor, frame_2: Tensor) -> Tensor:
        """The same without a CUDA graph, whose memory would count as kept."""
        return self.engine(frame_1, frame_2, [0.5], recorded=False)[0]

    def many(self, frame_1: Tensor, frame_2: Tensor, ts: Sequence[float]) -> list[Tensor]:
        return self.engine(frame_1, frame_2, ts)


class TimedPeer:
    """A third-party method in the same modes; its frames are converted before timing starts."""

    def __init__(self, peer: Peer, device: torch.device, dtype: torch.dtype, mode: str):
        _check_mode(mode, device)
        self.mode = mode
        self._peer = peer
        self._dtype = dtype
        self._device = device
        run = self._run
        if mode == "compiled":
            run = torch.compile(run, dynamic=False)
        self._inner = run
        use_graphs = mode != "eager" and device.type == "cuda"
        self._graphs = CudaGraphCache(CudaGraphCapture()) if use_graphs else None

    @property
    def module(self) -> nn.Module | None:
        return getattr(self._peer, "module", None)  # some peers load it at the first call

    @property
    def random_weights(self) -> bool:
        return getattr(self._peer, "random_weights", False)

    def prepare(self, frame: Tensor) -> Tensor:
        # bfloat16 cannot hold 8-bit frames exactly; autocast is used for it.
        dtype = torch.float16 if self._dtype == torch.float16 else torch.float32
        return frame.to(dtype) / 255

    def __call__(self, frame_1: Tensor, frame_2: Tensor) -> Tensor:
        with torch.no_grad():
            if self._graphs is None:
                return self._inner(frame_1, frame_2, [])[0]
            return self._graphs(self._inner, frame_1, frame_2, [])[0]

    def unrecorded(self, frame_1: Tensor, frame_2: Tensor) -> Tensor:
        """The same without a CUDA graph."""
        with torch.no_grad():
            return self._inner(frame_1, frame_2, [])[0]

    def _run(self, frame_1: Tensor, frame_2: Tensor, ts: list[Tensor]) -> list[Tensor]:
        enabled = self._dtype == torch.bfloat16
        with torch.autocast(self._device.type, torch.bfloat16, enabled=enabled):
            return [self._peer(frame_1, frame_2)]


def load_model(name_or_path: str) -> nn.Module:
    """A generator by name or file, for `TimedModel`."""
    return load_generator(name_or_path).generator


def _check_mode(mode: str, device: torch.device) -> None:
    if mode not in MODES:
        raise ValueError(f"the mode must be one of {', '.join(MODES)}, got '{mode}'")
    if mode in ("graph", "triton") and device.type != "cuda":
        raise ValueError(f"the mode '{mode}' needs a GPU")
