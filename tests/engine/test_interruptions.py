"""What ends a run from outside: every case has an outcome with a name."""

import io
import json
import logging
from contextlib import nullcontext

import pytest
import torch

from tests.helpers.training_runs import make_trainer, write_triplets
from tests.stress import check_distributed, check_resume
from zoomin_d2 import files
from zoomin_d2.engine.hooks import AdversarialHook
from zoomin_d2.engine.resilience.provenance import read_provenance, record_kept_until_trained
from zoomin_d2.frames import CorruptFrameError
from zoomin_d2.weight_files import UnreadableWeightsError

pytestmark = pytest.mark.slow  # processes that are stopped

# Real processes: what the tools try at length, in its shortest form.


@pytest.mark.parametrize("name", ["sigterm", "failing-rank"])
def test_processes_end_as_promised(name, tmp_path):
    check_distributed.check(name, tmp_path)


# What --resume finds changed.


@pytest.fixture
def log(caplog, monkeypatch):
    """caplog for the package's logger, also after setup_logger was called."""
    logger = logging.getLogger("zoomin_d2")
    logger.addHandler(caplog.handler)
    yield caplog
    logger.removeHandler(caplog.handler)


def _short_run(datasets, output, *overrides, config="baseline"):
    make_trainer(datasets, output, *overrides, "SOLVER.MAX_ITER", "3", config=config).train()


def test_a_start_that_fails_leaves_the_run(datasets_here, tmp_path):
    """Without --resume, by mistake: the earlier run goes when the new one has an iteration."""
    _short_run(datasets_here, tmp_path)
    first = read_provenance(str(tmp_path))["run_id"]
    for is_killed in (False, True):  # killed: nothing can be put back
        trainer = make_trainer(datasets_here, tmp_path, config="baseline")
        trainer._trainer.run_step = None  # type: ignore[assignment]  # fails in the first iteration
        keep = nullcontext() if is_killed else record_kept_until_trained(str(tmp_path))
        with pytest.raises(TypeError), keep:
            trainer.train()
    again = make_trainer(datasets_here, tmp_path, config="baseline", resume=True)
    assert again.start_iter == 3 and again.provenance["run_id"] == first
    _short_run(datasets_here, tmp_path)
    assert read_provenance(str(tmp_path))["run_id"] != first
    assert not list(tmp_path.glob("*.kept"))


def test_other_networks_are_refused(datasets_here, tmp_path, log):
    _short_run(datasets_here, tmp_path)
    with pytest.raises(
        ValueError, match=r"(?s)MODEL.DISCRIMINATOR.NAME: was 'none', is now 'roi'.*"
    ):
        make_trainer(datasets_here, tmp_path, config="roigan", resume=True)
    with pytest.raises(ValueError, match=r"does not match MODEL\.GENERATOR"):
        overrides = ("MODEL.GENERATOR.PAPER.FLOW_CHANNELS", "[4,6]")
        make_trainer(datasets_here, tmp_path, *overrides, config="baseline", resume=True)
    log.clear()
    overrides = ("SOLVER.BASE_LR", "0.5", "OUTPUT_DIR", str(tmp_path))
    trainer = make_trainer(datasets_here, tmp_path, *overrides, config="baseline", resume=True)
    assert trainer.start_iter == 3
    assert "SOLVER.BASE_LR: was 0.0004, is now 0.5" in log.text
    warnings = [x.getMessage() for x in log.records if x.levelname == "WARNING"]
    assert not any("OUTPUT_DIR:" in x for x in warnings)  # (the config itself is logged, too)


def test_changed_rates_and_decay_hold(datasets_here, tmp_path):
    _short_run(datasets_here, tmp_path, config="gan")
    changes = {"BASE_LR": "0.5", "WEIGHT_DECAY": "0.1", "ADAM_BETAS": "(0.5,0.9)"}
    changes |= {"DISCRIMINATOR.LR_FACTOR": "3.0", "MAX_ITER": "6"}
    overrides = [x for key, value in changes.items() for x in (f"SOLVER.{key}", value)]
    trainer = make_trainer(datasets_here, tmp_path, *overrides, config="gan", resume=True)
    for group, factor in zip(_groups(trainer), (1, 3)):
        assert (group["betas"], group["weight_decay"]) == ((0.5, 0.9), 0.1)
        assert group["initial_lr"] == 0.5 * factor
        assert 0.2 * factor < group["lr"] < 0.3 * factor  # halfway


def _groups(trainer):
    hook = next(x for x in trainer._hooks if isinstance(x, AdversarialHook))
    return [x.param_groups[0] for x in (trainer._trainer.optimizer, hook.optimizer)]


def test_data_that_has_changed_is_said(tmp_path, monkeypatch, log):
    datasets = tmp_path / "datasets"
    write_triplets(datasets)
    monkeypatch.setenv("DETECTRON2_DATASETS", str(datasets))
    _forget_tiny()
    _short_run(datasets, tmp_path / "run")
    make_trainer(datasets, tmp_path / "run", config="baseline", resume=True).train()
    assert "training data has changed" not in log.text
    for i in range(3):
        (datasets / f"triplets/tiny/scene/4_{i}.png").unlink()
    overrides = ("SOLVER.MAX_ITER", "10")
    make_trainer(datasets, tmp_path / "run", *overrides, config="baseline", resume=True).train()
    assert "it had 5 clips with 15 frames, it now has 4 clips with 12 frames" in log.text
    _forget_tiny()


