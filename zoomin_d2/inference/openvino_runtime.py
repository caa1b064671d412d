"""Networks in OpenVINO: `Interpolator(backend="openvino")`, for CPUs without a GPU beside them.

The network is exported to ONNX (inference/export.py) once, as for ONNX Runtime. "openvino:int8"
rounds most of its convolutions to 8 bits (inference/int8.py). 8-bit frames are converted within
the network, which saves a tenth of the time.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from io import BytesIO
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from zoomin_d2.extras import extra
from zoomin_d2.frames import to_float
from zoomin_d2.generators.fast import maps_of
from zoomin_d2.generators.output import GeneratorOutput
from zoomin_d2.inference import export, int8
from zoomin_d2.inference.devices import cpu_has_amx, cpu_has_bfloat16
from zoomin_d2.inference.engine import InferenceEngine, MeasuredPair
from zoomin_d2.inference.onnx_runtime import exported

BACKENDS = ("openvino", "openvino:int8")
# Compiled networks that are kept: one for each size, and for float and for 8-bit frames. Motion is
# found at three sizes of a frame.
_MAX_NETWORKS = 8


class OpenVinoEngine(InferenceEngine):
    """An engine whose network is run by OpenVINO on the CPU, once per time and pair, and compiled
    at the first call with a size.

    Args:
        generator: is converted to float32 on the CPU.
        backend: of `BACKENDS`.
        on_change: called with a message before the network is exported.

    Raises:
        ModuleNotFoundError: OpenVINO, or `onnx` for the first export, is not installed.
        ValueError: "openvino:int8", and no ranges ship for these weights.
        MemoryError: in a call: OpenVINO could not allocate what it needs.
    """

    def __init__(
        self,
        generator: nn.Module,
        backend: str = "openvino",
        on_change: Callable[[str], None] | None = None,
    ):
        super().__init__(generator, torch.device("cpu"), torch.float32)
        if backend == "openvino:int8":
            generator = with_8_bits(self.generator)
        with extra("openvino", f"backend '{backend}'"):
            import openvino

        self._core = openvino.Core()
        self._model = exported(generator, on_change, motion=True)
        self._num_outputs = len(export.outputs_with_motion(generator))
        self._threads = torch.get_num_threads()
        self._requests: OrderedDict[tuple, Any] = OrderedDict()
        self._lock = threading.Lock()  # a request has memory for one call

    @torch.no_grad()
    def measured(
        self, frame_1: Tensor, frame_2: Tensor, ts: Sequence[float | Tensor], limit: float
    ) -> MeasuredPair | None:
        """As in the base class; None with alpha, for several pairs, and for no times."""
        if frame_1.shape[:2] != (1, 3) or not ts:
            return None

        def wanted(length: float) -> Sequence[int]:
            last = self._num_outputs - 1
            return range(last + 1) if length > limit else (0, last)

        times = self._times(ts, len(frame_1))
        found = self._found(frame_1, frame_2, times, wanted)

        def outputs() -> list[tuple[Tensor, GeneratorOutput]]:
            if any(len(results) == 2 for results in found):
                return self.with_outputs(frame_1, frame_2, ts)
            frames = to_float(frame_1), to_float(frame_2)
            rows = ((to_float(frame), rest, t) for (frame, *rest, _), t in zip(found, times))
            return [(frame, self._output(*frames, t, frame, *rest)) for frame, rest, t in rows]

        frames = [results[0] for results in found]
        return MeasuredPair(frames, torch.stack([x[-1] for x in found]).max(), outputs)

    def _interpolate(self, frame_1: Tensor, frame_2: Tensor, ts: list[Tensor]) -> list[Tensor]:
        if frame_1.shape[1] != 3:
            return super()._interpolate(frame_1, frame_2, ts)
        return [frame for (frame,) in self._found(frame_1, frame_2, ts, lambda _: (0,))]

    def _outputs(self, frame_1: Tensor, frame_2: Tensor, ts: list[Tensor]) -> list[GeneratorOutput]:
        found = self._found(frame_1, frame_2, ts, lambda _: range(self._num_outputs - 1))
        rows = zip(found, ts)
        return [self._output(frame_1, frame_2, t, *results) for results, t in rows]

    def _output(
        self, frame_1: Tensor, frame_2: Tensor, t: Tensor, frame: Tensor, *rest: Tensor
    ) -> GeneratorOutput:
        """Of the network's results without the length; frame_1 and frame_2 are float.

        The maps of `fast` follow from its motion. To make them in the network, for all pairs,
        would take 6 % of its time, and few need them.
        """
        maps = rest
        if export.gives_motion(self.generator):
            (motion,) = rest
            maps = maps_of(frame_1, frame_2, motion, t, export.grid_of(self.generator))
        coarse_frame, flow_1t, flow_2t, blend_mask = maps
        return GeneratorOutput(frame, coarse_frame, flow_1t, flow_2t, blend_mask)

    def _found(
        self,
        frame_1: Tensor,
        frame_2: Tensor,
        ts: list[Tensor],
        wanted: Callable[[float], Sequence[int]],
    ) -> list[list[Tensor]]:
        """For every time, some of `export.outputs_with_motion`.

        Args:
            frame_1, frame_2: (N, 3, H, W) float in [0, 1] or uint8; so are the frames that are
                made, and everything else is float32.
            wanted: the length of the motion -> places in `export.outputs_with_motion`.
        """
        frames = [f if f.dtype == torch.uint8 else f.float() for f in (frame_1, frame_2)]
        first, second = (f.contiguous().numpy() for f in frames)
        found = []
        for t in ts:
            pairs = []
            for place in range(len(first)):
                one = slice(place, place + 1)
                inputs = dict(zip(export.INPUTS, (first[one], second[one], t[one].numpy())))
                pairs.append(self._run(inputs, wanted))
            found.append([_joined(results) for results in zip(*pairs)])
        return found

    def _run(
        self, inputs: dict[str, np.ndarray], wanted: Callable[[float], Sequence[int]]
    ) -> list[Tensor]:
        try:
            with self._lock:
                # The request's own memory holds the results, and the next call overwrites them.
                request = self._request(inputs)
                results = request.infer(inputs, share_inputs=True, share_outputs=True)
                places = wanted(float(results[self._num_outputs - 1]))
                return [torch.from_numpy(np.array(results[place])) for place in places]
        except RuntimeError as error:
            if "alloc" in str(error).lower():
                raise MemoryError(f"OpenVINO: {error}") from error
            raise

    def _request(self, inputs: dict[str, np.ndarray]) -> Any:
        frame = inputs[export.INPUTS[0]]
        kind = frame.shape, frame.dtype
        if kind not in self._requests:
            while len(self._requests) >= _MAX_NETWORKS:
                self._requests.popitem(last=False)
            # Compiled for one size, it is faster than for any.
            model = self._core.read_model(BytesIO(self._model))
            model.reshape({name: list(x.shape) for name, x in inputs.items()})
            _keep_positions_exact(model)
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


def _joined(results: Sequence[Tensor]) -> Tensor:
    """Those of all pairs; of lengths, which have no axes, the largest."""
    if results[0].dim() == 0:
        return torch.stack(list(results)).max()
    return results[0] if len(results) == 1 else torch.cat(list(results))


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


def _keep_positions_exact(model: Any) -> None:
    """Make a position of every warp an output, which nobody reads.

    In bfloat16, OpenVINO keeps in float32 what lies between the last convolutions and an output.
    Positions in bfloat16 are off by up to a pixel at 1080p, and by two at 4K. (All of them as
    outputs would be copied, 5 % of the time.)
    """
    from openvino import opset13 as ops

    first, behind, step = ([i] * 4 for i in (0, 1, 1))
    warps = [x for x in model.get_ops() if x.get_type_name() == "GridSample"]
    model.add_outputs([ops.slice(x.input_value(1), first, behind, step).output(0) for x in warps])


def _with_bytes(model: Any) -> Any:
    """The network with uint8 frames at both ends; halves are rounded up, as by frames.to_8bit."""
    import openvino
    from openvino import opset13 as ops
    from openvino.preprocess import PrePostProcessor

    def rounded(frame: Any) -> Any:
        levels = ops.multiply(ops.clamp(frame, 0.0, 1.0), np.float32(255))
        return ops.floor(ops.add(levels, np.float32(0.5))).output(0)

    processor = PrePostProcessor(model)
    for name in export.INPUTS[:2]:
        frame = processor.input(name)
        frame.tensor().set_element_type(openvino.Type.u8)
        frame.preprocess().convert_element_type(openvino.Type.f32).scale(255.0)
    made = processor.output(export.OUTPUT)
    made.postprocess().custom(rounded)
    made.tensor().set_element_type(openvino.Type.u8)
    return processor.build()
