"""Checkpoints are whole or absent, and evaluation takes the averaged weights."""

import multiprocessing
import os
import random
import re
import time

import pytest
import torch
from detectron2.checkpoint import DetectionCheckpointer
from detectron2.modeling import build_model
from safetensors.torch import save_file
from torch import nn

from tests.helpers.training_runs import REPOSITORY
from zoomin_d2 import get_zoomin_cfg
from zoomin_d2.engine.checkpointing import FORMAT_VERSION, AtomicCheckpointer
from zoomin_d2.engine.ema import GeneratorEMA
from zoomin_d2.engine.resilience.provenance import read_provenance
from zoomin_d2.modeling.generator_options import generator_options
from zoomin_d2.weight_files import UnreadableWeightsError


class _Model(nn.Module):
    def __init__(self, value: float = 0.0):
        super().__init__()
        self.generator = nn.Linear(1, 1, bias=False)
        nn.init.constant_(self.generator.weight, value)
        self.generator.register_buffer("constant", torch.tensor(value))

    @property
    def value(self) -> float:
        return self.generator.weight.item()


def test_save_and_load(tmp_path):
    AtomicCheckpointer(_Model(3), str(tmp_path), extra={"provenance": {"commit": "abc"}}).save("m")
    model = _Model()
    rest = AtomicCheckpointer(model, str(tmp_path)).resume_or_load("", resume=True)
    assert model.value == 3
    assert rest["provenance"] == {"commit": "abc"}


def test_failed_write_keeps_old_checkpoint(tmp_path, monkeypatch):
    checkpointer = AtomicCheckpointer(_Model(1), str(tmp_path))
    checkpointer.save("model")

    def disk_full(data, f):
        f.write(b"half a file")
        raise OSError(28, "No space left on device")

    checkpointer.model = _Model(2)
    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", disk_full)
        for name in ("model", "model_0001"):
            with pytest.raises(OSError, match="No space"):
                checkpointer.save(name)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["last_checkpoint", "model.pth"]
    model = _Model()
    AtomicCheckpointer(model, str(tmp_path)).resume_or_load("", resume=True)
    assert model.value == 1


def test_best_checkpoint_is_not_resumed(tmp_path):
    checkpointer = AtomicCheckpointer(_Model(1), str(tmp_path))
    checkpointer.save("model_0000099")
    checkpointer.save("model_best")
    assert checkpointer.get_checkpoint_file().endswith("model_0000099.pth")
    assert (tmp_path / "model_best.pth").exists()


def test_average_by_hand():
    model = _Model(0)
    ema = GeneratorEMA(model, decay=0.9)
    nn.init.constant_(model.generator.weight, 1.0)
    ema.update()  # decay min(0.9, 1 / 10): 0.1 * 0 + 0.9 * 1
    assert ema.generator.weight.item() == pytest.approx(0.9)
    nn.init.constant_(model.generator.weight, 2.0)
    ema.update()  # decay 2 / 11: (2 * 0.9 + 9 * 2) / 11
    assert ema.generator.weight.item() == pytest.approx(1.8)
    ema.num_updates = 10**6
    nn.init.constant_(model.generator.weight, 0.0)
    ema.update()
    assert ema.generator.weight.item() == pytest.approx(0.9 * 1.8)


def test_average_carries_buffers():
    model = _Model(0)
    ema = GeneratorEMA(model, decay=0.5)
    nn.init.constant_(model.generator.weight, 5.0)
    model.generator.constant.fill_(7.0)
    assert not ema.generator.weight.requires_grad
    with pytest.raises(RuntimeError), ema.applied():
        assert model.value == 0
        raise RuntimeError
    assert model.value == 5
    ema.update()
    assert ema.generator.constant == 7


