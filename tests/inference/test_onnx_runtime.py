"""Networks in ONNX Runtime: PyTorch's frames to within a level, the cache, what is refused."""

import sys

import numpy as np
import pytest
import torch

from zoomin_d2 import Interpolator
from zoomin_d2.generators import GeneratorOutput
from zoomin_d2.inference import onnx_runtime
from zoomin_d2.inference.onnx_runtime import PROVIDERS, OnnxNetwork, cache_folder, exported
from zoomin_d2.video import Target, interpolate_frames, open_source

pytest.importorskip("onnx", reason="needs the extra 'onnx': no ONNX file was tried")
onnxruntime = pytest.importorskip("onnxruntime", reason="needs the extra 'onnx'")
INSTALLED = [
    x for x, (full, _) in PROVIDERS.items() if full in onnxruntime.get_available_providers()
]


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    """A cache folder of this module's own."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder))
        patch.setenv("LOCALAPPDATA", str(folder))
        yield folder


def moving_pair(height, width):
    """Two 8-bit frames of one smooth texture, 6 pixels apart."""
    random = torch.Generator().manual_seed(1)
    texture = torch.rand(1, 3, height, width + 6, generator=random)
    texture = torch.nn.functional.avg_pool2d(texture, 5, stride=1, padding=2)
    pixels = (texture[0].permute(1, 2, 0) * 255).to(torch.uint8).numpy()
    return np.ascontiguousarray(pixels[:, :width]), np.ascontiguousarray(pixels[:, 6:])


@pytest.mark.slow  # the export of the larger networks takes ten seconds
@pytest.mark.parametrize("name", ["fast", "fine", "paper"])
@pytest.mark.parametrize("provider", ["cpu", "openvino"])
def test_frames_of_pytorch(provider, name):
    if provider not in INSTALLED:
        pytest.skip("needs onnxruntime-openvino in place of onnxruntime")
    torch_model = Interpolator.from_pretrained(name, device="cpu", dtype=torch.float32)
    onnx_model = Interpolator.from_pretrained(name, backend=f"onnx:{provider}")
    for size in ((64, 96), (67, 123), (96, 161)):
        pair = moving_pair(*size)
        ts = [0.2, 0.5, 0.875]
        for ours, theirs in zip(onnx_model(*pair, ts), torch_model(*pair, ts)):
            assert np.abs(ours.astype(int) - theirs).max() <= 1
            assert np.abs(ours.astype(int) - pair[0]).max() > 8  # not the input


@pytest.mark.slow
def test_a_real_clip(real_clip):
    """Every frame of a real clip's beginning, through the video pipeline."""
    frames = []
    for options in ({"backend": "onnx:cpu"}, {"device": "cpu", "dtype": torch.float32}):
        model = Interpolator.from_pretrained("paper", **options)
        with open_source(real_clip("carphone_pristine.mp4")) as source:
            made = interpolate_frames(source, model, Target(multi=3))
            frames.append([next(made) for _ in range(7)])
            made.close()
    for ours, theirs in zip(*frames):
        assert ours.kind == theirs.kind
        assert np.abs(ours.image.astype(int) - theirs.image).max() <= 1


def test_batches_times_and_transparency(small_generator):
    generator, _ = small_generator
    expected = Interpolator(generator, device="cpu", dtype=torch.float32)
    model = Interpolator(generator, backend="onnx:cpu")
    frame_1, frame_2 = torch.rand(2, 2, 3, 32, 40, generator=torch.Generator().manual_seed(2))
    t = torch.tensor([0.25, 0.75])
    torch.testing.assert_close(
        model(frame_1, frame_2, t), expected(frame_1, frame_2, t), atol=1e-4, rtol=0
    )
    best = Interpolator(generator, backend="onnx", quality="best")(frame_1, frame_2)
    also = Interpolator(generator, device="cpu", dtype=torch.float32, quality="best")
    torch.testing.assert_close(best, also(frame_1, frame_2), atol=1e-4, rtol=0)
    # Without flows, alpha is a gray picture: where both are opaque, so is the result.
    alpha = torch.ones(2, 1, 32, 40)
    made = model.with_alpha(torch.cat([frame_1, alpha], 1), torch.cat([frame_2, alpha], 1), [0.5])
    assert made[0].shape == (2, 4, 32, 40)
    assert model.dtype == torch.float32 and "backend='onnx:cpu'" in repr(model)


