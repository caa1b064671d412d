"""8-bit convolutions: how they round, what they leave alone, which weights they belong to."""

import copy
import json

import numpy as np
import pytest
import torch
from torch import nn

from zoomin_d2.inference import export, int8
from zoomin_d2.inference.int8 import RoundedConv, RoundedEntry
from zoomin_d2.model_zoo.catalog import ROOT
from zoomin_d2.model_zoo.generator_file import load_generator


@pytest.fixture(scope="module")
def fast():
    return load_generator("fast").generator.float().eval()


def moving_pair(height, width):
    """Two smooth frames (1, 3, H, W), 3 pixels apart."""
    random = torch.Generator().manual_seed(1)
    texture = torch.rand(1, 3, height, width + 3, generator=random)
    texture = nn.functional.avg_pool2d(texture, 5, stride=1, padding=2)
    return texture[..., :-3], texture[..., 3:]


def test_rounding_worked_by_hand():
    conv = nn.Conv2d(1, 2, 1)
    conv.weight.data = torch.tensor([63.0, 6.3]).view(2, 1, 1, 1)
    conv.bias.data = torch.tensor([0.0, 1.0])
    rounded = RoundedConv(conv, -51.0, 204.0)  # steps of 1 from -51; weights by 1 and 0.1
    given = torch.tensor([-60.0, -0.4, 0.6, 3.0, 300.0]).view(1, 1, 1, 5)
    inputs = torch.tensor([-51.0, 0.0, 1.0, 3.0, 204.0])
    made = rounded(given)[0, :, 0]
    torch.testing.assert_close(made, torch.stack([63 * inputs, 6.3 * inputs + 1]))
    conv.weight.data[1] = 6.34  # its own largest weight, so its own step: 6.34 / 63
    torch.testing.assert_close(RoundedConv(conv, -51.0, 204.0)(given)[0, 1, 0], 6.34 * inputs + 1)


def test_scaled_channels_worked_by_hand(monkeypatch):
    """Inputs up to 2, 400, and 5 (kept exact): the first two are brought to one range."""
    monkeypatch.setattr(RoundedEntry, "SMOOTHING", 1.0)
    conv = nn.Conv2d(3, 1, 3, padding=1)
    conv.weight.data.zero_()
    conv.weight.data[0, :, 1, 1] = torch.tensor([20.0, 0.1, 1.0])
    conv.bias.data.fill_(7.0)
    rounded = RoundedEntry(conv, [0.0, 0.0], [2.0, 400.0])
    x = torch.tensor([1.002, 100.0, 0.123]).view(1, 3, 1, 1)
    # Inputs are 1.002 / 2 and 100 / 400 in steps of 1/255: 128 and 64. Weights are 40 and 40.
    torch.testing.assert_close(rounded(x).item(), 40 * 128 / 255 + 40 * 64 / 255 + 0.123 + 7)
    # With one step for both, 400 / 255, the first input would become 1.57.
    assert RoundedConv(conv, 0.0, 400.0)(x).item() > 20 * 1.5


def test_rounded_frames_are_close(fast):
    rounded = int8.rounded(fast, int8.shipped_ranges(fast))
    kinds = {name: type(m) for name, m in rounded.named_modules()}
    assert kinds["decoders.0.blocks.0.last"] is RoundedConv
    assert kinds["decoders.1.enter.0"] is kinds["synthesis.enter.0"] is RoundedEntry
    motion_and_time = rounded.get_submodule("decoders.1.enter.0").exact
    assert motion_and_time.in_channels == 6 and type(motion_and_time) is nn.Conv2d
    for name in ("pyramid.levels.0.0.0", "decoders.2.head"):
        assert kinds[name] is nn.Conv2d
    assert sum(isinstance(m, RoundedConv) for m in fast.modules()) == 0  # a copy
    pair, t = moving_pair(64, 96), torch.tensor([0.5])
    with torch.no_grad():
        exact, close = (g(*pair, t).pred_frame for g in (fast, rounded))
    assert 0 < (exact - close).abs().mean() < 1 / 255


