"""Networks in OpenVINO: PyTorch's frames, 8-bit convolutions, what is refused."""

import sys

import numpy as np
import pytest
import torch

from zoomin_d2 import Interpolator
from zoomin_d2.inference import openvino_runtime
from zoomin_d2.inference.openvino_runtime import OpenVinoNetwork
from zoomin_d2.video import Target, interpolate_frames, open_source


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    """A cache folder of this module's own."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("XDG_CACHE_HOME", "LOCALAPPDATA"):
            patch.setenv(name, str(tmp_path_factory.getbasetemp() / "openvino_cache"))
        yield


@pytest.fixture
def openvino():
    pytest.importorskip("onnx", reason="needs the extra 'openvino': no network was tried")
    return pytest.importorskip("openvino", reason="needs the extra 'openvino'")


@pytest.mark.slow
def test_a_real_clip_in_openvino(openvino, real_clip, monkeypatch):
    """float32, within a level of PyTorch; bfloat16 and 8 bits, within a level in the mean."""

    def made(backend, **options):
        model = Interpolator.from_pretrained("fast", backend=backend, **options)
        with open_source(real_clip("carphone_pristine.mp4")) as source:
            frames = interpolate_frames(source, model, Target(multi=3))
            images = np.stack([next(frames).image for _ in range(6)]).astype(int)
            frames.close()
        return images

    exact = made("torch", device="cpu", dtype=torch.float32)
    assert np.abs(made("openvino") - exact).mean() < 0.2  # in bfloat16 on some CPUs
    monkeypatch.setattr(openvino_runtime, "cpu_has_bfloat16", lambda: False)
    assert np.abs(made("openvino") - exact).max() <= 1
    assert 0 < np.abs(made("openvino:int8") - exact).mean() < 0.5


def test_sizes_and_batches(openvino, small_generator, monkeypatch):
    generator, _ = small_generator
    monkeypatch.setattr(openvino_runtime, "cpu_has_bfloat16", lambda: False)
    expected = Interpolator(generator, device="cpu", dtype=torch.float32)
    model = Interpolator(generator, backend="openvino")
    monkeypatch.setattr(openvino_runtime, "_MAX_SIZES", 2)
    t = torch.tensor([0.25, 0.75])
    random = torch.Generator().manual_seed(2)
    for size in ((32, 40), (17, 33), (32, 40), (48, 16)):
        pair = torch.rand(2, 2, 3, *size, generator=random)
        made = model(*pair, t)
        torch.testing.assert_close(made, expected(*pair, t), atol=1e-4, rtol=0)
    # A result is not overwritten by the next one.
    first = model(*pair, [0.25, 0.75])
    assert not torch.equal(*first)
    assert model.dtype == torch.float32 and "backend='openvino'" in repr(model)


def test_out_of_memory_in_openvino(openvino, small_generator, monkeypatch):
    network = OpenVinoNetwork(small_generator[0])

    class Full:
        def infer(self, inputs):
            raise RuntimeError("std::bad_alloc")

    monkeypatch.setattr(network, "_request", lambda _: Full())
    with pytest.raises(MemoryError, match="OpenVINO: std::bad_alloc"):
        network(*torch.rand(2, 1, 3, 16, 16), [0.5])


def test_without_openvino(small_generator, monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'zoomin_d2\[openvino\]'"):
        OpenVinoNetwork(small_generator[0])


@pytest.mark.parametrize(
    ("backend", "options", "words"),
    [
        ("openvino:int4", {}, "no backend 'openvino:int4': give torch, openvino, openvino:int8"),
        ("openvino", {"device": "cuda"}, "does not take the option device: it runs on the CPU"),
        ("openvino", {"dtype": torch.bfloat16}, "does not take the option dtype"),
        ("openvino:int8", {}, "8-bit ranges only for fast, fast-roigan, fine, "),
    ],
)
def test_what_openvino_refuses(small_generator, backend, options, words):
    with pytest.raises(ValueError, match=words):
        Interpolator(small_generator[0], backend=backend, **options)
    with pytest.raises(ValueError, match="needs a network; 'dis' is not one"):
        Interpolator.from_pretrained("dis", backend="openvino")
