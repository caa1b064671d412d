"""A network run by ONNX Runtime, through any of its providers, in float32.

One of ours is exported once (inference/export.py) and kept in the user's cache folder, so that only
the first start takes seconds longer. Frames pass through main memory.
"""

import hashlib
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import zoomin_d2.generators
import zoomin_d2.layers
from zoomin_d2.extras import extra
from zoomin_d2.files import write_atomically
from zoomin_d2.inference import export, int8
from zoomin_d2.inference.adapters import pair_by_pair
from zoomin_d2.version import __version__

# Our name -> ONNX Runtime's, and the package that brings the provider; in the order in which they
# are preferred. TensorRT builds an engine for minutes for each size: it is only taken by name.
PROVIDERS = {
    "cuda": ("CUDAExecutionProvider", "onnxruntime-gpu"),
    "directml": ("DmlExecutionProvider", "onnxruntime-directml"),
    "openvino": ("OpenVINOExecutionProvider", "onnxruntime-openvino"),
    "coreml": ("CoreMLExecutionProvider", "onnxruntime on macOS"),
    "cpu": ("CPUExecutionProvider", "onnxruntime"),
    "tensorrt": ("TensorrtExecutionProvider", "onnxruntime-gpu, with TensorRT"),
}


class OnnxNetwork:
    """A generator as an `Interpolate` of float frames, run by ONNX Runtime.

    Args:
        generator: is converted to float32 on the CPU.
        backend: "onnx", which takes the first provider that is installed and starts, or "onnx:"
            and a name of `PROVIDERS`.
        on_change: called with a message before the network is exported.

    Attributes:
        provider: the one that runs, of `PROVIDERS`.

    Raises:
        ModuleNotFoundError: ONNX Runtime, or `onnx` for the first export, is not installed.
        ValueError: there is no such provider here, or it does not start.
    """

    def __init__(
        self,
        generator: nn.Module,
        backend: str = "onnx",
        on_change: Callable[[str], None] | None = None,
    ):
        asked = provider_of(backend)
        with extra("onnx", f"backend '{backend}'"):
            import onnxruntime

        self._failures: tuple[type[Exception], ...] = (MemoryError, *_errors_of(onnxruntime))
        here = [name for name, (full, _) in PROVIDERS.items() if full in _available(onnxruntime)]
        if asked is not None and asked not in here:
            raise ValueError(
                f"backend '{backend}': the installed ONNX Runtime has only {', '.join(here)}; "
                f"install {PROVIDERS[asked][1]} in its place"
            )
        model = exported(generator.float().cpu().eval(), on_change)
        reason = "it has no provider"
        for name in [asked] if asked else [x for x in here if x != "tensorrt"]:
            session, reason = _start(onnxruntime, model, name)
            if session is not None:
                self._session, self.provider = session, name
                return
        raise ValueError(f"backend '{backend}' does not start: {reason}")

    def __call__(
        self, frame_1: Tensor, frame_2: Tensor, ts: Sequence[float | Tensor], /
    ) -> list[Tensor]:
        """Frames (N, 3, H, W) float in [0, 1]; one (N, 3, H, W) float32 on the CPU per time. The
        network runs once per time and pair.

        Raises:
            MemoryError: ONNX Runtime could not allocate what it needs.
        """
        return pair_by_pair(self._run, frame_1, frame_2, ts)

    def _run(self, inputs: dict[str, np.ndarray]) -> np.ndarray:
        try:
            return self._session.run([export.OUTPUT], inputs)[0]
        except self._failures as error:
            if "alloc" in str(error).lower():
                raise MemoryError(f"ONNX Runtime: {error}") from error
            raise


def provider_of(backend: str) -> str | None:
    """The provider that "onnx" or "onnx:cuda" asks for; None: any.

    Raises:
        ValueError: it is neither, or there is no provider of that name.
    """
    kind, colon, name = backend.partition(":")
    if kind != "onnx" or (colon and name not in PROVIDERS):
        raise ValueError(
            f"there is no backend '{backend}': give torch, openvino, openvino:int8, onnx, or onnx: "
            f"and one of {', '.join(PROVIDERS)}"
        )
    return name or None


