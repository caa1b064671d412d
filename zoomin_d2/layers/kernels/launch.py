"""Every launch of a kernel in this room goes through `launch`, which runs or compiles it.

Compiling ahead has two uses: a test without a GPU can check that a kernel compiles for one, and how
many registers it takes; and on a machine with many cores, all kernels compile at once.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
import triton

IS_TRITON_3_5 = hasattr(triton, "AsyncCompileMode")  # or later
# If set, called as (kernel, grid, args, options) instead of launching.
_instead: ContextVar[Callable | None] = ContextVar("instead", default=None)


def launch(kernel: Any, grid: tuple[int, ...], *args, **options) -> None:
    """``kernel[grid](*args, **options)`` on the GPU where the first argument, a tensor, is.

    Args:
        kernel: a `triton.JITFunction` or a `CudaKernel`.
    """
    instead = _instead.get()
    with torch.cuda.device_of(args[0]):
        if instead is None:
            kernel[grid](*args, **options)
        else:
            instead(kernel, grid, args, options)


@contextmanager
def instead_of_launching(call: Callable[..., object]) -> Iterator[None]:
    """Within, `launch` calls ``call(kernel, grid, args, options)`` and runs nothing."""
    token = _instead.set(call)
    try:
        yield
    finally:
        _instead.reset(token)


def compile_only(seen: Callable[[object], object] = lambda compiled: None):
    """Within, `launch` compiles and runs nothing; ``seen`` is called with what was compiled."""
    return instead_of_launching(
        lambda kernel, grid, args, options: seen(kernel.warmup(*args, grid=grid, **options))
    )


def compiling() -> bool:
    """Whether `launch` currently runs nothing, so that results are meaningless."""
    return _instead.get() is not None


def compile_ahead(run: Callable[[], object], num_threads: int) -> None:
    """Compile everything that ``run()`` launches, in several threads; Triton caches it on disk."""
    if not IS_TRITON_3_5:
        return

    started = set()

    def start(kernel, grid, args, options) -> None:
        if isinstance(kernel, triton.JITFunction):  # which uses the pool
            kernel.warmup(*args, grid=grid, **options)
        elif kernel not in started:  # an error comes again when it is launched
            started.add(kernel)
            pool.submit(kernel.compilation())

    with (
        ThreadPoolExecutor(num_threads) as pool,
        triton.AsyncCompileMode(pool),
        instead_of_launching(start),
    ):
        run()
