"""Frames on a device in, interpolated frames on that device out, as fast as the device allows.

These make it fast, and each can be switched off: convolutions in half precision and channels-last;
8-bit frames that stay 8-bit on their way to the device and back; on a GPU, one CUDA graph per frame
size, which replaces a few hundred kernel launches by one; Triton kernels (inference/fused/) or
`torch.compile`, which fuse the operations between convolutions. Nothing here waits for the GPU; the
caller does when it reads the result.
"""

import contextlib
import logging
import os
from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple, TypeGuard

import torch
from torch import Tensor, nn

from zoomin_d2.frames import to_8bit, to_float
from zoomin_d2.generators import FastGenerator, PaperGenerator
from zoomin_d2.generators.motion_decoder import Time, mean_length
from zoomin_d2.generators.output import GeneratorOutput, forward_many
from zoomin_d2.inference.cuda_graphs import CudaGraphCache, CudaGraphCapture, Run
from zoomin_d2.inference.doubt import add_doubt
from zoomin_d2.inference.fused.results import FusedFrame, FusedPair, columns, rows_of
from zoomin_d2.inference.memory import is_out_of_memory, keep_freed_memory
from zoomin_d2.layers import backward_warp, blend

logger = logging.getLogger(__name__)

_MAX_TIMES = 64  # values of t kept on the device; each new one costs two launches


class MeasuredPair(NamedTuple):
    """Frames as a call gives them, and the mean length of their motion in pixels (a scalar, of
    several times the largest). `outputs` returns what `InferenceEngine.with_outputs` would."""

    frames: list[Tensor]
    length: Tensor
    outputs: Callable[[], list[tuple[Tensor, GeneratorOutput]]]


def can_use_triton(generator: nn.Module) -> TypeGuard[FastGenerator | PaperGenerator]:
    """Whether there are fused kernels for this network: see `fuse`. For a subclass there are none,
    because it may compute something else."""
    return type(generator) in (FastGenerator, PaperGenerator)


def fuse(generator: FastGenerator | PaperGenerator, *, tune: bool = False) -> Run:
    """A network in fused kernels (inference/fused/); needs Triton."""
    if isinstance(generator, PaperGenerator):
        from zoomin_d2.inference.fused.paper import PaperTriton

        return PaperTriton(generator)
    from zoomin_d2.inference.fused.fast import FastTriton

    return FastTriton(generator, tune=tune)


