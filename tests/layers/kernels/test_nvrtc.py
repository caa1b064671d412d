"""zoomin_d2.layers.kernels.nvrtc without a GPU; what it compiles is in test_fused.py."""

import logging

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
