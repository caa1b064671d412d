"""tools/export_model.py: from a training checkpoint to a file that Interpolator takes."""

import hashlib
import json
import re

import export_model
import pytest
import torch

from zoomin_d2 import Interpolator
from zoomin_d2.inference import int8
from zoomin_d2.model_zoo.generator_file import load_generator
from zoomin_d2.modeling import build_generator
from zoomin_d2.modeling.generator_options import generator_options


@pytest.fixture
def checkpoint(small_cfg, tmp_path):
    torch.manual_seed(0)
    trained, averaged = build_generator(small_cfg), build_generator(small_cfg)
    path = tmp_path / "model_best.pth"
    states = {
        key: {f"generator.{k}": v for k, v in generator.state_dict().items()}
        for key, generator in (("model", trained), ("ema_model", averaged))
    }
    provenance = {"commit": "abc123", "data": "Training on tiny."}
    options = generator_options(small_cfg)
    torch.save(
        {**states, "iteration": 7, "provenance": provenance, "generator_options": options}, path
    )
    return path


def _export(checkpoint, output, *args):
    words = [checkpoint, "--output", output, *args]
    export_model.main(export_model.parse_args([str(x) for x in words]))


def test_averaged_weights_card_and_sha256(checkpoint, tmp_path, capsys):
    output = tmp_path / "zoo" / "tiny.safetensors"
    _export(checkpoint, output)
    sha256 = hashlib.sha256(output.read_bytes()).hexdigest()
    assert f"sha256 {sha256}" in capsys.readouterr().out
    loaded = load_generator(output)
    expected = load_generator(checkpoint).generator.state_dict()
    for key, value in loaded.generator.state_dict().items():
        torch.testing.assert_close(value, expected[key], rtol=1e-3, atol=1e-6)
    assert Interpolator.from_pretrained(output, device="cpu").name == "tiny"
    card = output.with_suffix(".md").read_text()
    assert sha256 in card and "abc123" in card and "iteration: 7" in card
    parameters = sum(p.numel() for p in loaded.generator.parameters())
    assert f"{parameters / 1e6:.2f} M parameters" in card
    assert re.search(r"\d+\.\d kMAC per pixel", card)


def test_trained_weights_and_a_kept_card(checkpoint, tmp_path, capsys):
    output = tmp_path / "tiny.safetensors"
    output.with_suffix(".md").write_text("mine")
    _export(checkpoint, output, "--weights", "trained", "--dtype", "float32", "--name", "x")
    assert output.with_suffix(".md").read_text() == "mine"
    assert "was not changed" in capsys.readouterr().out
    expected = load_generator(checkpoint, averaged=False).generator.state_dict()
    loaded = load_generator(output)
    assert loaded.name == "x"
    assert all(torch.equal(v, expected[k]) for k, v in loaded.generator.state_dict().items())


def test_torchscript_needs_no_package(checkpoint, tmp_path, capsys):
    output = tmp_path / "tiny.pt"
    _export(checkpoint, output, "--format", "torchscript")
    assert "MB, float32" in capsys.readouterr().out
    frames = torch.rand(2, 1, 3, 30, 41)
    t = torch.tensor([0.3])
    with torch.no_grad():
        expected = load_generator(checkpoint).generator(*frames, t).pred_frame
        found = torch.jit.load(output)(*frames, t)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    card = (tmp_path / "tiny.pt.md").read_text()
    assert "any H and W" in card and "torch.jit.load" in card


def test_wrong_ending(checkpoint, tmp_path):
    with pytest.raises(ValueError, match=r"must end in \.safetensors"):
        _export(checkpoint, tmp_path / "tiny.pth")


def test_ranges_of_a_clip(checkpoint, tmp_path, write_video, make_frames, capsys):
    write_video("clips/a.mp4", make_frames(5))
    write_video("clips/short.mp4", make_frames(4))
    clips = tmp_path / "clips"
    output = tmp_path / "tiny.int8.json"
    _export(checkpoint, output, "--format", "int8", "--clips", clips)
    assert "from 1 pairs" in capsys.readouterr().out
    content = json.loads(output.read_text())
    generator = load_generator(checkpoint).generator.float().eval()
    assert content["weights"] == int8.weights_digest(generator)
    pairs = list(export_model.read_pairs(clips))
    assert [x.shape for x in pairs[0]] == [(1, 3, 48, 64)] * 2
    for name, (low, high) in int8.measure_ranges(generator, pairs).items():
        assert content["inputs"][name] == pytest.approx([low, high], abs=1e-4)
    exact = next(iter(content["inputs"])), "synthesis"
    _export(checkpoint, output, "--format", "int8", "--clips", clips, "--keep-float", *exact)
    fewer = json.loads(output.read_text())["inputs"]
    assert fewer == {k: v for k, v in content["inputs"].items() if not k.startswith(exact)}
    assert 0 < len(fewer) < len(content["inputs"])
    with pytest.raises(ValueError, match=r"--keep-float nosuch: .*flow_net, synthesis_net"):
        options = "--format", "int8", "--clips", clips, "--keep-float", "synthesis", "nosuch"
        _export(checkpoint, output, *options)
    with pytest.raises(ValueError, match=r"int8 needs --clips, a folder of \.mp4 clips"):
        _export(checkpoint, output, "--format", "int8", "--clips", tmp_path)
