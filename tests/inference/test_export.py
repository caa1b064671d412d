"""zoomin_d2.inference.export: other runtimes give PyTorch's frames, of the models that ship, for
any H, W and t."""

import pytest
import torch

from zoomin_d2.generators import FastGenerator
from zoomin_d2.inference.export import INPUTS, describe, export, grid_of
from zoomin_d2.model_zoo.generator_file import load_generator
from zoomin_d2.modeling import build_generator

SIZES = [(1, 1), (64, 64), (50, 81), (97, 130), (16, 200)]
TIMES = (0.5, 0.2, 0.9)


@pytest.fixture(scope="module", params=["paper", "fast", "fine", "fast-roigan"])
def generator(request):
    return load_generator(request.param).generator


def _check(generator, run, sizes):
    random = torch.Generator().manual_seed(1)
    for height, width in sizes:
        texture = torch.rand(1, 3, height, width + 6, generator=random)
        texture = torch.nn.functional.avg_pool2d(texture, 5, stride=1, padding=2)
        frames = texture[..., :width].contiguous(), texture[..., 6:].contiguous()
        for t in TIMES:
            inputs = (*frames, torch.tensor([t]))
            with torch.no_grad():
                expected = generator(*inputs)
            assert min(height, width) < 50 or expected.flow_1t.abs().max() > 0.5
            assert expected.pred_frame.max() <= 1 and not generator.training  # as in use
            torch.testing.assert_close(run(*inputs), expected.pred_frame, atol=1e-4, rtol=0)


@pytest.mark.slow
def test_sizes_after_a_warp_stay_free(tmp_path):
    pytest.importorskip("onnx", reason="needs the extra 'onnx': no ONNX file was tried")
    torch.manual_seed(0)
    generator = FastGenerator(
        pyramid_channels=(4, 4, 4, 4),
        decoder_channels=(4, 4, 4, 4),
        decoder_blocks=(1, 1, 1, 1),
        correlation_radii=(0, 0, 1, 1),  # at 1/8, of warped features
        synthesis_channels=(4, 4),
    ).eval()
    run = _onnx(generator, tmp_path)
    for height, width in ((40, 72), (21, 90)):
        inputs = (*torch.rand(2, 1, 3, height, width), torch.tensor([0.5]))
        with torch.no_grad():
            expected = generator(*inputs).pred_frame
        torch.testing.assert_close(run(*inputs), expected, atol=1e-4, rtol=0)


def _onnx(generator, folder):
    """The exported generator as a call."""
    onnxruntime = pytest.importorskip("onnxruntime", reason="needs the extra 'onnx'")
    path = folder / "generator.onnx"
    export(generator, "onnx", path)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    assert [x.name for x in session.get_inputs()] == list(INPUTS)

    def run(*inputs):
        feeds = {name: value.numpy() for name, value in zip(INPUTS, inputs)}
        return torch.from_numpy(session.run(None, feeds)[0])

    return run


@pytest.mark.slow
def test_onnx_runtime(generator, tmp_path):
    pytest.importorskip("onnx", reason="needs the extra 'onnx': no ONNX file was tried")
    run = _onnx(generator, tmp_path)
    _check(generator, run, SIZES)
    assert not any(module.training for module in generator.modules())


@pytest.mark.slow
def test_torchscript(generator, tmp_path):
    path = tmp_path / "generator.pt"
    export(generator, "torchscript", path)
    _check(generator, torch.jit.load(path), SIZES)


@pytest.mark.slow  # half a minute of symbolic arithmetic for each
def test_torch_export(generator, tmp_path):
    path = tmp_path / "generator.pt2"
    export(generator, "torch.export", path)
    least = grid_of(generator) + 1
    sizes = [(least, 128), (128, least + 14), (75, 121), (97, 130), (201, 80)]
    _check(generator, torch.export.load(path).module(), sizes)


def test_the_card_names_sizes_and_runtime():
    generator = load_generator("fast").generator
    assert "any H and W" in describe(generator, "onnx")
    assert "opset 17" in describe(generator, "onnx")
    assert "H and W from 17 to 8192" in describe(generator, "torch.export")
    assert f"PyTorch {torch.__version__}" in describe(generator, "torchscript")


def test_grid(small_cfg):
    assert grid_of(build_generator(small_cfg)) == 8  # three levels
    assert grid_of(torch.nn.Linear(1, 1)) == 1  # pads nothing
