"""Checkpoints are whole or absent, and evaluation takes the averaged weights."""

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from zoomin_d2.engine.checkpointing import AtomicCheckpointer, GeneratorEMA


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


def test_a_failed_write_leaves_the_previous_checkpoint(tmp_path, monkeypatch):
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


def test_the_best_checkpoint_is_not_what_a_resumed_run_continues(tmp_path):
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


def test_average_carries_buffers_and_is_applied_for_a_while():
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


def test_evaluation_takes_the_average_and_resuming_the_trained_weights(tmp_path):
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
    with pytest.raises(ValueError, match=r"does not fit MODEL\.GENERATOR"):
        AtomicCheckpointer(other).resume_or_load(str(path), resume=False)
