"""Models by name, with all that the command offers; motion estimated on smaller frames."""

import contextlib
import threading

import numpy as np
import pytest
import torch
from torch import nn

from zoomin_d2 import Interpolator
from zoomin_d2.generators import GeneratorOutput
from zoomin_d2.inference.devices import as_device
from zoomin_d2.inference.engine import InferenceEngine
from zoomin_d2.inference.multi_device import MultiDevice
from zoomin_d2.layers import backward_warp, blend
from zoomin_d2.model_zoo.generator_file import load_generator


class _Shift(nn.Module):
    """Knows that everything moves by `pixels` of its own grid to the right, from 1 to 2."""

    def __init__(self, pixels: float):
        super().__init__()
        self.pixels = pixels
        self.weight = nn.Parameter(torch.zeros(1))
        self.sizes = []

    def forward(self, frame_1, frame_2, t):
        self.sizes.append(tuple(frame_1.shape[-2:]))
        flow_1t = frame_1.new_zeros(len(frame_1), 2, *frame_1.shape[-2:])
        flow_2t = flow_1t.clone()
        flow_1t[:, 0] = -self.pixels * t.view(-1, 1, 1)
        flow_2t[:, 0] = self.pixels * (1 - t).view(-1, 1, 1)
        mask = (1 - t).view(-1, 1, 1, 1).expand(-1, 1, *frame_1.shape[-2:])
        frame = blend(backward_warp(frame_1, flow_1t), backward_warp(frame_2, flow_2t), mask)
        return GeneratorOutput(frame, frame, flow_1t, flow_2t, mask)


def _pair(shift):
    """A texture, and the same `shift` pixels to the right."""
    texture = torch.rand(1, 3, 64, 200, generator=torch.Generator().manual_seed(0))
    return texture[..., 40:168], texture[..., 40 - shift : 168 - shift], texture


def test_half_size_flow_moves_twice_as_far():
    frame_1, frame_2, texture = _pair(8)
    network = _Shift(4.0)  # on half the grid
    model = Interpolator(network, device="cpu", dtype=torch.float32, flow_scale=0.5)
    made = model(frame_1, frame_2, [0.25, 0.5])
    assert network.sizes == [(32, 64)] * 2
    for frame, shift in zip(made, (2, 4)):
        expected = texture[..., 40 - shift : 168 - shift]
        assert torch.allclose(frame[..., 16:-16], expected[..., 16:-16], atol=1e-3)
    assert not made[0].requires_grad


def test_8bit_frames_at_another_flow_scale():
    frames = [(f[0].permute(1, 2, 0) * 255).byte().numpy() for f in _pair(8)[:2]]
    model = Interpolator(_Shift(4.0), device="cpu", dtype=torch.float32, flow_scale=0.5)
    middle = model(*frames)
    assert middle.dtype == np.uint8
    exact = model(*(frame / 255 for frame in frames))
    assert np.abs(middle - exact * 255).max() <= 0.5 + 1e-3


@pytest.mark.parametrize("scale", [0, -1, 2])
def test_scales_that_make_no_sense(scale):
    with pytest.raises(ValueError, match="must be above 0"):
        Interpolator(_Shift(0.0), device="cpu", flow_scale=scale)


@pytest.mark.parametrize("name", ["average", "nearest", "dis"])
def test_methods_without_learning(name):
    frame_1, frame_2, _ = _pair(2)
    model = Interpolator.from_pretrained(name)
    made = model(frame_1, frame_2, [0.25, 0.5])
    assert len(made) == 2 and made[0].shape == frame_1.shape
    if name == "average":
        assert torch.allclose(made[0], 0.75 * frame_1 + 0.25 * frame_2)
    assert (model.name, model.device.type, model.metadata) == (name, "cpu", {})
    with pytest.raises(AttributeError, match=f"'{name}' is a method without learning"):
        _ = model.generator
    with pytest.raises(ValueError, match=f"flow_scale needs a network; '{name}' is not one"):
        Interpolator.from_pretrained(name, flow_scale=0.5)


def test_every_pair_has_its_own_time():
    frame_1, frame_2 = torch.zeros(2, 3, 4, 4), torch.ones(2, 3, 4, 4)
    made = Interpolator.from_pretrained("average")(frame_1, frame_2, torch.tensor([0.25, 0.5]))
    assert made[:, 0, 0, 0].tolist() == [0.25, 0.5]