def _forget_tiny():
    from detectron2.data import DatasetCatalog, MetadataCatalog

    if "triplets_tiny" in DatasetCatalog.list():
        DatasetCatalog.remove("triplets_tiny")
        MetadataCatalog.remove("triplets_tiny")


def test_truncated_checkpoint_falls_back(datasets_here, tmp_path, log):
    _short_run(datasets_here, tmp_path, "SOLVER.CHECKPOINT_PERIOD", "1")
    for name in ("model_final.pth", "model_0000002.pth"):
        path = tmp_path / name
        path.write_bytes(path.read_bytes()[:-1000])
    overrides = ("SOLVER.MAX_ITER", "4")
    again = make_trainer(datasets_here, tmp_path, *overrides, config="baseline", resume=True)
    assert again.start_iter == 2
    for path in tmp_path.glob("model_*.pth"):
        path.write_bytes(b"")
    with pytest.raises(UnreadableWeightsError, match="no older checkpoint"):
        make_trainer(datasets_here, tmp_path, config="baseline", resume=True)


def test_older_weights_begin_a_new_run_only(datasets_here, tmp_path):
    _short_run(datasets_here, tmp_path / "new")
    state = torch.load(tmp_path / "new/model_final.pth", weights_only=True)
    old = tmp_path / "old"
    old.mkdir()
    torch.save({"model": state["model"]}, old / "model_final.pth")
    (old / "last_checkpoint").write_text("model_final.pth")
    with pytest.raises(UnreadableWeightsError, match=r"lacks \['trainer', 'ema_model'\].*WEIGHTS"):
        make_trainer(datasets_here, old, config="baseline", resume=True)
    overrides = ("MODEL.WEIGHTS", str(old / "model_final.pth"))
    trainer = make_trainer(datasets_here, tmp_path / "next", *overrides, config="baseline")
    ours = trainer.bare_model.state_dict()
    assert all(torch.equal(v, ours[k]) for k, v in state["model"].items())


# Disk and data.


def test_full_disk_keeps_earlier_files(datasets_here, tmp_path, monkeypatch):
    trainer = make_trainer(datasets_here, tmp_path, config="baseline")

    class FullDisk(io.FileIO):
        def write(self, data):
            if trainer.iter > 3 and self.tell() + len(data) > 10_000:
                raise OSError(28, "No space left on device")
            return super().write(data)

    def open_there(path, mode="r", **options):
        return FullDisk(path, mode) if mode == "wb" else open(path, mode, **options)

    monkeypatch.setattr(files, "open", open_there, raising=False)
    with pytest.raises(OSError, match=r"No space left on device: '.*/model_\d+\.pth'"):
        trainer.train()
    monkeypatch.undo()
    assert not list(tmp_path.glob("*.part"))
    monkeypatch.setenv("DETECTRON2_DATASETS", str(datasets_here))
    assert make_trainer(datasets_here, tmp_path, config="baseline", resume=True).start_iter == 3


def test_unreadable_files_are_left_out(tmp_path, monkeypatch, log):
    datasets = tmp_path / "datasets"
    write_triplets(datasets)
    monkeypatch.setenv("DETECTRON2_DATASETS", str(datasets))
    _forget_tiny()
    broken = datasets / "triplets/tiny/scene/2_1.png"
    broken.write_bytes(broken.read_bytes()[:50])
    trainer = make_trainer(datasets, tmp_path / "run", config="baseline")
    trainer.train()
    assert sum("2_1.png" in x.getMessage() for x in set(log.records)) == 1
    assert trainer.num_skipped == 3  # 16 samples are 3 epochs of 5, and one more
    lines = map(json.loads, (tmp_path / "run/metrics.json").read_text().splitlines())
    assert max(line.get("data/skipped_records", 0) for line in lines) == 3
    # A score of part of a test set is no score: evaluation stops instead.
    loader = trainer.build_test_loader(trainer.cfg, "triplets_tiny")
    with pytest.raises(CorruptFrameError, match=r"2_1\.png"):
        list(loader)
    _forget_tiny()


def test_the_same_seed_gives_the_same_bits(datasets_here, tmp_path):
    states = []
    for name in ("a", "b"):
        trainer = make_trainer(datasets_here, tmp_path / name, deterministic=True)
        assert torch.are_deterministic_algorithms_enabled()
        trainer.train()
        torch.use_deterministic_algorithms(False)
        states.append(torch.load(tmp_path / name / "model_final.pth", weights_only=True))
    for state in states:
        del state["provenance"], state["trainer"]["config"]["OUTPUT_DIR"]
    assert not check_resume.differences(*states)
    assert check_resume.differences({"a": [torch.ones(1)]}, {"a": [torch.zeros(1)]}) == [".a[0]"]
    with pytest.raises(SystemExit, match="needs a fixed seed: set SEED"):
        make_trainer(datasets_here, tmp_path / "c", "SEED", "-1", deterministic=True)
