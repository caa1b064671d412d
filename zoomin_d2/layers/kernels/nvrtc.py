"""Kernels in CUDA C++ (cuda/), compiled when they are first used by the NVRTC that PyTorch has.

`launch` launches them like those of Triton, whose compiler decides by itself what stays in shared
memory, in which layout, and what is fetched when. These say it.
"""

import ctypes
import functools
import hashlib
import logging
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import torch
import triton
from torch import Tensor
from triton.runtime.cache import get_cache_manager

from zoomin_d2.layers.kernels.launch import IS_TRITON_3_5

logger = logging.getLogger(__name__)
_SOURCES = Path(__file__).parent / "cuda"
_MAX_DYNAMIC_SHARED = 8  # CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
_INVALID_CONTEXT = 201  # CUDA_ERROR_INVALID_CONTEXT


class DriverError(RuntimeError):
    """A CUDA driver's error."""


def compute_capability(x: Tensor) -> int:
    """That of the GPU of a tensor, 90 for an H100, or 0: no GPU on which a `CudaKernel` could run.

    Also 0 in Triton's interpreter. For a tensor on the CPU, of the GPU that is compiled for.
    """
    with torch.cuda.device_of(x):
        return _current_capability()


def shared_memory(x: Tensor) -> int:
    """Bytes that a block may have on the GPU of a tensor, or on a Hopper GPU."""
    if not x.is_cuda:
        return 227 * 1024
    return torch.cuda.get_device_properties(x.device).shared_memory_per_block_optin


def on_16_bytes(x: Tensor) -> bool:
    """Whether eight 16-bit numbers of a pixel of x (N, h, w, C) can be accessed at a time."""
    in_eights = all(stride % 8 == 0 for stride in x.stride()[:3])
    return x.element_size() == 2 and x.stride(3) == 1 and in_eights and x.data_ptr() % 16 == 0


def follow_each_other(x: Tensor) -> bool:
    """Whether all pixels of x (N, h, w, C) are equally far from the one before."""
    rows = x.stride(1) == x.shape[2] * x.stride(2)
    return rows and x.stride(0) == x.shape[1] * x.stride(1)


def _current_capability() -> int:
    if not IS_TRITON_3_5 or torch.version.cuda is None or triton.knobs.runtime.interpret:
        return 0
    try:
        target = triton.runtime.driver.active.get_current_target()
    except RuntimeError:  # no GPU
        return 0
    return _if_compiled_for(int(target.arch)) if target.backend == "cuda" else 0


@functools.cache
def _if_compiled_for(capability: int) -> int:
    try:
        source = 'extern "C" __global__ void nothing() {}'
        binary = _compile("nothing", source, {}, _options(capability))
        if torch.cuda.is_available():
            _call("cuModuleLoadData", ctypes.byref(ctypes.c_void_p()), binary)
    except (ImportError, OSError, RuntimeError) as error:  # no NVRTC, not all of it, an old driver
        logger.warning("Slower kernels are used, because NVRTC does not work: %s", error)
        return 0
    return capability


class CudaKernel:
    """A kernel of a file in cuda/ that has its name, with the constants that the file asks for.

    ``kernel[grid](*args, threads=..., shared=...)`` launches it on the current stream: tensors as
    pointers, int and float as 32 bits, anything of ctypes as it is; ``shared`` in bytes.

    Args:
        headers: the text of each header that it includes and that is not in cuda/.
    """

    def __init__(self, name: str, headers: dict[str, str] | None = None, **constants: float):
        self.__name__ = name
        self.constants = constants
        self._build = _Build(name, tuple(constants.items()), tuple((headers or {}).items()))
        # By device: the function, and the shared memory that it may use.
        self._functions: dict[int, tuple[ctypes.c_void_p, int]] = {}

    def __getitem__(self, grid: tuple[int, ...]):
        return functools.partial(self._launch, grid)

    def warmup(self, *args: Any, grid: tuple[int, ...], threads: int, shared: int) -> bytes:
        """The kernel, compiled for the current GPU."""
        return self.compilation()()

    def compilation(self) -> Callable[[], bytes]:
        """What compiles the kernel for the GPU that is the current one now, in any thread."""
        return functools.partial(_compiled, self._build, _current_capability())

    def _launch(self, grid: tuple[int, ...], *args: Any, threads: int, shared: int) -> None:
        device = torch.cuda.current_device()
        function, allowed = self._functions.get(device, (None, -1))
        if function is None:
            function = _load(self._build, device)
        if shared > allowed:
            _call("cuFuncSetAttribute", function, _MAX_DYNAMIC_SHARED, shared)
            self._functions[device] = function, shared
        values = [as_ctypes(x) for x in args]
        pointers = (ctypes.c_void_p * len(values))(*(ctypes.addressof(x) for x in values))
        stream = ctypes.c_void_p(torch.cuda.current_stream().cuda_stream)
        x, y, z = (*grid, 1, 1)[:3]
        block = threads, 1, 1
        _call("cuLaunchKernel", function, x, y, z, *block, shared, stream, pointers, None)


