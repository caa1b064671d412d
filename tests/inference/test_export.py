"""zoomin_d2.inference.export: other runtimes give PyTorch's frames, for any H, W and t."""

import pytest
import torch

from zoomin_d2 import get_zoomin_cfg
from zoomin_d2.inference.export import INPUTS, export, grid_of
from zoomin_d2.modeling import build_generator

SIZES = [(64, 64), (50, 81), (97, 130)]


def _small(name):
    cfg = get_zoomin_cfg()
    cfg.MODEL.GENERATOR.NAME = "paper" if name == "paper" else "fast"
    cfg.MODEL.GENERATOR.PAPER.FLOW_CHANNELS = [8, 8, 8]
    cfg.MODEL.GENERATOR.PAPER.SYNTHESIS_CHANNELS, cfg.MODEL.GENERATOR.PAPER.SYNTHESIS_KERNEL = 4, 3
    fast = cfg.MODEL.GENERATOR.FAST
    fast.PYRAMID_CHANNELS, fast.DECODER_CHANNELS = [8, 8, 8, 8], [8, 16, 16, 16]
    fast.DECODER_BLOCKS, fast.CORRELATION_RADII = [1, 1, 1, 1], [0, 0, 0, 1]
    fast.SYNTHESIS_CHANNELS = [8, 8]
    if name == "fine":
        fast.LAST_WARP, fast.REFINE_CHANNELS, fast.LINEAR_BLOCKS = "mixed", 8, [1, 0, 0, 0]
    torch.manual_seed(0)
    generator = build_generator(cfg).eval()
    with torch.no_grad():
        for parameter in generator.parameters():  # a fresh one hardly moves anything
            if parameter.dim() > 1:
                parameter.normal_(std=0.1)
    return generator


@pytest.fixture(scope="module", params=["paper", "fast", "fine"])
def generator(request):
    return _small(request.param)


def _check(generator, run, sizes):
    random = torch.Generator().manual_seed(1)
    for (height, width), t in zip(sizes, (0.5, 0.2, 0.9)):
        frames = torch.rand(2, 1, 3, height, width, generator=random)
        inputs = (*frames, torch.tensor([t]))
        with torch.no_grad():
            expected = generator(*inputs)
        assert expected.flow_1t.abs().max() > 0.1
        assert expected.pred_frame.max() <= 1 and not generator.training  # clamped, as in use
        torch.testing.assert_close(run(*inputs), expected.pred_frame, atol=1e-4, rtol=0)


def test_onnx_runtime(generator, tmp_path):
    pytest.importorskip("onnx")
    onnxruntime = pytest.importorskip("onnxruntime")
    path = tmp_path / "generator.onnx"
    export(generator, "onnx", path)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    assert [x.name for x in session.get_inputs()] == list(INPUTS)

    def run(*inputs):
        feeds = {name: value.numpy() for name, value in zip(INPUTS, inputs)}
        return torch.from_numpy(session.run(None, feeds)[0])

    _check(generator, run, SIZES)
    assert not any(module.training for module in generator.modules())


def test_torchscript(generator, tmp_path):
    path = tmp_path / "generator.pt"
    export(generator, "torchscript", path)
    _check(generator, torch.jit.load(path), SIZES)


def test_torch_export(tmp_path):
    generator = _small("paper")  # `fast` takes half a minute of symbolic arithmetic, and passes
    path = tmp_path / "generator.pt2"
    export(generator, "torch.export", path)
    grid = grid_of(generator)
    _check(
        generator, torch.export.load(path).module(), [(2 * grid, 4 * grid), (6 * grid, 2 * grid)]
    )


def test_grid(small_cfg):
    assert grid_of(build_generator(small_cfg)) == 8  # three levels
    with pytest.raises(ValueError, match="Linear does not say"):
        grid_of(torch.nn.Linear(1, 1))
