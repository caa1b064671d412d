"""Networks in OpenVINO: `Interpolator(backend="openvino")`, for CPUs without a GPU beside them.

The network is exported to ONNX (inference/export.py) once, as for ONNX Runtime. "openvino:int8"
rounds most of its convolutions to 8 bits (inference/int8.py). 8-bit frames are converted within
the network, which saves a tenth of the time.
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from io import BytesIO
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from zoomin_d2.extras import extra
from zoomin_d2.inference import export, int8
from zoomin_d2.inference.adapters import pair_by_pair
from zoomin_d2.inference.devices import cpu_has_amx, cpu_has_bfloat16
from zoomin_d2.inference.onnx_runtime import exported

BACKENDS = ("openvino", "openvino:int8")
_MAX_SIZES = 4  # frame sizes kept compiled


class OpenVinoNetwork:
    """A generator as an `Interpolate` of float or 8-bit frames, run by OpenVINO on the CPU.

    Args:
        generator: is converted to float32 on the CPU.
        backend: of `BACKENDS`.
        on_change: called with a message before the network is exported.

    Raises:
        ModuleNotFoundError: OpenVINO, or `onnx` for the first export, is not installed.
        ValueError: "openvino:int8", and no ranges ship for these weights.
    """

    def __init__(
        self,
        generator: nn.Module,
        backend: str = "openvino",
        on_change: Callable[[str], None] | None = None,
    ):
        generator = generator.float().cpu().eval()
        if backend == "openvino:int8":
            generator = with_8_bits(generator)
        with extra("openvino", f"backend '{backend}'"):
            import openvino

        self._core = openvino.Core()
        self._model = exported(generator, on_change)
        self._threads = torch.get_num_threads()
        self._requests: OrderedDict[tuple, Any] = OrderedDict()

    def __call__(
        self, frame_1: Tensor, frame_2: Tensor, ts: Sequence[float | Tensor], /
    ) -> list[Tensor]:
        """Frames (N, 3, H, W), float in [0, 1] or uint8; one (N, 3, H, W), float32 or uint8, on the
        CPU per time. The network runs once per time and pair, and is compiled at the first call
        with a size.

        Raises:
            MemoryError: OpenVINO could not allocate what it needs.
        """
        return pair_by_pair(self._run, frame_1, frame_2, ts)

    def _run(self, inputs: dict[str, np.ndarray]) -> np.ndarray:
        try:
            # The request's own memory holds the result, and the next call overwrites it.
            return self._request(inputs).infer(inputs, share_inputs=True)[0].copy()
        except RuntimeError as error:
            if "alloc" in str(error).lower():
                raise MemoryError(f"OpenVINO: {error}") from error
            raise

    def _request(self, inputs: dict[str, np.ndarray]) -> Any:
        frame = inputs[export.INPUTS[0]]
        kind = frame.shape, frame.dtype
        if kind not in self._requests:
            while len(self._requests) >= _MAX_SIZES:
                self._requests.popitem(last=False)
            # Compiled for one size, it is faster than for any.
            model = self._core.read_model(BytesIO(self._model))
            model.reshape({name: list(x.shape) for name, x in inputs.items()})
            if frame.dtype == np.uint8:
                model = _with_bytes(model)
            options = {
                "INFERENCE_NUM_THREADS": self._threads,
                "INFERENCE_PRECISION_HINT": "bf16" if cpu_has_bfloat16() else "f32",
                "PERFORMANCE_HINT": "LATENCY",
            }
            self._requests[kind] = self._core.compile_model(
                model, "CPU", options
            ).create_infer_request()
        self._requests.move_to_end(kind)
        return self._requests[kind]


def with_8_bits(generator: nn.Module) -> nn.Module:
    """A copy with 8-bit convolutions: those that have a range and that OpenVINO computes right.

    Where it uses AMX, OpenVINO 2026.4.1 writes beyond the output of a dilated one, which costs
    0.7 dB or ends the process.

    Raises:
        ValueError: no ranges ship for these weights.
    """
    ranges = int8.shipped_ranges(generator)
    if cpu_has_amx():
        convs = {name: generator.get_submodule(name) for name in ranges}
        ranges = {n: ranges[n] for n, conv in convs.items() if conv.dilation == (1, 1)}
    return int8.rounded(generator, ranges)


def _with_bytes(model: Any) -> Any:
    """The network with uint8 frames at both ends; halves are rounded up, as by frames.to_8bit."""
    import openvino
    from openvino import opset13 as ops
    from openvino.preprocess import PrePostProcessor

    def rounded(frame: Any) -> Any:
        return ops.floor(ops.add(ops.multiply(frame, np.float32(255)), np.float32(0.5))).output(0)

    processor = PrePostProcessor(model)
    for name in export.INPUTS[:2]:
        frame = processor.input(name)
        frame.tensor().set_element_type(openvino.Type.u8)
        frame.preprocess().convert_element_type(openvino.Type.f32).scale(255.0)
    processor.output().postprocess().custom(rounded)
    processor.output().tensor().set_element_type(openvino.Type.u8)
    return processor.build()