def test_damage_and_other_weights(small_generator, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path))
    generator, _ = small_generator
    messages = []
    OnnxNetwork(generator.half(), "onnx:cpu", messages.append)  # in float32 from here on
    data = exported(generator, messages.append)
    (file,) = cache_folder().iterdir()
    assert file.read_bytes() == data and len(messages) == 1
    exported(generator, messages.append)
    assert len(messages) == 1  # from the cache
    file.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    assert exported(generator, messages.append) == data and len(messages) == 2
    with torch.no_grad():
        next(generator.parameters()).view(-1)[0] += 1
    assert exported(generator, messages.append) != data and len(messages) == 3


def test_changed_code_of_your_own_network():
    def network(brightness):
        class Own(torch.nn.Module):
            def forward(self, frame_1, frame_2, t):
                frame = t.view(-1, 1, 1, 1) * frame_1 * frame_2 * brightness
                return GeneratorOutput(frame, frame, frame_1[:, :2], frame_1[:, :2], frame[:, :1])

        return Own()

    white = torch.ones(1, 3, 9, 8)
    for brightness in (1.0, 0.5):  # the weights and the class's name stay as they are
        made = Interpolator(network(brightness), backend="onnx:cpu")(white, white)
        assert made.unique().tolist() == [0.5 * brightness]


def test_no_cache_folder_is_no_error(small_generator, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "file"))
    assert OnnxNetwork(small_generator[0]).provider in PROVIDERS


@pytest.mark.parametrize(
    ("backend", "options", "words"),
    [
        ("onxx", {}, r"no backend 'onxx': give torch, openvino, .*onnx, or onnx: and one of cuda"),
        ("onnx:rocm", {}, "no backend 'onnx:rocm'"),
        ("onnx:coreml", {}, r"has only .*cpu; install onnxruntime on macOS in its place"),
        ("onnx", {"device": "cuda"}, r"option device: its provider chooses it \(onnx:cuda\)"),
        ("onnx", {"flow_scale": 0.5}, "does not take the option flow_scale"),
        ("onnx", {"dtype": torch.float16}, "does not take the option dtype"),
    ],
)
def test_what_is_refused(small_generator, backend, options, words):
    with pytest.raises(ValueError, match=words):
        Interpolator(small_generator[0], backend=backend, **options)
    with pytest.raises(ValueError, match="backend 'onnx' needs a network; 'dis' is not one"):
        Interpolator.from_pretrained("dis", backend="onnx")


def test_a_provider_that_does_not_start(small_generator, monkeypatch):
    """Listed by ONNX Runtime, but its libraries are missing: it would silently take the CPU."""
    names = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(onnx_runtime, "_available", lambda _: names)
    with pytest.raises(ValueError, match=r"'onnx:cuda' does not start: .*CUDAExecutionProvider"):
        OnnxNetwork(small_generator[0], "onnx:cuda")
    assert OnnxNetwork(small_generator[0], "onnx").provider == "cpu"


def test_without_onnx_runtime(small_generator, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'zoomin_d2\[onnx\]'"):
        OnnxNetwork(small_generator[0])


def test_out_of_memory_has_its_name(small_generator):
    network = OnnxNetwork(small_generator[0], "onnx:cpu")

    class Full:
        def run(self, outputs, inputs):
            pybind = onnxruntime.capi.onnxruntime_pybind11_state
            raise pybind.RuntimeException("Failed to allocate memory for requested buffer")

    network._session = Full()
    with pytest.raises(MemoryError, match=r"ONNX Runtime: .*requested buffer"):
        network(*torch.rand(2, 1, 3, 16, 16), [0.5])