class InferenceEngine:
    """Runs a generator on one device in one precision.

    Args:
        generator: in eval mode; it is moved, converted and kept. It must leave the frames that it
            is called with as they are.
        device: where it runs.
        dtype: of weights and activations: float32, float16 (GPUs only) or bfloat16. The generators
            compute flow and sampling positions in float32 in any case.
        compile: True for `torch.compile`, or the name of one of its modes that makes no CUDA graphs
            of its own ("max-autotune-no-cudagraphs" tries Triton's convolutions, for minutes).
        cuda_graphs: record one graph per frame size, at the second call with it. None: on a GPU.
        triton: run in fused kernels (inference/fused/) instead of PyTorch's; "tune" also
            times other tiles for `fast` at the first call with a size. None: for half precision on
            a GPU, if the kernels can be compiled and `compile` is off; the environment variable
            ZOOMIN_TRITON changes that ("0": never; "tune").

    Raises:
        ValueError: the device does not support this dtype, or the network has no such kernels.
    """

    def __init__(
        self,
        generator: nn.Module,
        device: torch.device,
        dtype: torch.dtype,
        *,
        compile: bool | str = False,
        cuda_graphs: bool | None = None,
        triton: bool | str | None = None,
    ):
        if dtype not in (torch.float32, torch.float16, torch.bfloat16):
            raise ValueError(f"dtype must be float32, float16 or bfloat16, got {dtype}")
        if dtype == torch.float16 and device.type == "cpu":
            raise ValueError("float16 needs a GPU; on a CPU use float32 or bfloat16")
        keep_freed_memory()  # frames of a video pass through main memory, whatever the device
        self.device = device
        self.dtype = dtype
        generator = generator.to(device, dtype).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.generator: nn.Module = generator.eval().requires_grad_(False)
        self._fused: Any = None  # FastTriton or PaperTriton, made at the first call
        self._forward: Run = self._interpolate
        half_on_gpu = dtype != torch.float32 and device.type == "cuda"
        chosen = triton is None and half_on_gpu and not compile and can_use_triton(generator)
        if chosen:
            triton = os.environ.get("ZOOMIN_TRITON", "1")
        if triton in (True, "1", "tune"):
            if not can_use_triton(generator):
                raise ValueError(f"there are no Triton kernels for {type(generator).__name__}")
            self._tune = triton == "tune"
            self._forward = self._fused_or_plain if chosen else self._interpolate_fused
        elif compile:
            mode = compile if isinstance(compile, str) else "default"
            self._forward = torch.compile(self._interpolate, mode=mode, dynamic=False)
        use_graphs = device.type == "cuda" if cuda_graphs is None else cuda_graphs
        self._graphs = CudaGraphCache(CudaGraphCapture()) if use_graphs else None
        self._known_times: OrderedDict[tuple, Tensor] = OrderedDict()

    @property
    def is_fused(self) -> bool:
        """Whether it runs fused kernels; not if they were tried and failed."""
        return self._forward in (self._fused_or_plain, self._interpolate_fused)

    def __call__(
        self,
        frame_1: Tensor,
        frame_2: Tensor,
        ts: Sequence[float | Tensor],
        *,
        recorded: bool = True,
    ) -> list[Tensor]:
        """
        Args:
            frame_1, frame_2: (N, 3, H, W) on any device, uint8 or float in [0, 1]; or (N, 4, H, W)
                with alpha, by which the colors are multiplied: it moves with their flows and mask.
            ts: the times of the frames; each a float in (0, 1), or (N,) of them.
            recorded: False runs the kernels one by one even if there is a CUDA graph for this size.

        Returns:
            one (N, 3, H, W) per t on the engine's device: uint8 for uint8, else float32.
        """
        forward = self._forward if frame_1.shape[1] == 3 else self._interpolate
        return self.recorded(forward, frame_1, frame_2, ts, recorded=recorded)

    # no_grad, not inference_mode: the results must be usable anywhere, also in autograd.
    @torch.no_grad()
    def recorded(
        self,
        run: Run,
        frame_1: Tensor,
        frame_2: Tensor,
        ts: Sequence[float | Tensor],
        rest: Sequence[Tensor] = (),
        *,
        recorded: bool = True,
    ) -> list[Tensor]:
        """What a function of frames, times, and other tensors gives; on a GPU from a CUDA graph.

        Args:
            run: called as ``run(frame_1, frame_2, [*ts, *rest])`` with tensors on the engine's
                device. It must not wait for the device, and must call the engine with
                ``recorded=False``. Equal functions share a graph.
            frame_1, frame_2, ts, recorded: as for the call.
            rest: more tensors on the engine's device, not changed between calls.
        """
        inputs = self._upload(frame_1), self._upload(frame_2)
        tensors = [*self._times(ts, len(frame_1)), *rest]
        if self._graphs is None or not recorded:
            return run(*inputs, tensors)
        return self._graphs(run, *inputs, tensors)

    @torch.no_grad()
    def with_doubt(self, frame_1: Tensor, frame_2: Tensor, ts: list[float], /) -> list[Tensor]:
        """As `with_outputs`; each result has doubt (doubt.py) as one more channel."""
        color_1, color_2 = (to_float(self._upload(x))[:, :3] for x in (frame_1, frame_2))
        return [
            add_doubt(frame, *warped(color_1, color_2, out), out.blend_mask)
            for frame, out in self.with_outputs(frame_1, frame_2, ts)
        ]

    @torch.no_grad()
    def with_outputs(
        self,
        frame_1: Tensor,
        frame_2: Tensor,
        ts: Sequence[float | Tensor],
        *,
        recorded: bool = True,
    ) -> list[tuple[Tensor, GeneratorOutput]]:
        """As the call, with everything that the generator gives for each frame; float32, also for
        8-bit frames.

        In fused kernels where `with_motion` uses them, else by the plain network.
        """
        frame_1, frame_2 = (to_float(self._upload(x)) for x in (frame_1, frame_2))
        pair = self.with_motion(frame_1, frame_2, ts, recorded=recorded)
        if pair is not None:
            return self.outputs_of(frame_1, frame_2, pair, ts, recorded=recorded)
        times = self._times(ts, len(frame_1))
        frames, outputs = self._frames_and_outputs(frame_1, frame_2, times)
        return [(frame.float(), out) for frame, out in zip(frames, outputs)]

    @torch.no_grad()
    def with_motion(
        self,
        frame_1: Tensor,
        frame_2: Tensor,
        ts: Sequence[float | Tensor],
        *,
        recorded: bool = True,
    ) -> FusedPair | None:
        """As the call, in fused kernels, with the motion that the frames were made with.

        None if the call does not use `fast`'s fused kernels, which know no alpha.
        """
        is_fast = isinstance(self.generator, FastGenerator)
        if not self.is_fused or not is_fast or frame_1.shape[1] != 3:
            return None
        chosen = self._forward == self._fused_or_plain
        run: Run = self._fused_with_motion_if_possible if chosen else self._fused_with_motion
        tensors = self.recorded(run, frame_1, frame_2, ts, recorded=recorded)
        if not tensors:
            return None
        length, *rest = tensors
        return FusedPair([FusedFrame(*row) for row in rows_of(rest, len(ts))], length)

    @torch.no_grad()
    def measured(
        self, frame_1: Tensor, frame_2: Tensor, ts: Sequence[float | Tensor], limit: float
    ) -> MeasuredPair | None:
        """As the call, with how long the motion is; None if only `with_outputs` says that. The
        caller asks for `outputs` only where the motion is longer than `limit`, in pixels."""
        pair = self.with_motion(frame_1, frame_2, ts)
        if pair is None:
            return None
        rest = partial(self.outputs_of, frame_1, frame_2, pair, ts)
        return MeasuredPair([made.frame for made in pair.made], pair.length, rest)

    @torch.no_grad()
    def outputs_of(
        self,
        frame_1: Tensor,
        frame_2: Tensor,
        pair: FusedPair,
        ts: Sequence[float | Tensor],
        *,
        recorded: bool = True,
    ) -> list[tuple[Tensor, GeneratorOutput]]:
        """The frames that `with_motion` made of a pair, with what the generator gives for them."""
        rest = columns(made[1:] for made in pair.made)
        maps = self.recorded(self._fused_maps, frame_1, frame_2, ts, rest, recorded=recorded)
        rows = zip(pair.made, rows_of(maps, len(ts)))
        return [
            (
                made.frame,
                GeneratorOutput(to_float(made.frame), coarse_frame, flow_1t, flow_2t, mask),
            )
            for made, (coarse_frame, flow_1t, flow_2t, mask) in rows
        ]

    def _fused_maps(self, frame_1: Tensor, frame_2: Tensor, tensors: list[Tensor]) -> list[Tensor]:
        """Of times, motions, and what refined them, if anything did: `FastTriton.maps_of`."""
        network = self._fused_network()
        count = len(tensors) // (2 if network.refine is None else 3)
        frame_1, frame_2 = to_float(frame_1), to_float(frame_2)
        rows = rows_of(tensors, count)
        return columns(network.maps_of(frame_1, frame_2, *rest, t=t) for t, *rest in rows)

    def _fused_with_motion_if_possible(
        self, frame_1: Tensor, frame_2: Tensor, ts: list[Tensor]
    ) -> list[Tensor]:
        """Nothing if a kernel does not compile or fit here."""
        return self._tried(self._fused_with_motion, frame_1, frame_2, ts) or []

    def _fused_with_motion(
        self, frame_1: Tensor, frame_2: Tensor, ts: list[Tensor]
    ) -> list[Tensor]:
        """The largest of the motions' mean lengths, the frames, their motions, and what refined
        them, if anything did."""
        made = self._fused_network().made(*self._for_fused(frame_1, frame_2), ts)
        lengths = [mean_length(x.motion, Time.of(t), pixels=2) for x, t in zip(made, ts)]
        return [torch.stack(lengths).max(), *columns(made)]

    def _interpolate(self, frame_1: Tensor, frame_2: Tensor, ts: list[Tensor]) -> list[Tensor]:
        as_8bit = frame_1.dtype == torch.uint8
        frame_1, frame_2 = (self._to_float(x) for x in (frame_1, frame_2))
        frames, _ = self._frames_and_outputs(frame_1, frame_2, ts)
        if as_8bit:
            return [to_8bit(x) for x in frames]
        return [x.float() for x in frames]

    def _frames_and_outputs(
        self, frame_1: Tensor, frame_2: Tensor, ts: list[Tensor]
    ) -> tuple[list[Tensor], list[GeneratorOutput]]:
        with self._autocast(frame_1.dtype):
            colors = frame_1[:, :3], frame_2[:, :3]
            outputs = self._outputs(*colors, ts)
            frames = [out.pred_frame for out in outputs]
        if frame_1.shape[1] == 4:
            alphas = [_blended(frame_1[:, 3:], frame_2[:, 3:], out) for out in outputs]
            frames = [torch.cat([c.float(), a], 1) for c, a in zip(frames, alphas)]
        return frames, outputs

    def _outputs(self, frame_1: Tensor, frame_2: Tensor, ts: list[Tensor]) -> list[GeneratorOutput]:
        return forward_many(self.generator, frame_1, frame_2, ts)

    def _fused_or_plain(self, frame_1: Tensor, frame_2: Tensor, ts: list[Tensor]) -> list[Tensor]:
        frames = self._tried(self._interpolate_fused, frame_1, frame_2, ts)
        return self._interpolate(frame_1, frame_2, ts) if frames is None else frames

    def _tried(
        self, run: Run, frame_1: Tensor, frame_2: Tensor, ts: list[Tensor]
    ) -> list[Tensor] | None:
        """What fused kernels give; None, and no second try, if one does not compile or fit here,
        which may happen where nobody asked for them explicitly."""
        try:
            return run(frame_1, frame_2, ts)
        except Exception as error:  # many kinds: from a package, a compiler or a driver
            if is_out_of_memory(error):
                raise
            logger.warning(
                "Could not compile the fused kernels (%s: %s); falling back to PyTorch (up to 4x "
                "slower). Install a C compiler (Debian: apt install gcc), or set ZOOMIN_TRITON=0",
                type(error).__name__,
                error,
            )
            self._forward = self._interpolate
            return None

    def _interpolate_fused(
        self, frame_1: Tensor, frame_2: Tensor, ts: list[Tensor]
    ) -> list[Tensor]:
        return self._fused_network()(*self._for_fused(frame_1, frame_2), ts)

    def _fused_network(self) -> Any:
        if self._fused is None:
            assert can_use_triton(self.generator)  # asked before
            self._fused = fuse(self.generator, tune=self._tune)
        return self._fused

    def _for_fused(self, frame_1: Tensor, frame_2: Tensor) -> tuple[Tensor, Tensor]:
        if frame_1.dtype == frame_2.dtype == torch.uint8:
            return frame_1, frame_2
        return self._to_float(frame_1).float(), self._to_float(frame_2).float()

    def _to_float(self, frame: Tensor) -> Tensor:
        if frame.dtype != torch.uint8:
            return frame.float()
        # float16 steps by 1 / 2048 below 1, an eighth of an 8-bit step: enough for 8-bit frames.
        # bfloat16's 1 / 256 is not, so there frames stay float32 until a convolution.
        dtype = torch.float16 if self.dtype == torch.float16 else torch.float32
        return frame.to(dtype) * (1 / 255)

    def _autocast(self, frames: torch.dtype) -> contextlib.AbstractContextManager:
        # The weights are already converted; this converts their inputs. Where none needs it,
        # autocast would turn sums into float32 again, and a caller's own must not change a result.
        needed = frames != self.dtype
        dtype = self.dtype if needed else None  # older versions warn of float32
        return torch.autocast(self.device.type, dtype, enabled=needed, cache_enabled=False)

    def _upload(self, frame: Tensor) -> Tensor:
        return frame.to(self.device, non_blocking=True)

    def _times(self, ts: Sequence[float | Tensor], n: int) -> list[Tensor]:
        # The caller's tensor is copied, so that the same object always has the same values.
        return [
            t.to(self.device, torch.float32, non_blocking=True, copy=True)
            if isinstance(t, Tensor)
            else self._known_time(t, n)
            for t in ts
        ]

    def _known_time(self, t: float, n: int) -> Tensor:
        stream = torch.cuda.current_stream(self.device) if self.device.type == "cuda" else None
        key = (t, n, stream)
        time = self._known_times.get(key)
        if time is None:
            if len(self._known_times) >= _MAX_TIMES:
                self._known_times.popitem(last=False)
            # `full` passes its value to a kernel; copying a tensor would wait for the GPU.
            time = self._known_times[key] = torch.full((n,), t, device=self.device)
        return time


def _blended(alpha_1: Tensor, alpha_2: Tensor, out: GeneratorOutput) -> Tensor:
    """(N, 1, H, W): alpha warped and blended by the flows and the mask of the colors (eq. 1)."""
    return blend(*warped(alpha_1, alpha_2, out), out.blend_mask.float())


def warped(frame_1: Tensor, frame_2: Tensor, out: GeneratorOutput) -> tuple[Tensor, Tensor]:
    """Both (N, C, H, W) as float32, moved by the flows of an output."""
    warped_1 = backward_warp(frame_1.float(), out.flow_1t.float())
    return warped_1, backward_warp(frame_2.float(), out.flow_2t.float())
