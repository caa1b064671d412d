"""A generator in, a file that runs without this package out: ONNX, TorchScript or torch.export.

Every file takes ``frame_1``, ``frame_2`` (1, 3, H, W) RGB float32 in [0, 1] and ``t`` (1,) in
(0, 1) and gives ``pred_frame`` (1, 3, H, W) in [0, 1]. H, W and t may change from call to call:
`describe` says which sizes, and what can run the file.

ONNX uses PyTorch's tracing exporter, because the newer one, built on torch.export, inherits its
minimum size.
"""

import contextlib
import io
import os
import warnings
from collections.abc import Callable, Iterator
from typing import Any, cast

import torch
from torch import Tensor, nn

from zoomin_d2.extras import extra
from zoomin_d2.files import write_atomically
from zoomin_d2.generators import FastGenerator
from zoomin_d2.generators.motion_decoder import Time, mean_length
from zoomin_d2.generators.output import forward_many, motion_of

INPUTS = ("frame_1", "frame_2", "t")
OUTPUT = "pred_frame"
LENGTH = "motion_length"  # mean, in pixels
# With motion: what the maps of GeneratorOutput follow from, or for other networks these themselves.
MOTION = (OUTPUT, "motion", LENGTH)
MAPS = (OUTPUT, "coarse_frame", "flow_1t", "flow_2t", "blend_mask", LENGTH)
OPSET = 17  # has GridSample (16)
_MAX_SIDE = 8192  # of torch.export, in pixels


class PredFrame(nn.Module):
    """A generator that returns only its frame."""

    def __init__(self, generator: nn.Module):
        super().__init__()
        self.generator = generator
        self.eval()  # the exporter restores the mode of the module it was given, for all submodules

    def forward(self, frame_1: Tensor, frame_2: Tensor, t: Tensor) -> Tensor:
        return self.generator(frame_1, frame_2, t).pred_frame


class WithMotion(PredFrame):
    """A generator that returns `outputs_with_motion`."""

    def forward(self, frame_1: Tensor, frame_2: Tensor, t: Tensor) -> Any:
        (out,) = forward_many(self.generator, frame_1, frame_2, [t])
        if not gives_motion(self.generator):
            return *out[:5], motion_of(out)
        pixels = 2 if self.generator.refine is None else 1
        return out.pred_frame, out.motion, mean_length(out.motion, Time.of(t), pixels)


def gives_motion(generator: nn.Module) -> bool:
    """Whether its maps follow from its motion; a subclass may make them in its own way."""
    return type(generator) is FastGenerator


def outputs_with_motion(generator: nn.Module) -> tuple[str, ...]:
    """The names of what `WithMotion` returns."""
    return MOTION if gives_motion(generator) else MAPS


def grid_of(generator: nn.Module) -> int:
    """A generator pads its frames to a multiple of this, in pixels; 1: it does not say."""
    for module in (generator, getattr(generator, "flow_net", None)):
        grid = getattr(module, "size_divisibility", None)
        if isinstance(grid, int):
            return grid
    return 1


def export_torchscript(generator: nn.Module) -> bytes:
    """A TorchScript archive, for `torch.jit.load` and C++."""
    buffer = io.BytesIO()
    with torch.no_grad(), _quiet():
        traced = torch.jit.trace(PredFrame(generator), _example(generator), check_trace=False)
        torch.jit.save(traced, buffer)
    return buffer.getvalue()


def export_onnx(generator: nn.Module, motion: bool = False) -> bytes:
    """An ONNX model of opset 17.

    Args:
        motion: it gives `outputs_with_motion` instead of the frame alone.

    Raises:
        ModuleNotFoundError: the package `onnx` is not installed.
    """
    outputs = outputs_with_motion(generator) if motion else (OUTPUT,)
    axes = {x: {2: "height", 3: "width"} for x in (*INPUTS[:2], *outputs) if x != LENGTH}
    buffer = io.BytesIO()
    with torch.no_grad(), _quiet(), extra("onnx", "exporting to ONNX"):
        torch.onnx.export(
            (WithMotion if motion else PredFrame)(generator),
            _example(generator),
            cast(Any, buffer),  # the stubs want a path; this exporter also writes into open files
            dynamo=False,
            opset_version=OPSET,
            input_names=list(INPUTS),
            output_names=list(outputs),
            dynamic_axes=axes,
        )
    return buffer.getvalue()


