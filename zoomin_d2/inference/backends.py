"""What runs a network in place of PyTorch, by the name of `Interpolator(backend=...)`."""

import importlib.util
import platform
from collections.abc import Callable

from torch import nn

from zoomin_d2.inference.adapters import for_8bit
from zoomin_d2.inference.devices import as_device
from zoomin_d2.inference.memory import keep_freed_memory
from zoomin_d2.inference.onnx_runtime import OnnxNetwork, provider_of
from zoomin_d2.inference.openvino_runtime import BACKENDS
from zoomin_d2.interpolate import Interpolate


def fastest_backend() -> str:
    """For a network on the fastest device here: "openvino" if that is a CPU on which it was tried
    (x86) and OpenVINO is installed, else "torch"."""
    is_x86 = platform.machine().lower() in ("x86_64", "amd64")
    is_installed = all(importlib.util.find_spec(name) for name in ("openvino", "onnx"))
    is_cpu = as_device("auto").type == "cpu"
    return "openvino" if is_cpu and is_x86 and is_installed else "torch"


def is_engine(backend: str) -> bool:
    """Whether it gives all that `InferenceEngine` gives, and not only frames."""
    return backend in ("torch", *BACKENDS)


def onnx_network(
    backend: str, generator: nn.Module, on_change: Callable[[str], None] | None
) -> Interpolate:
    """A network in ONNX Runtime, for float and 8-bit frames; errors: see `OnnxNetwork`."""
    keep_freed_memory()  # frames pass through main memory
    return for_8bit(OnnxNetwork(generator, backend, on_change))


def check_backend(backend: str, name: str, is_network: bool, changed: list[str]) -> None:
    """
    Args:
        backend: any but "torch".
        name: of the model. is_network: whether it is one.
        changed: names of the options, given by the user, that only PyTorch takes.

    Raises:
        ValueError: there is no such backend, or it does not fit.
    """
    if backend not in BACKENDS:
        provider_of(backend)
    if not is_network:
        raise ValueError(f"backend '{backend}' needs a network; '{name}' is not one")
    if changed:
        chosen = (
            "it runs on the CPU" if backend in BACKENDS else "its provider chooses it (onnx:cuda)"
        )
        hint = f": {chosen}" if changed[0] == "device" else ""
        raise ValueError(f"backend '{backend}' does not take the option {changed[0]}{hint}")
