"""zoomin_d2.model_zoo.generator_file: what is written is what is read, or an error says why not."""

import hashlib
import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from zoomin_d2.engine import AtomicCheckpointer
from zoomin_d2.model_zoo import catalog
from zoomin_d2.model_zoo.generator_file import (
    load_generator,
    read_metadata,
    save_generator,
    shipped_generators,
)
from zoomin_d2.modeling import FrameInterpolator, build_generator
from zoomin_d2.modeling.generator_options import generator_options
from zoomin_d2.weight_files import UnreadableWeightsError


@pytest.fixture
def file(small_generator, tmp_path):
    path = tmp_path / "small.safetensors"
    generator, options = small_generator
    save_generator(path, generator, options, "small", trained={"commit": "abc"})
    return path


def _same_output(first, second, tolerance=0.0):
    frames = torch.rand(2, 1, 3, 20, 24, generator=torch.Generator().manual_seed(1))
    t = torch.tensor([0.3])
    with torch.no_grad():
        a, b = (g.eval()(*frames, t).pred_frame for g in (first, second))
    assert a.std() > 0.05
    return (a - b).abs().max() <= tolerance


def test_loading_draws_no_random_number(file):
    before = torch.get_rng_state()
    load_generator(file)
    assert torch.equal(torch.get_rng_state(), before)


def test_file_rebuilds_its_generator(small_generator, file):
    loaded = load_generator(file)
    assert loaded.name == "small"
    assert loaded.options == small_generator[1]
    assert loaded.options["PAPER"]["FLOW_CHANNELS"] == [8, 8, 8]
    assert json.loads(loaded.metadata["trained"]) == {"commit": "abc"}
    assert not loaded.generator.training
    assert next(loaded.generator.parameters()).dtype == torch.float32
    assert _same_output(small_generator[0], loaded.generator, 2e-3)  # weights are rounded to half


def test_float32_files_are_exact(small_generator, file, tmp_path):
    generator, options = small_generator
    path = tmp_path / "exact.safetensors"
    digest = save_generator(path, generator, options, "exact", dtype=torch.float32)
    assert digest == hashlib.sha256(path.read_bytes()).hexdigest()
    assert _same_output(generator, load_generator(path).generator)
    tensors = load_file(file)
    assert tensors["generator.flow_net.encoder.0.0.weight"].dtype == torch.float16
    assert tensors["generator.flow_net.encoder.0.0.bias"].dtype == torch.float32
    assert file.stat().st_size < 0.6 * path.stat().st_size


def test_the_file_serves_as_model_weights(small_cfg, small_generator, file):
    model = FrameInterpolator(small_cfg)
    AtomicCheckpointer(model).load(str(file), checkpointables=[])
    assert _same_output(small_generator[0], model.generator, 2e-3)


def test_checkpoints_give_averaged_weights(small_cfg, small_generator, tmp_path):
    generator, options = small_generator
    trained = build_generator(small_cfg)
    checkpoint = {
        "model": {f"generator.{k}": v for k, v in trained.state_dict().items()},
        "ema_model": {f"generator.{k}": v for k, v in generator.state_dict().items()},
    }
    path = tmp_path / "model_best.pth"
    torch.save(checkpoint, path)
    with pytest.raises(ValueError, match=r"no config\.yaml"):
        load_generator(path)
    (tmp_path / "config.yaml").write_text("model: resnet")
    with pytest.raises(ValueError, match="belongs to another program"):
        load_generator(path)
    (tmp_path / "config.yaml").write_text(small_cfg.dump())
    loaded = load_generator(path)
    assert (loaded.name, loaded.options) == ("model_best", options)
    assert _same_output(generator, loaded.generator)
    del checkpoint["ema_model"]
    torch.save({**checkpoint, "generator_options": options}, path)
    (tmp_path / "config.yaml").unlink()
    assert _same_output(trained, load_generator(path).generator)


def test_zoo_files_are_checked_by_sha256(small_generator, tmp_path, monkeypatch):
    generator, options = small_generator
    (tmp_path / "weights").mkdir()
    path = tmp_path / "weights" / "small.safetensors"
    digest = save_generator(path, generator, options, "small")
    save_file({"x": torch.zeros(1)}, tmp_path / "weights" / "detector.safetensors")
    monkeypatch.setattr(catalog, "ROOT", tmp_path)
    monkeypatch.setattr(catalog, "WEIGHTS_SHA256", {"small": digest, "detector": "?"})
    assert shipped_generators() == ["small"]
    assert load_generator("small").name == load_generator("zoo:small").name == "small"
    with pytest.raises(FileNotFoundError, match=r"'smal' is neither a model of the zoo \(small\)"):
        load_generator("smal")
    save_generator(path, generator, options, "other")
    with pytest.raises(UnreadableWeightsError, match="is damaged or a different file"):
        load_generator("small")


def test_files_that_are_no_generator(tmp_path, file):
    other = tmp_path / "other.safetensors"
    save_file({"x": torch.zeros(1)}, other)
    with pytest.raises(ValueError, match="holds no generator"):
        load_generator(other)
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(UnreadableWeightsError, match="truncated"):
        load_generator(file)
    with pytest.raises(FileNotFoundError, match="neither a model of the zoo"):
        load_generator(tmp_path / "no.safetensors")


@pytest.mark.parametrize("suffix", [".onnx", ".pt", ".pt2", ".json"])
def test_exports_run_elsewhere(tmp_path, suffix):
    words = "8-bit convolutions" if suffix == ".json" else "runs elsewhere"
    path = tmp_path / f"fast{suffix}"
    path.write_bytes(b"neither weights nor damaged")
    if suffix == ".pt":
        torch.jit.save(torch.jit.script(torch.nn.ReLU()), path)
    with pytest.raises(UnreadableWeightsError, match=rf"A \{suffix} that .* {words}: use the"):
        load_generator(path)


def _rewritten(file, tensors=None, **options):
    metadata = read_metadata(file)
    metadata["generator"] = json.dumps({**json.loads(metadata["generator"]), **options})
    save_file(tensors or load_file(file), file, metadata)
    return file


def test_files_of_other_versions_say_so(file):
    with pytest.raises(ValueError, match=r"another version of zoomin_d2.*NEW_KEY"):
        load_generator(_rewritten(file, NEW_KEY=1))


def test_unknown_generators_and_weights(file):
    tensors = load_file(file)
    tensors["generator.left_over"] = torch.zeros(1)
    with pytest.raises(ValueError, match=r"1 tensors.*'left_over'"):
        load_generator(_rewritten(file, tensors))
    with pytest.raises(ValueError, match=r"a generator 'future'.*it has .*paper"):
        load_generator(_rewritten(file, NAME="future"))


def test_diverged_weights_are_not_written(small_generator, tmp_path):
    generator, options = small_generator
    with torch.no_grad():
        generator.synthesis_net[0].weight[0, 0, 0, 0] = 1e6  # float16 ends at 65504
    with pytest.raises(ValueError, match=r"synthesis_net\.0\.weight.*too large for torch\.float16"):
        save_generator(tmp_path / "x.safetensors", generator, options, "x")
    assert list(tmp_path.iterdir()) == []


def test_options_are_plain_json(small_cfg):
    options = generator_options(small_cfg)
    assert json.loads(json.dumps(options)) == options
    assert options["NAME"] == "paper"
