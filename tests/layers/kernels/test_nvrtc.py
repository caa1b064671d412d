"""zoomin_d2.layers.kernels.nvrtc without a GPU; what it compiles is in test_fused.py."""

import logging
from types import SimpleNamespace

import pytest
import torch

pytest.importorskip("triton")

import triton

from tests.helpers.kernel_target import Hopper
from zoomin_d2.layers.kernels import nvrtc


@pytest.fixture
def hopper(monkeypatch):
    if torch.version.cuda is None:
        pytest.skip("PyTorch without CUDA has no NVRTC")
    monkeypatch.setattr(triton.runtime.driver, "_active", Hopper(), raising=False)
    nvrtc._if_compiled_for.cache_clear()
    yield
    nvrtc._if_compiled_for.cache_clear()


def test_a_gpu_is_known_by_its_capability(hopper):
    assert nvrtc.compute_capability(torch.ones(1)) == 90


def test_without_nvrtc_others_do_it(hopper, monkeypatch, caplog):
    def missing():
        raise OSError("Could not find any NVRTC library")

    monkeypatch.setattr(nvrtc, "_nvrtc", missing)
    with caplog.at_level(logging.WARNING):
        assert [nvrtc.compute_capability(torch.ones(1)) for _ in range(2)] == [0, 0]
    assert [x.message for x in caplog.records] == [
        "Slower kernels are used, because NVRTC does not work: Could not find any NVRTC library"
    ]


def test_an_error_names_file_and_line(hopper):
    with pytest.raises(RuntimeError, match=r"broken.cu does not compile: broken.cu\(2\): error"):
        nvrtc._compile("broken", "\nfailing", {}, nvrtc._options(80))


class Driver:
    """Answers like a GPU that no call of this thread has used yet, and takes note of calls."""

    def __init__(self):
        self.calls, self.entered = [], False

    def __getattr__(self, name):
        def call(*args):
            self.calls.append(name)
            if name == "cuCtxSetCurrent":
                self.entered = True
            return 0 if self.entered or name == "cuDeviceGet" else 201

        return (lambda *_: 0) if name == "cuDevicePrimaryCtxRetain" else call


def test_a_thread_enters_the_context_once(monkeypatch):
    driver = Driver()
    monkeypatch.setattr(nvrtc, "_driver", lambda: driver)
    monkeypatch.setattr(nvrtc, "_compiled", lambda *_: b"binary")
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (9, 0))
    monkeypatch.setattr(torch.cuda, "current_stream", lambda: SimpleNamespace(cuda_stream=0))
    kernel = nvrtc.CudaKernel("correlation")

    def launched(shared):
        driver.calls.clear()
        kernel[1, 2](torch.ones(1), 3, 0.5, threads=32, shared=shared)
        return list(driver.calls)

    entering = ["cuDeviceGet", "cuCtxSetCurrent"]
    loading = ["cuModuleLoadData", *entering, "cuModuleLoadData", "cuModuleGetFunction"]
    assert launched(0) == [*loading, "cuFuncSetAttribute", "cuLaunchKernel"]
    assert launched(0) == ["cuLaunchKernel"]
    assert launched(2**16) == ["cuFuncSetAttribute", "cuLaunchKernel"]
    assert launched(2**10) == ["cuLaunchKernel"]
    driver.entered = False  # another thread
    assert launched(2**10) == ["cuLaunchKernel", *entering, "cuLaunchKernel"]