def test_which_weights_are_evaluated(tmp_path):
    model = _Model(1)
    ema = GeneratorEMA(model, decay=0.9)
    nn.init.constant_(model.generator.weight, 9.0)
    AtomicCheckpointer(model, str(tmp_path), ema_model=ema).save("model")
    path = str(tmp_path / "model.pth")

    evaluated = _Model()
    AtomicCheckpointer(evaluated).resume_or_load(path, resume=False)
    assert evaluated.value == 1

    resumed = _Model()
    resumed_ema = GeneratorEMA(resumed, decay=0.9)
    AtomicCheckpointer(resumed, str(tmp_path), ema_model=resumed_ema).resume_or_load("")
    assert resumed.value == 9
    assert resumed_ema.generator.weight.item() == 1


def test_safetensors_and_misfits(tmp_path):
    path = tmp_path / "weights.safetensors"
    save_file(_Model(4).state_dict(), path)
    model = _Model()
    AtomicCheckpointer(model).resume_or_load(str(path), resume=False)
    assert model.value == 4
    other = nn.ModuleDict({"generator": nn.Linear(2, 1)})
    with pytest.raises(ValueError, match=r"does not match MODEL\.GENERATOR"):
        AtomicCheckpointer(other).resume_or_load(str(path), resume=False)


def _run_of_three(tmp_path, run_id="mine") -> AtomicCheckpointer:
    """Checkpoints of the values 1, 2, 3 as model_0000001.pth, ..."""
    extra = {"provenance": {"run_id": run_id}}
    for value in (1, 2, 3):
        checkpointer = AtomicCheckpointer(_Model(value), str(tmp_path), extra=extra)
        checkpointer.save(f"model_{value:07d}")
    return checkpointer


def _resumed_value(checkpointer) -> float:
    checkpointer.model = _Model()
    checkpointer.resume_or_load("", resume=True)
    return checkpointer.model.value


def test_newest_readable_checkpoint(tmp_path, caplog):
    checkpointer = _run_of_three(tmp_path)
    assert _resumed_value(checkpointer) == 3
    path = tmp_path / "model_0000003.pth"
    path.write_bytes(path.read_bytes()[:-100])
    assert _resumed_value(checkpointer) == 2
    (tmp_path / "model_0000002.pth").write_bytes(b"")
    assert _resumed_value(checkpointer) == 1
    (tmp_path / "model_0000001.pth").write_bytes(b"no checkpoint")
    with pytest.raises(UnreadableWeightsError, match=r"0000003.pth.*no older checkpoint"):
        _resumed_value(checkpointer)


def test_unnamed_checkpoint_of_this_run(tmp_path):
    checkpointer = _run_of_three(tmp_path)
    checkpointer.tag_last_checkpoint("model_0000002.pth")
    assert _resumed_value(checkpointer) == 2  # somebody wants to go back
    long_ago = (tmp_path / "model_0000003.pth").stat().st_mtime - 1
    os.utime(tmp_path / "last_checkpoint", (long_ago, long_ago))  # killed before naming the third
    assert _resumed_value(checkpointer) == 3
    (tmp_path / "last_checkpoint").unlink()  # killed before naming the first
    assert _resumed_value(checkpointer) == 3
    other = AtomicCheckpointer(
        _Model(), str(tmp_path), extra={"provenance": {"run_id": "another run"}}
    )
    assert other.newest_good_checkpoint() == ""
    other.tag_last_checkpoint("model_0000002.pth")
    assert _resumed_value(other) == 2


@pytest.mark.parametrize(
    "content", [b"", bytes(17), b"\xff\xfe"], ids=["empty", "zeros", "no text"]
)
def test_damaged_last_checkpoint(tmp_path, content):
    checkpointer = _run_of_three(tmp_path)
    (tmp_path / "last_checkpoint").write_bytes(content)
    assert _resumed_value(checkpointer) == 3
    checkpointer.model.generator.weight.data.fill_(4)
    checkpointer.save("model_final", iteration=9)
    (tmp_path / "last_checkpoint").write_bytes(content)
    assert _resumed_value(checkpointer) == 4