class _Build(NamedTuple):
    name: str
    constants: tuple[tuple[str, float], ...]
    made: tuple[tuple[str, str], ...]


def as_ctypes(value: Any):
    """A kernel's argument as the driver takes it."""
    if isinstance(value, Tensor):
        return ctypes.c_void_p(value.data_ptr())
    if isinstance(value, float):
        return ctypes.c_float(value)
    return ctypes.c_int(value) if isinstance(value, int) else value


@functools.cache
def _nvrtc() -> ctypes.CDLL:
    from torch.cuda._utils import _get_nvrtc_library  # knows its name on every system

    return _get_nvrtc_library()


@functools.cache
def _driver() -> ctypes.CDLL:
    from torch.cuda._utils import _get_cuda_library

    return _get_cuda_library()


def _call(name: str, *args: Any) -> None:
    """A function of the driver; where nothing has used the GPU in this thread yet, its context is
    entered first, as PyTorch's own calls do."""
    driver = _driver()
    error = getattr(driver, name)(*args)
    if error == _INVALID_CONTEXT:
        number, context = ctypes.c_int(), ctypes.c_void_p()
        _check(driver.cuDeviceGet(ctypes.byref(number), torch.cuda.current_device()))
        _check(driver.cuDevicePrimaryCtxRetain(ctypes.byref(context), number))
        _check(driver.cuCtxSetCurrent(context))
        error = getattr(driver, name)(*args)
    _check(error)


def _check(error: int) -> None:
    if error:
        text = ctypes.c_char_p()
        _driver().cuGetErrorString(error, ctypes.byref(text))
        raise DriverError(f"CUDA error {error}: {(text.value or b'unknown').decode()}")


@functools.cache
def _compiled(build: _Build, capability: int) -> bytes:
    """The binary, from Triton's cache on disk if it is there."""
    source = (_SOURCES / f"{build.name}.cu").read_text()
    headers = {x.name: x.read_text() for x in _SOURCES.glob("*.cuh")} | dict(build.made)
    options = _options(capability)
    options += [f"-D{name}={value}" for name, value in build.constants]
    key = repr((source, sorted(headers.items()), options, torch.version.cuda))
    cache = get_cache_manager(hashlib.sha256(key.encode()).hexdigest())
    if path := cache.get_file(f"{build.name}.cubin"):
        return Path(path).read_bytes()
    binary = _compile(build.name, source, headers, options)
    cache.put(binary, f"{build.name}.cubin", binary=True)
    return binary


def _options(capability: int) -> list[str]:
    # With what only this generation has, from Hopper on.
    target = f"sm_{capability}a" if capability >= 90 else f"sm_{capability}"
    return [f"--gpu-architecture={target}", "--std=c++17"]


def _compile(name: str, source: str, headers: dict[str, str], options: list[str]) -> bytes:
    nvrtc, program = _nvrtc(), ctypes.c_void_p()
    texts, names = _strings(headers.values()), _strings(headers)
    file = f"{name}.cu"
    error = nvrtc.nvrtcCreateProgram(
        ctypes.byref(program), source.encode(), file.encode(), len(texts), texts, names
    )
    if error:
        raise RuntimeError(f"NVRTC error {error} before it compiled {file}")
    failed = nvrtc.nvrtcCompileProgram(program, len(options), _strings(options))
    result = _output(program, "ProgramLog" if failed else "CUBIN")
    nvrtc.nvrtcDestroyProgram(ctypes.byref(program))
    if failed or not result:
        text = result.rstrip(b"\0\n").decode()
        raise RuntimeError(f"{file} does not compile: {text or f'NVRTC error {failed}'}")
    return result


def _strings(texts: Iterable[str]):
    encoded = [x.encode() for x in texts]
    return (ctypes.c_char_p * len(encoded))(*encoded)


def _output(program: ctypes.c_void_p, kind: str) -> bytes:
    size = ctypes.c_size_t()
    getattr(_nvrtc(), f"nvrtcGet{kind}Size")(program, ctypes.byref(size))
    result = ctypes.create_string_buffer(size.value)
    getattr(_nvrtc(), f"nvrtcGet{kind}")(program, result)
    return result.raw


def _load(build: _Build, device: int) -> ctypes.c_void_p:
    """The function on the current device."""
    major, minor = torch.cuda.get_device_capability(device)
    module, function = ctypes.c_void_p(), ctypes.c_void_p()
    _call("cuModuleLoadData", ctypes.byref(module), _compiled(build, 10 * major + minor))
    _call("cuModuleGetFunction", ctypes.byref(function), module, build.name.encode())
    return function
