"""What cannot be recorded in a CUDA graph must not be in a generator's forward; seen on a CPU."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from zoomin_d2 import get_zoomin_cfg
from zoomin_d2.generators import GENERATORS
from zoomin_d2.inference.engine import InferenceEngine
from zoomin_d2.layers import resize_flow
from zoomin_d2.modeling import build_generator

# Values read back, and tensors made of Python numbers, which are copied to the device: both wait.
WAITING = {"_local_scalar_dense", "item", "lift_fresh", "nonzero"}


class Refuse(TorchDispatchMode):
    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = str(func).split(".")[1]
        if name in WAITING:
            raise AssertionError(f"aten::{name} waits for the device")
        return func(*args, **(kwargs or {}))


@pytest.fixture(autouse=True)
def tensors_of_numbers_are_refused(monkeypatch):
    # `new_tensor` leaves no trace in the dispatcher.
    def refuse(*args, **kwargs):
        raise AssertionError("a tensor made of numbers is copied to the device")

    monkeypatch.setattr(torch, "tensor", refuse)
    monkeypatch.setattr(torch.Tensor, "new_tensor", refuse)


@pytest.mark.parametrize("name", sorted(GENERATORS))
def test_generators(name):
    cfg = get_zoomin_cfg()
    cfg.MODEL.GENERATOR.NAME, cfg.MODEL.GENERATOR.FAST.DETAIL = name, 1.0
    generator = build_generator(cfg).eval()
    frames, t = torch.rand(2, 1, 3, 50, 70), torch.full((1,), 0.5)
    with torch.no_grad(), Refuse():
        generator(*frames, t)


def test_resize_flow():
    with Refuse():
        resized = resize_flow(torch.ones(1, 2, 4, 6), (8, 18))
    assert resized[0, 0].unique().tolist() == [3]
    assert resized[0, 1].unique().tolist() == [2]


def test_what_is_refused():
    x = torch.rand(3)
    with Refuse(), pytest.raises(AssertionError, match="waits for the device"):
        x.sum().item()
    with pytest.raises(AssertionError, match="copied to the device"):
        x.new_tensor([1, 2])


@pytest.mark.parametrize("name", sorted(GENERATORS))
def test_compiled_in_one_piece(name, monkeypatch):
    """A graph break would cost what compilation is for: fusion across it."""
    monkeypatch.undo()  # tracing may make tensors of numbers
    cfg = get_zoomin_cfg()
    cfg.MODEL.GENERATOR.NAME = name
    engine = InferenceEngine(build_generator(cfg), torch.device("cpu"), torch.bfloat16)
    frames = torch.randint(0, 256, (2, 1, 3, 50, 70), dtype=torch.uint8)
    inputs = (*frames, [torch.full((1,), 0.4)])
    with torch.no_grad():
        whole = torch.compile(engine._interpolate, backend="eager", fullgraph=True, dynamic=False)
        assert torch.equal(whole(*inputs)[0], engine._interpolate(*inputs)[0])
