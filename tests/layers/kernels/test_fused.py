"""The fused Triton kernels: equal to PyTorch (interpreted without a GPU), and they compile."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

pytest.importorskip("triton")
HERE = Path(__file__).parents[2] / "helpers"
_POINTWISE = ("gather_level", "detail_cells", "restore_detail")  # CUDA C++ without products


def _run(script: str, **environment: str) -> str:
    # Triton decides when it is imported whether it compiles or interprets.
    result = subprocess.run(
        [sys.executable, HERE / script],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr[-3000:]
    return result.stdout.strip()


@pytest.mark.gpu
def test_equal_to_the_definitions():
    interpret = {} if torch.cuda.is_available() else {"TRITON_INTERPRET": "1"}
    assert _run("kernel_cases.py", **interpret) == "equal"


@pytest.mark.skipif(torch.version.cuda is None, reason="PyTorch without CUDA has no NVRTC")
def test_compiled_for_an_h200_little_spills():
    kernels = json.loads(_run("kernel_target.py", TRITON_INTERPRET="0"))
    names = {k["name"] for k in kernels}
    assert len(names) == 11 and len(kernels) > 30
    for kernel in kernels:
        # Stack: registers that did not fit. Convolutions of 32 channels with four blocks on a
        # multiprocessor lack two, and still take 50 us instead of the 54 of three blocks.
        allowed = 8 if kernel["name"] == "conv_halo" else 0
        assert kernel["stack"] <= allowed and kernel["registers"] <= 255, kernel
        if kernel["name"] in _POINTWISE:  # few enough for half of the GPU's threads
            assert kernel["registers"] <= 64, kernel
        if kernel["name"] in ("conv_halo", "correlation", *_POINTWISE):  # in CUDA C++
            assert kernel["tensor_core"] == (kernel["name"] not in _POINTWISE), kernel
            continue
        # What composes the frame reads single pixels, wherever the motion points.
        assert kernel["wide_access"] or kernel["name"] == "_compose_kernel", kernel
        assert kernel["tensor_core"] == ("_conv_" in kernel["name"]), kernel
        if "_conv_" in kernel["name"]:
            assert kernel["narrow_stores"] == 0, kernel
        if kernel["name"] in ("_compose_kernel", "_warp_frames_kernel"):
            assert kernel["byte_loads"] == 0, kernel  # a pixel at once
