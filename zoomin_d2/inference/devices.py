"""The devices that a user can name, and the precision for each."""

import torch

# Kind of device -> what a user calls it.
DEVICES = {"cpu": "CPU", "cuda": "CUDA GPU", "mps": "Apple GPU", "xpu": "Intel GPU"}


def default_dtype(device: torch.device) -> torch.dtype:
    """The fastest precision of a device without visible loss: see Interpolator."""
    if device.type == "cuda":
        return torch.float16
    return torch.bfloat16 if device.type == "cpu" and cpu_has_bfloat16() else torch.float32


def cpu_has_bfloat16() -> bool:
    """Whether this CPU multiplies bfloat16: AMX, or AVX-512 with BF16 (Zen 4 and 5, for example).
    Others emulate it, which takes longer than float32. False with versions of PyTorch that do not
    say."""
    return cpu_has_amx() or getattr(torch.cpu, "_is_avx512_bf16_supported", bool)()


def cpu_has_amx() -> bool:
    """Whether this CPU multiplies tiles of bfloat16 and of 8-bit numbers (Xeons from 2023 on).
    False with versions of PyTorch that do not say."""
    return getattr(torch.cpu, "_is_amx_tile_supported", bool)()


def as_device(device: str | torch.device | None) -> torch.device:
    """A device that exists.

    Args:
        device: "cpu", "cuda", "cuda:1", "mps" (Apple), "xpu" (Intel). "auto" or None: a CUDA GPU if
            there is one, else the CPU; the other kinds, on which nothing was tried, are only taken
            by name.

    Raises:
        ValueError: there is no such device.
    """
    if device is None or device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
    except RuntimeError:
        chosen = None
    if chosen is None or chosen.type not in DEVICES:
        raise ValueError(
            f"there is no device '{device}': give auto, {', '.join(DEVICES)}, or cuda:1"
        )
    count = _num_devices(chosen.type)
    if (chosen.index or 0) >= count:
        kind = DEVICES[chosen.type]
        raise ValueError(f"there is no device '{device}': PyTorch finds {count} {kind}s here")
    return chosen


def _num_devices(kind: str) -> int:
    if kind == "cpu":
        return 1
    if kind == "mps":
        return int(torch.backends.mps.is_available())
    module = torch.cuda if kind == "cuda" else torch.xpu
    return module.device_count() if module.is_available() else 0