@pytest.mark.parametrize("content", ["{", "3", "\0" * 9])
def test_a_damaged_provenance_is_none(tmp_path, content):
    (tmp_path / "provenance.json").write_text(content)
    assert read_provenance(str(tmp_path)) == {}


def test_nan_checkpoint_is_not_resumed(tmp_path):
    checkpointer = _run_of_three(tmp_path)
    checkpointer.model = _Model(float("nan"))
    checkpointer.save("model_0000004")
    assert _resumed_value(checkpointer) == 3


def test_versions(tmp_path):
    checkpointer = _run_of_three(tmp_path)
    checkpointer.save("model_0000004", format=FORMAT_VERSION + 1)
    (tmp_path / "model_0000003.pth").unlink()
    assert _resumed_value(checkpointer) == 2
    for name in ("model_0000001.pth", "model_0000002.pth"):
        (tmp_path / name).unlink()
    with pytest.raises(UnreadableWeightsError, match="newer zoomin_d2"):
        _resumed_value(checkpointer)
    # A file of weights alone, as a version without averaging left it, is no run to go on with.
    checkpointer.save("model_0000004")
    averaging = AtomicCheckpointer(
        _Model(), str(tmp_path), ema_model=GeneratorEMA(_Model(), decay=0.9)
    )
    with pytest.raises(UnreadableWeightsError, match=r"lacks \['ema_model'\].*MODEL.WEIGHTS"):
        averaging.resume_or_load("")


def test_options_that_a_config_changes(tmp_path, caplog):
    cfg = get_zoomin_cfg()
    cfg.merge_from_file(str(REPOSITORY / "configs/fast/baseline.yaml"))
    cfg.MODEL.DEVICE = "cpu"
    checkpointer = AtomicCheckpointer(build_model(cfg), prefer_ema=True)
    for name, words in (("fast", ""), ("fast-roigan", "FAST.DETAIL 1.0 (here: 0.0)")):
        caplog.clear()
        checkpointer.load(f"zoo:{name}", checkpointables=[])
        checkpointer.warn_of_other_options(generator_options(cfg))
        found = [r.getMessage() for r in caplog.records if "were made with" in r.getMessage()]
        assert found == ([f"The weights were made with MODEL.GENERATOR.{words}"] if words else [])


def test_a_generator_larger_than_the_config(tmp_path, caplog):
    """Evaluated without its blocks, it would score as a worse network; a training may drop them."""
    cfg = get_zoomin_cfg()
    cfg.MODEL.DEVICE, cfg.MODEL.GENERATOR.NAME = "cpu", "fast"
    plain = build_model(cfg)
    cfg.MODEL.GENERATOR.FAST.LINEAR_BLOCKS = [1, 0, 0, 0]
    larger = AtomicCheckpointer(
        build_model(cfg), str(tmp_path), extra={"generator_options": generator_options(cfg)}
    )
    larger.save("larger")
    words = r"lacks 4 tensors .*decoders\.0\.blocks\.1\..*LINEAR_BLOCKS \[1, 0, 0, 0\]"
    with pytest.raises(ValueError, match=words):
        AtomicCheckpointer(plain, prefer_ema=True).load(str(tmp_path / "larger.pth"), [])
    AtomicCheckpointer(plain).load(str(tmp_path / "larger.pth"), [])
    assert re.search(words + ".*starts from a worse network", caplog.text)


def test_leftovers_of_a_killed_writer_go(tmp_path):
    checkpointer = _run_of_three(tmp_path)
    (tmp_path / "model_0000004.pth.part").write_bytes(b"half")
    assert _resumed_value(checkpointer) == 3
    assert not list(tmp_path.glob("*.part"))


def test_evaluation_leaves_half_a_file(tmp_path):
    checkpointer = _run_of_three(tmp_path)
    part = tmp_path / "model_0000004.pth.part"
    part.write_bytes(b"half")  # by the training that still runs there
    assert checkpointer.newest_good_checkpoint() == str(tmp_path / "model_0000003.pth")
    assert part.exists()


