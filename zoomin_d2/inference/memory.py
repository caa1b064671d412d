"""How much memory a model needs, how much is free, and how to recognize that it ran out."""

import contextlib
import ctypes
import gc
import sys
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from zoomin_d2.interpolate import Interpolate

_WITH_STATISTICS = ("cuda", "xpu")  # GPUs that say how much memory is free and was allocated
_PROBE = 384  # side of the frame that is measured
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8  # of mallopt; bytes, number
_STATUS, _CLEAR, _MEMINFO = "/proc/self/status", "/proc/self/clear_refs", "/proc/meminfo"


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a GPU, or the allocator on a CPU (a plain RuntimeError), ran out of memory."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and (
        "out of memory" in text or "can't allocate memory" in text or "not enough memory" in text
    )


def keep_freed_memory() -> None:
    """Let this process reuse the memory of large tensors on the CPU; only with glibc (Linux).

    By default, the system gives each tensor above 32 MB new pages, which it has to clear, and takes
    them back afterwards: 40 % of the time of a frame of 1080p. In a thread that is not the main one
    and has allocated before, this still happens above 64 MB (15 %): call it before such threads
    begin. The arrays of a video's frames, of a few MB, cost 340 page faults a frame of 1080p
    without this, and 35 with it. `release_memory` returns what is kept.
    """
    if libc := _glibc():
        # Old versions refuse more than 32 MB. First, because the other one ends its adaptation.
        libc.mallopt(_M_MMAP_THRESHOLD, 2**31 - 1) or libc.mallopt(_M_MMAP_THRESHOLD, 2**25)
        libc.mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
        libc.mallopt(_M_ARENA_MAX, 1)  # another thread's own arena could not hold large blocks


def release_memory(device: torch.device) -> None:
    """Return unused memory to the system."""
    gc.collect()
    if device.type != "cpu":
        torch.get_device_module(device).empty_cache()
        return
    # The allocator would first use what it keeps for later, which a measurement would not see.
    if libc := _glibc():
        libc.malloc_trim(0)


def _glibc() -> ctypes.CDLL | None:
    """The C library of this process, if it is glibc."""
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None
    return libc if hasattr(libc, "malloc_trim") else None


def free_memory(device: torch.device) -> int | None:
    """Free memory in bytes; None if it cannot be determined."""
    if device.type in _WITH_STATISTICS:
        return torch.get_device_module(device).mem_get_info(device)[0]
    if device.type != "cpu":
        return None
    with contextlib.suppress(OSError, ValueError):
        for line in Path(_MEMINFO).read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return None


def measure_bytes_per_pixel(
    interpolate: Interpolate, like: Tensor, num_times: int = 1
) -> float | None:
    """Peak memory of one call per pixel of a frame; None if it cannot be measured.

    Args:
        like: a frame of the device and type that will be used.
        num_times: frames made per call.
    """
    if like.device.type not in ("cpu", *_WITH_STATISTICS):
        return None
    probe = torch.ones(1, 3, _PROBE, _PROBE, device=like.device, dtype=like.dtype)
    ts = [(i + 1) / (num_times + 1) for i in range(num_times)]
    try:
        interpolate(probe, probe, ts)  # allocates what is only allocated once
        for _ in range(
            3
        ):  # if the system reclaims other pages meanwhile, a measurement shows nothing
            with _Peak(like.device) as peak:
                interpolate(probe, probe, ts)
            if peak.num_bytes > 0:
                break
    except (OSError, ValueError):
        return None
    return peak.num_bytes / probe[0, 0].numel() if peak.num_bytes > 0 else None


class _Peak:
    """Peak additional memory within a block, in bytes."""

    def __init__(self, device: torch.device):
        self._device = device
        self._gpu = None if device.type == "cpu" else torch.get_device_module(device)
        self.num_bytes = 0

    def __enter__(self) -> "_Peak":
        release_memory(self._device)
        if self._gpu is not None:
            self._gpu.reset_peak_memory_stats(self._device)
            self._before = self._gpu.memory_allocated(self._device)
        else:
            Path(_CLEAR).write_text("5")  # Linux: forget the highest resident size
            self._before = _status("VmRSS")
        return self

    def __exit__(self, *_) -> None:
        if self._gpu is not None:
            self._gpu.synchronize(self._device)
            self.num_bytes = self._gpu.max_memory_allocated(self._device) - self._before
        else:
            self.num_bytes = _status("VmHWM") - self._before


def _status(key: str) -> int:
    for line in _lines(_STATUS):
        if line.startswith(key + ":"):
            return int(line.split()[1]) * 1024
    raise ValueError(f"{_STATUS} has no {key}")


def _lines(path: str) -> Iterator[str]:
    yield from Path(path).read_text().splitlines()