def test_tiles_of_8bit_frames(weighted_average):
    rng = np.random.default_rng(0)
    frames = [rng.integers(0, 256, (150, 210, 3), dtype=np.uint8) for _ in range(2)]
    whole = Interpolator(weighted_average, device="cpu", tile=None)(*frames, 0.3)
    tiled = Interpolator(weighted_average, device="cpu", tile=128)(*frames, 0.3)
    assert tiled.dtype == np.uint8
    assert np.abs(tiled.astype(int) - whole).max() <= 1


@pytest.mark.parametrize(
    ("device", "words"),
    [
        ("gpu0", "there is no device 'gpu0'"),
        ("cuda:99", r"there is no device 'cuda:99': PyTorch finds \d CUDA GPUs"),
        ([], "at least one device"),
        ("mps", r"there is no device 'mps': PyTorch finds 0 Apple GPUs here"),
        ("xpu:1", r"there is no device 'xpu:1': PyTorch finds \d Intel GPUs here"),
        ("meta", "there is no device 'meta': give auto, cpu, cuda, mps, xpu, or cuda:1"),
    ],
)
def test_devices_that_are_not_there(device, words):
    with pytest.raises(ValueError, match=words):
        Interpolator.from_pretrained("average", device=device)


def test_auto_takes_what_was_tried(monkeypatch):
    """Kinds of GPU on which nothing was tried are only taken by name."""
    for there, expected in ((True, "cuda"), (False, "cpu")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda there=there: there)
        for module in (torch.xpu, torch.backends.mps):
            monkeypatch.setattr(module, "is_available", lambda: True)
        assert as_device("auto").type == as_device(None).type == expected
    monkeypatch.setattr(torch.xpu, "device_count", lambda: 2)
    assert as_device("xpu:1") == torch.device("xpu", 1)
    assert as_device("mps").type == "mps"
    assert Interpolator.from_pretrained("dis", device="auto").device.type == "cpu"


def test_no_network_names_a_device(monkeypatch):
    """On a device without values, an operation on two devices fails: all of them take theirs from
    the frames, so that a network runs on a kind of GPU that is not at hand."""
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: contextlib.nullcontext())
    for name in ("fast", "paper"):
        engine = InferenceEngine(
            load_generator(name).generator, torch.device("meta"), torch.float32
        )
        for channels in (3, 4):
            frame = torch.rand(1, channels, 20, 28, device="meta")
            (made,) = engine(frame, frame, [0.5])
            assert (made.device.type, made.shape) == ("meta", frame.shape)


def test_each_device_has_its_network(small_generator):
    generator, _ = small_generator
    frame_1, frame_2, _ = _pair(2)
    one = Interpolator(generator, device="cpu", dtype=torch.float32)
    two = Interpolator(generator, device=["cpu", "cpu"], dtype=torch.float32)
    assert (one.workers, two.workers) == (1, 2)
    assert "devices=2" in repr(two)
    for _ in range(2):  # one each
        assert torch.equal(two(frame_1, frame_2), one(frame_1, frame_2))


def test_a_pair_waits_for_a_free_device():
    running = threading.Barrier(2, timeout=10)  # both devices are at work at the same time
    seen = []

    def model(number):
        def interpolate(frame_1, frame_2, ts):
            running.wait()
            seen.append(number)
            return [frame_1 + number]

        return torch.device("cpu"), interpolate

    several = MultiDevice([model(1), model(2)])
    results = []
    threads = [
        threading.Thread(
            target=lambda: results.append(several(torch.zeros(1), torch.zeros(1), [0.5])[0].item())
        )
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(seen) == [1, 1, 2, 2] and sorted(results) == [1, 1, 2, 2]


def test_a_failure_frees_its_device():
    def fail(frame_1, frame_2, ts):
        raise RuntimeError("broken")

    several = MultiDevice([(torch.device("cpu"), fail)])
    for _ in range(2):
        with pytest.raises(RuntimeError, match="broken"):
            several(torch.zeros(1), torch.zeros(1), [0.5])


def test_an_unknown_model_lists_all():
    with pytest.raises(FileNotFoundError, match=r"'fats' .*\(fast, .*average, nearest, dis\)"):
        Interpolator.from_pretrained("fats")