def _exported(
    generator: nn.Module, frame: dict, *, checks_at_run_time: bool = True
) -> torch.export.ExportedProgram:
    """``checks_at_run_time``: what cannot be proven of all sizes is checked when the program runs;
    else it is an error."""
    return torch.export.export(
        PredFrame(generator),
        _example(generator),
        dynamic_shapes={"frame_1": frame, "frame_2": frame, "t": None},
        strict=False,
        prefer_deferred_runtime_asserts_over_guards=checks_at_run_time,
    )


def export_program(generator: nn.Module) -> bytes:
    """A torch.export archive (.pt2), for `torch.export.load` and AOTInductor."""
    # torch.export specializes on a frame that fills a single cell of the coarsest grid.
    least = grid_of(generator) + 1
    frame = {
        k: torch.export.Dim(name, min=least, max=_MAX_SIDE) for k, name in ((2, "h"), (3, "w"))
    }
    buffer = io.BytesIO()
    with torch.no_grad(), _quiet():
        try:
            program = _exported(generator, frame)
        except torch.fx.proxy.TraceError:  # some networks hold no checks while they are traced
            program = _exported(generator, frame, checks_at_run_time=False)
        torch.export.save(program, buffer)
    return buffer.getvalue()


# Name of the format -> (suffix of its files, function)
FORMATS: dict[str, tuple[str, Callable[[nn.Module], bytes]]] = {
    "onnx": (".onnx", export_onnx),
    "torchscript": (".pt", export_torchscript),
    "torch.export": (".pt2", export_program),
}


# What was tested: tests/inference/test_export.py.
_RUNTIMES = {
    "onnx": f"ONNX Runtime 1.12 or later (tested on a CPU), and other runtimes for opset {OPSET} "
    "with GridSample (not tested)",
    "torchscript": "`torch.jit.load` of PyTorch (tested) and LibTorch (not tested), on the CPU, "
    "where it was recorded",
    "torch.export": "`torch.export.load` of the PyTorch that wrote it (tested) and AOTInductor "
    "(not tested), on the CPU, where it was recorded",
}


def describe(generator: nn.Module, format: str) -> str:
    """The inputs, outputs, sizes and runtimes of an exported file, in Markdown."""
    sizes = "any H and W"
    if format == "torch.export":
        sizes = f"H and W from {grid_of(generator) + 1} to {_MAX_SIDE} (pad smaller frames)"
    return "\n".join(
        [
            "- in: `frame_1`, `frame_2` (1, 3, H, W) RGB float32 in [0, 1], `t` (1,) in (0, 1)",
            f"- out: `{OUTPUT}` (1, 3, H, W) float32 in [0, 1]",
            f"- sizes: {sizes}; H, W and t may change from call to call, one pair at a time",
            f"- written by PyTorch {torch.__version__}",
            f"- runs on: {_RUNTIMES[format]}",
        ]
    )


def export(generator: nn.Module, format: str, path: str | os.PathLike) -> None:
    """Write a generator (float32, on the CPU, in eval mode) in one of `FORMATS`, atomically."""
    data = FORMATS[format][1](generator.float().cpu().eval())
    write_atomically(path, lambda f: f.write(data))


def _example(generator: nn.Module) -> tuple[Tensor, Tensor, Tensor]:
    """Frames to record with. Odd sizes make tracing also record the padding."""
    grid = grid_of(generator)
    height, width = 3 * grid + 8, 5 * grid + 3
    frames = torch.rand(2, 1, 3, height, width)
    return frames[0], frames[1], torch.tensor([0.3])


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    # Tracing warns about every Python number that it records; the tests show that none matters.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
