"""Run the CUDA C++ kernels of zoomin_d2/layers/kernels/cuda on a CPU: see cuda_on_cpu.h."""

import ctypes
import hashlib
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from zoomin_d2.layers.kernels import nvrtc
from zoomin_d2.layers.kernels.launch import instead_of_launching

SOURCES = Path(nvrtc.__file__).parent / "cuda"
HEADERS = Path(__file__).parent


@contextmanager
def on_cpu(folder: Path) -> Iterator[list[str]]:
    """Within, every `CudaKernel` that is launched runs on the CPU; all tensors must be there.

    Args:
        folder: for the libraries that g++ makes.

    Yields:
        the names of the kernels that were launched so far.
    """
    launched = []

    def run(kernel, grid, args, options) -> None:
        launched.append(kernel.__name__)
        values = [nvrtc.as_ctypes(x) for x in args]
        pointers = (ctypes.c_void_p * len(values))(*(ctypes.addressof(x) for x in values))
        library = ctypes.CDLL(str(_build(kernel, folder)))
        library.run(*(*grid, 1, 1)[:3], options["threads"], options["shared"], pointers)

    with instead_of_launching(run):
        yield launched


def _build(kernel: nvrtc.CudaKernel, folder: Path) -> Path:
    name = kernel.__name__
    text = f'#include "cuda_on_cpu.h"\n#include "{SOURCES / name}.cu"\nEXPORT_RUN({name})\n'
    command = ["g++", "-std=c++17", "-O2", "-Wall", "-Wno-unknown-pragmas", "-shared", "-fPIC"]
    command += [f"-D{name}={value}" for name, value in kernel.constants.items()]
    command += [f"-I{HEADERS}", f"-I{SOURCES}", "-x", "c++", "-"]
    library = folder / hashlib.sha256(repr((text, command)).encode()).hexdigest()[:16]
    if not library.exists():
        subprocess.run([*command, "-o", str(library)], input=text, text=True, check=True)
    return library