def _save_forever(folder: str) -> None:
    """Saves a model of one value, one higher each time; 8 MB, so that most time goes to writing."""
    model = nn.Linear(1024, 2048, bias=False)
    extra = {"provenance": {"run_id": "mine"}}
    checkpointer = AtomicCheckpointer(model, folder, extra=extra)
    for value in range(10**6):
        nn.init.constant_(model.weight, value)
        checkpointer.save(f"model_{value:07d}", value=value)
        if value >= 3:
            os.remove(f"{folder}/model_{value - 3:07d}.pth")


def test_kill_9_while_writing_twenty_times(tmp_path):
    context = multiprocessing.get_context("fork")
    rng = random.Random(0)
    num_interrupted = 0
    for attempt in range(20):
        folder = tmp_path / str(attempt)
        folder.mkdir()
        writer = context.Process(target=_save_forever, args=(str(folder),))
        writer.start()
        while not (folder / "last_checkpoint").exists():
            time.sleep(0.001)
        time.sleep(rng.uniform(0, 0.1))
        writer.kill()
        writer.join()
        written = (folder / "last_checkpoint").read_text()
        num_interrupted += bool(list(folder.glob("*.part")))
        model = nn.Linear(1024, 2048, bias=False)
        checkpointer = AtomicCheckpointer(
            model, str(folder), extra={"provenance": {"run_id": "mine"}}
        )
        value = checkpointer.resume_or_load("", resume=True)["value"]
        assert (model.weight == value).all(), f"mixed up after attempt {attempt}, {written}"
        # Nothing older than what last_checkpoint named.
        named = torch.load(folder / written, weights_only=True)["value"]
        assert value >= named
    assert num_interrupted >= 5  # the kills did fall into the writing


def test_others_read_the_averaged_weights(tmp_path):
    ema = GeneratorEMA(_Model(5), decay=0.9)
    AtomicCheckpointer(_Model(1), str(tmp_path), ema_model=ema).save("m")
    model = _Model()
    DetectionCheckpointer(model).load(str(tmp_path / "m.pth"))
    assert model.value == 5
    ours, average = _Model(), GeneratorEMA(_Model(), decay=0.9)
    AtomicCheckpointer(ours, str(tmp_path), ema_model=average).resume_or_load("")
    assert (ours.value, average.generator.weight.item()) == (1, 5)
    # A checkpoint of the layout before: "model" is what was trained.
    old = torch.load(tmp_path / "m.pth", weights_only=True)
    old |= {"format": 1, "model": old.pop("trained_model")}
    torch.save(old, tmp_path / "m.pth")
    AtomicCheckpointer(ours, str(tmp_path), ema_model=average).resume_or_load("")
    assert (ours.value, average.generator.weight.item()) == (1, 5)
    AtomicCheckpointer(ours, prefer_ema=True).load(str(tmp_path / "m.pth"))
    assert ours.value == 5


def test_weights_of_another_generator(small_cfg, tmp_path):
    small_cfg.MODEL.PERCEPTUAL.FEATURES = []
    checkpointer = AtomicCheckpointer(build_model(small_cfg))
    with pytest.raises(ValueError, match=r"NAME fast, as in configs/fast/$"):
        checkpointer.load("zoo:fast")
    with pytest.raises(ValueError, match=r"PAPER\.FLOW_CHANNELS \[32, 64, 96, 128, 160, 192\]"):
        checkpointer.load("zoo:paper")
    with pytest.raises(ValueError, match=r"holds no generator: its tensors are named '\w+\."):
        checkpointer.load("zoo:rpn_R_18_FPN")
    options = {"NAME": "mine", "MINE": {"WIDTH": 3}}
    torch.save(
        {"model": {"generator.x": torch.zeros(1)}, "generator_options": options}, tmp_path / "a"
    )
    with pytest.raises(ValueError, match=r"holds the generator 'mine': set .*NAME mine$"):
        checkpointer.load(str(tmp_path / "a"))