def exported(
    generator: nn.Module, on_change: Callable[[str], None] | None, motion: bool = False
) -> bytes:
    """The network as ONNX: from the cache if it is there and whole, else exported and kept.

    A network with code of others is exported each time: nobody can tell whether its code changed.

    Args:
        motion: as for `export.export_onnx`.
    """
    packages = {type(module).__module__.partition(".")[0] for module in generator.modules()}
    is_ours = packages <= {"torch", "zoomin_d2"}
    folder, key = cache_folder(), _key(generator) + "-motion" * motion
    for path in folder.glob(f"{key}-*.onnx") if is_ours else ():
        data = path.read_bytes()
        if path.stem == f"{key}-{_short(data)}":
            return data
    if on_change is not None:
        on_change(f"exporting the network to ONNX{'; this is done once' if is_ours else ''}")
    data = export.export_onnx(generator, motion)
    if not is_ours:
        return data
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / f"{key}-{_short(data)}.onnx", lambda f: f.write(data))
    except OSError:
        pass  # without a cache the next start takes longer, and nothing else
    return data


def cache_folder() -> Path:
    """Where exported networks are kept; anything in it may be deleted."""
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or "~/AppData/Local"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "zoomin_d2" / "onnx"


def _key(generator: nn.Module) -> str:
    """Changes with the weights, the options and the code of a network, and with the exporter."""
    digest = hashlib.sha256(f"{__version__} {torch.__version__} {export.OPSET}".encode())
    for name, module in generator.named_modules():
        options = {k: v for k, v in vars(module).items() if isinstance(v, bool | int | float | str)}
        options |= {k: v for k, v in vars(module).items() if isinstance(v, tuple | list)}
        options.pop("training", None)
        digest.update(f"{name} {type(module).__qualname__} {sorted(options.items())}".encode())
    digest.update(int8.weights_digest(generator).encode())
    code = [Path(export.__file__), Path(int8.__file__)]
    for room in (zoomin_d2.generators, zoomin_d2.layers):
        code += sorted(Path(room.__path__[0]).glob("*.py"))
    for path in code:
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _short(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


def _available(onnxruntime: Any) -> list[str]:
    return onnxruntime.get_available_providers()


def _errors_of(onnxruntime: Any) -> tuple[type[Exception], ...]:
    """ONNX Runtime's own errors, which share no base class."""
    module = onnxruntime.capi.onnxruntime_pybind11_state
    found = (getattr(module, name, None) for name in ("Fail", "RuntimeException", "EPFail"))
    return tuple(error for error in found if error is not None)


def _start(onnxruntime: Any, model: bytes, name: str) -> tuple[Any, str]:
    """A session whose work goes to a provider, or None and the reason."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 4  # what matters is raised
    # Memory that is kept between calls would hide what a call needs from the choice of tiles.
    options.enable_cpu_mem_arena = False
    options.enable_mem_pattern = False
    full = PROVIDERS[name][0]
    providers: list = [(full, _options(name))]
    if name != "cpu":
        providers.append(PROVIDERS["cpu"][0])  # for operations that a provider lacks
    try:
        session = onnxruntime.InferenceSession(model, options, providers=providers)
    except Exception as error:  # of many kinds, by provider
        return None, " ".join(str(error).split())[:200]
    if full not in session.get_providers():
        return None, f"ONNX Runtime cannot load the libraries of {full}"
    return session, ""


def _options(provider: str) -> dict[str, str]:
    if provider != "openvino":
        return {}
    return {
        "device_type": "CPU",
        "precision": "FP32",  # on some CPUs it would take bfloat16
        "num_of_threads": str(torch.get_num_threads()),
        "disable_dynamic_shapes": "true",  # compiles for each size: faster than for any
    }