def test_ranges_are_the_extremes(fast):
    pair, other = moving_pair(32, 32), moving_pair(48, 64)
    both = int8.measure_ranges(fast, [pair, other])
    apart = [int8.measure_ranges(fast, [x]) for x in (pair, other)]
    for name, (low, high) in both.items():
        least, most = (torch.tensor([a[name][i] for a in apart]) for i in (0, 1))
        torch.testing.assert_close(torch.tensor(low), least.amin(0))
        torch.testing.assert_close(torch.tensor(high), most.amax(0))
    channels = {name: len(low) for name, (low, _) in both.items() if isinstance(low, list)}
    assert channels == {
        "decoders.0.enter.0": 64,
        "decoders.1.enter.0": 129,
        "decoders.2.enter.0": 209,
        "decoders.3.enter.0": 273,
        "synthesis.enter.0": 57,
    }
    assert sorted(both) == sorted(int8.shipped_ranges(fast))
    assert not any(module._forward_pre_hooks for module in fast.modules())


def test_ranges_belong_to_weights(fast):
    other = copy.deepcopy(fast)
    with torch.no_grad():
        next(other.parameters())[0, 0, 0, 0] += 1e-3
    with pytest.raises(ValueError, match="8-bit ranges only for fast, fast-roigan, fine, "):
        int8.shipped_ranges(other)
    counts = {"fast": 30, "fast-roigan": 30, "fine": 36, "fine-roigan": 36}
    for name, expected in counts.items():
        shipped = json.loads((ROOT / "weights" / f"{name}.int8.json").read_text())
        generator = load_generator(name).generator.float()
        assert shipped["weights"] == int8.weights_digest(generator)
        rounded = int8.rounded(generator, int8.shipped_ranges(generator))
        count = sum(isinstance(x, RoundedConv) for x in rounded.modules())
        assert count == len(shipped["inputs"]) == expected


@pytest.mark.parametrize(
    "name, pair",
    [
        ("decoders.0.enter.0", [[0.0] * 63, [1.0] * 63]),  # of 64
        ("decoders.0.enter.0", [0.0, 1.0]),
        ("synthesis.down.0", [[0.0] * 32, [1.0] * 32]),
        ("synthesis.up", [0.0, float("nan")]),
        ("synthesis.up", None),
        ("synthesis.nosuch", [0.0, 1.0]),
        ("synthesis", [0.0, 1.0]),
    ],
)
def test_damaged_ranges_name_their_file(fast, tmp_path, monkeypatch, name, pair):
    (tmp_path / "weights").mkdir()
    monkeypatch.setattr(int8, "ROOT", tmp_path)
    file = tmp_path / "weights/fast.int8.json"
    (tmp_path / "weights/aaa.int8.json").write_text("{")  # of other weights, by what it says
    file.write_text(json.dumps({"weights": int8.weights_digest(fast), "inputs": {name: pair}}))
    with pytest.raises(ValueError, match=r"fast\.int8\.json is damaged: "):
        int8.shipped_ranges(fast)


def test_exported_rounding(small_generator):
    """The file holds the rounding as ONNX defines it, and makes PyTorch's frame."""
    onnx = pytest.importorskip("onnx", reason="needs the extra 'onnx'")
    runtime = pytest.importorskip("onnxruntime", reason="needs the extra 'onnx'")
    exact, _ = small_generator
    pair, t = moving_pair(37, 48), torch.tensor([0.5])
    rounded = int8.rounded(exact, int8.measure_ranges(exact, [pair]))
    data = export.export_onnx(rounded)
    kinds = [node.op_type for node in onnx.load_from_string(data).graph.node]
    num_rounded = sum(isinstance(m, RoundedConv) for m in rounded.modules())
    assert kinds.count("QuantizeLinear") == 2 * num_rounded > 0
    options = runtime.SessionOptions()
    # As it is written: ONNX Runtime's own 8-bit products may overflow on CPUs without VNNI.
    options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    session = runtime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    made = session.run(None, dict(zip(export.INPUTS, (x.numpy() for x in (*pair, t)))))[0]
    with torch.no_grad():
        expected, other = (g(*pair, t).pred_frame.numpy() for g in (rounded, exact))
    # Sums in another order may round one step further, here and there.
    assert np.abs(made - expected).mean() < np.abs(other - expected).mean() / 10
