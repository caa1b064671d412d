"""Which backend is the fastest one here."""

import importlib.util

import pytest
import torch

from zoomin_d2.inference.backends import fastest_backend


@pytest.mark.parametrize(
    ("machine", "packages", "has_gpu", "expected"),
    [
        ("x86_64", ["openvino", "onnx"], False, "openvino"),
        ("AMD64", ["openvino", "onnx"], False, "openvino"),
        ("arm64", ["openvino", "onnx"], False, "torch"),
        ("x86_64", ["openvino"], False, "torch"),
        ("x86_64", ["openvino", "onnx"], True, "torch"),
    ],
)
def test_fastest_backend(monkeypatch, machine, packages, has_gpu, expected):
    monkeypatch.setattr("platform.machine", lambda: machine)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name in packages or None)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: has_gpu)
    assert fastest_backend() == expected
