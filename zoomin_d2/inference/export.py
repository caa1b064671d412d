"""A generator in, a file that runs without this package out: ONNX, TorchScript or torch.export.

Every file takes ``frame_1``, ``frame_2`` (1, 3, H, W) RGB float32 in [0, 1] and ``t`` (1,) in
(0, 1) and gives ``pred_frame`` (1, 3, H, W) in [0, 1]. H, W and t may change from call to call:

    onnx, torchscript   any H and W
    torch.export        H and W multiples of the generator's grid (64 for `paper`, 16 for `fast`),
                        at least twice that: pad and crop around it

ONNX goes through PyTorch's tracing exporter: the newer one, built on torch.export, inherits the
restriction of the last line.
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

INPUTS = ("frame_1", "frame_2", "t")
OUTPUT = "pred_frame"
OPSET = 17  # has GridSample (16); read by ONNX Runtime from 1.12, TensorRT from 8.6, OpenVINO


class PredFrame(nn.Module):
    """A generator that returns its frame alone."""

    def __init__(self, generator: nn.Module):
        super().__init__()
        self.generator = generator
        self.eval()  # the exporter restores the mode of what it was given, for all of it

    def forward(self, frame_1: Tensor, frame_2: Tensor, t: Tensor) -> Tensor:
        return self.generator(frame_1, frame_2, t).pred_frame


def grid_of(generator: nn.Module) -> int:
    """What a generator pads its frames to a multiple of, in pixels."""
    for module in (generator, getattr(generator, "flow_net", None)):
        grid = getattr(module, "size_divisibility", None)
        if isinstance(grid, int):
            return grid
    raise ValueError(f"{type(generator).__name__} does not say its size_divisibility")


def export_torchscript(generator: nn.Module) -> bytes:
    """A TorchScript archive, for `torch.jit.load` and C++."""
    buffer = io.BytesIO()
    with torch.no_grad(), _quiet():
        traced = torch.jit.trace(
            PredFrame(generator), _example(generator, odd=True), check_trace=False
        )
        torch.jit.save(traced, buffer)
    return buffer.getvalue()


def export_onnx(generator: nn.Module) -> bytes:
    """An ONNX model of opset 17.

    Raises:
        ModuleNotFoundError: the package `onnx` is not installed.
    """
    axes = {name: {2: "height", 3: "width"} for name in (*INPUTS[:2], OUTPUT)}
    buffer = io.BytesIO()
    with torch.no_grad(), _quiet(), extra("onnx", "exporting to ONNX"):
        torch.onnx.export(
            PredFrame(generator),
            _example(generator, odd=True),
            cast(Any, buffer),  # the stubs want a path; this exporter writes into files, too
            dynamo=False,
            opset_version=OPSET,
            input_names=list(INPUTS),
            output_names=[OUTPUT],
            dynamic_axes=axes,
        )
    return buffer.getvalue()


def export_program(generator: nn.Module) -> bytes:
    """A torch.export archive (.pt2), for `torch.export.load` and AOTInductor."""
    grid = grid_of(generator)
    dims = [grid * torch.export.Dim(name, min=2, max=8192 // grid) for name in ("h", "w")]
    frame = {2: dims[0], 3: dims[1]}
    buffer = io.BytesIO()
    with torch.no_grad(), _quiet():
        program = torch.export.export(
            PredFrame(generator),
            _example(generator, odd=False),
            dynamic_shapes={"frame_1": frame, "frame_2": frame, "t": None},
            strict=False,
        )
        torch.export.save(program, buffer)
    return buffer.getvalue()


# Name of the format -> (ending of its files, function)
FORMATS: dict[str, tuple[str, Callable[[nn.Module], bytes]]] = {
    "onnx": (".onnx", export_onnx),
    "torchscript": (".pt", export_torchscript),
    "torch.export": (".pt2", export_program),
}


def export(generator: nn.Module, format: str, path: str | os.PathLike) -> None:
    """Write a generator (float32, on the CPU, in eval mode) in one of `FORMATS`, whole or not."""
    data = FORMATS[format][1](generator.float().cpu().eval())
    write_atomically(path, lambda f: f.write(data))


def _example(generator: nn.Module, odd: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Frames to record with. Odd sizes make tracing record the padding, too."""
    grid = grid_of(generator)
    height, width = 3 * grid + 8 * odd, 5 * grid + 3 * odd
    frames = torch.rand(2, 1, 3, height, width)
    return frames[0], frames[1], torch.tensor([0.3])


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    # Tracing warns of every Python number that it writes down; the tests say that none matters.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
