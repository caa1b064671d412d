"""Whole runs of tools/train_net.py on tiny triplets: killed, resumed, spread over processes."""

import argparse
import hashlib
import json
import os
import re
import signal
import subprocess
import time
from contextlib import nullcontext
from pathlib import Path

import detectron2.utils.comm as comm
import pytest
import torch
from detectron2.engine import launch
from detectron2.utils.events import EventStorage

from tests.helpers.training_runs import (
    OVERRIDES,
    REPOSITORY,
    environment,
    make_trainer,
    read_losses,
    run,
    train_command,
)
from zoomin_d2.engine import InterpolationTrainer, setup_run
from zoomin_d2.engine.resilience.launching import run_and_leave
from zoomin_d2.engine.resilience.provenance import record_kept_until_trained
from zoomin_d2.model_zoo.generator_file import load_generator

pytestmark = pytest.mark.slow  # whole runs


@pytest.fixture
def datasets_root(tiny_triplets) -> Path:
    return tiny_triplets


def _start(datasets_root, output, command, iteration, stdout=None) -> subprocess.Popen:
    """A run that has finished an iteration."""
    process = subprocess.Popen(
        command,
        cwd=REPOSITORY,
        env=environment(datasets_root),
        stdout=stdout,
        stderr=stdout and subprocess.STDOUT,
        text=True,
    )
    metrics = output / "metrics.json"
    deadline = time.monotonic() + 200
    while not (metrics.exists() and f'"iteration": {iteration}' in metrics.read_text()):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.02)
    return process


def test_kill_9_and_resume_change_no_loss(datasets_root, tmp_path):
    run(datasets_root, *train_command("roigan", tmp_path / "unbroken"))
    expected = read_losses(tmp_path / "unbroken")
    assert sorted(expected) == list(range(8))
    assert {"loss_photometric", "loss_gan_g", "loss_d_real", "loss_d_fake"} <= expected[0].keys()

    killed = tmp_path / "killed"
    # Iteration 4 is past the checkpoint of iteration 2: its work is lost and must come again.
    process = _start(datasets_root, killed, train_command("roigan", killed), iteration=4)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (killed / "model_final.pth").exists()

    run(datasets_root, *train_command("roigan", killed, "--resume"))
    assert read_losses(killed) == expected  # bitwise
    states = [
        torch.load(folder / "model_final.pth", weights_only=True)
        for folder in (tmp_path / "unbroken", killed)
    ]
    for key in ("model", "ema_model"):
        assert all(torch.equal(v, states[1][key][k]) for k, v in states[0][key].items())
    # Either checkpoint is a generator that is ready to use, and the same one.
    for folder in (tmp_path / "unbroken", killed):
        (folder / "config.yaml").unlink()  # the checkpoint says itself what it is
        used = load_generator(folder / "model_final.pth").generator.state_dict()
        assert all(
            torch.equal(v, states[0]["ema_model"][f"generator.{k}"]) for k, v in used.items()
        )
    hooks = [s["trainer"]["hooks"]["AdversarialHook"]["discriminator"] for s in states]
    assert all(torch.equal(v, hooks[1][k]) for k, v in hooks[0].items())
    best = [
        json.loads((x / "model_best.json").read_text()) for x in (tmp_path / "unbroken", killed)
    ]
    assert best[0].pop("run_id") != best[1].pop("run_id")
    assert best[0] == best[1]
    assert best[0]["metric"] == "interpolation/PSNR" and best[0]["iteration"] in (5, 7)
    assert (killed / "model_best.pth").exists()
    # Three periodic checkpoints at most are kept, those of the killed process counted.
    assert len(list(killed.glob("model_0*.pth"))) <= 3


def test_ctrl_c_saves(datasets_root, tmp_path):
    command = train_command("baseline", tmp_path, "SOLVER.MAX_ITER", "5000")
    process = _start(datasets_root, tmp_path, command, iteration=1, stdout=subprocess.PIPE)
    process.send_signal(signal.SIGINT)
    words, _ = process.communicate(timeout=200)
    assert process.returncode == 130 and "Traceback" not in words
    saved = re.search(r"SIGINT: saved after iteration (\d+)", words)
    assert saved and (tmp_path / f"model_{int(saved[1]):07d}.pth").exists()


# Recipe, and how many of the proposals of sample i (of the batch's four) are kept.
CASES = {
    "baseline": ("baseline", (2, 2, 2, 2)),
    "gan": ("gan", (2, 2, 2, 2)),
    "uneven": ("roigan", (2, 1, 0, 1)),
    # With two processes, the second has samples 1 and 3.
    "none on one process": ("roigan", (2, 0, 1, 0)),
    "none at all": ("roigan", (0, 0, 0, 0)),
}


def _all_gradients(root: str, output: str) -> None:
    """In every process: one iteration of each case; the main process keeps the gradients."""
    torch.set_num_threads(1)
    os.environ["DETECTRON2_DATASETS"] = root
    gradients = {
        name: _one_step_gradients(config, counts, f"{output}/{config}")
        for name, (config, counts) in CASES.items()
    }
    if comm.is_main_process():
        torch.save(gradients, f"{output}/gradients.pth")


def _one_step_gradients(config: str, counts: tuple[int, ...], output: str) -> dict:
    args = argparse.Namespace(
        config_file=str(REPOSITORY / f"configs/{config}.yaml"),
        eval_only=False,
        opts=[*OVERRIDES, "SOLVER.IMS_PER_BATCH", "4", "OUTPUT_DIR", output],
    )
    args.opts += ["SOLVER.CLIP_GRADIENTS.ENABLED", "False"]
    trainer = InterpolationTrainer(setup_run(args))
    model = trainer.bare_model
    find = model.frozen_rpn.proposals
    ours = counts[comm.get_rank() :: comm.get_world_size()]
    model.frozen_rpn.proposals = lambda frames: [p[:n] for p, n in zip(find(frames), ours)]
    trainer._trainer.data_loader = trainer.build_train_loader(trainer.cfg)
    with EventStorage(0) as trainer.storage:
        trainer.iter = 0
        trainer.before_train()
        trainer.before_step()
        trainer.run_step()
        trainer.after_step()
        valid = model.step_record.valid
    if config == "roigan":
        assert valid.sum(dim=1).tolist() == list(ours)
    networks = {"G": model.generator}
    if config != "baseline":
        networks["D"] = trainer._hooks[0].discriminator
    return {
        f"{name}.{k}": p.grad
        for name, network in networks.items()
        for k, p in network.named_parameters()
    }


def test_two_processes_give_ones_gradients(datasets_root, tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")  # gloo
    monkeypatch.setenv("DETECTRON2_DATASETS", str(datasets_root))
    gradients = []
    for world_size in (1, 2):
        output = str(tmp_path / str(world_size))
        os.mkdir(output)
        args = (_all_gradients, str(datasets_root), output)
        launch(run_and_leave, world_size, dist_url="auto", args=args)
        gradients.append(torch.load(f"{output}/gradients.pth", weights_only=True))
    for case in CASES:
        one, two = (x[case] for x in gradients)
        assert one.keys() == two.keys()
        for name, gradient in one.items():
            tolerance = 1e-5 * max(gradient.abs().max(), 1e-3)
            assert torch.allclose(gradient, two[name], rtol=1e-3, atol=tolerance), (case, name)
        judged = sum(g.abs().sum() for name, g in one.items() if name.startswith("D."))
        assert (judged > 0) == (case not in ("baseline", "none at all"))


@pytest.mark.parametrize("config", ["baseline", "gan"])
def test_recipe_trains_and_evaluates(datasets_root, tmp_path, config):
    printed = run(datasets_root, *train_command(config, tmp_path, "SOLVER.MAX_ITER", "2"))
    assert printed.startswith("Training on triplets_tiny (5 clips, 15 frames)")
    results = json.loads((tmp_path / "inference" / "triplets_tiny" / "results.json").read_text())
    assert 5 < results["results"]["PSNR"] < 60
    assert results["provenance"]["data"].startswith("Training on triplets_tiny")
    assert results["provenance"]["commit"]
    assert results["provenance"]["iteration"] == 2
    assert results["provenance"]["proposals"]["NUM"] == 2  # the ROIs of ROI_PSNR

    again = tmp_path / "again"
    weights = str(tmp_path / "model_final.pth")
    run(datasets_root, *train_command(config, again, "--eval-only", "MODEL.WEIGHTS", weights))
    evaluated = json.loads((again / "inference" / "triplets_tiny" / "results.json").read_text())
    assert evaluated["results"] == results["results"]  # the averaged weights
    assert evaluated["provenance"]["weights"] == weights
    digest = hashlib.sha256(Path(weights).read_bytes()).hexdigest()
    assert evaluated["provenance"]["weights_sha256"] == digest
    assert evaluated["provenance"]["iteration"] == 2
    assert evaluated["provenance"]["trained"]["data"].startswith("Training on triplets_tiny")
    assert not (again / "provenance.json").exists()

    # The same from the folder of the training, whose own record stays what it is.
    record = (tmp_path / "provenance.json").read_text()
    run(datasets_root, *train_command(config, tmp_path, "--eval-only", "--resume"))
    resumed = json.loads((tmp_path / "inference" / "triplets_tiny" / "results.json").read_text())
    assert resumed["results"] == results["results"]
    assert (tmp_path / "provenance.json").read_text() == record


def _arguments(output: Path, *overrides: str, **options: bool) -> argparse.Namespace:
    return argparse.Namespace(
        config_file=str(REPOSITORY / "configs/baseline.yaml"),
        **{"eval_only": False, "resume": False, **options},
        opts=[*OVERRIDES, "OUTPUT_DIR", str(output), *overrides],
    )


def test_evaluating_leaves_a_training_alone(datasets_here, tmp_path, capsys):
    setup_run(_arguments(tmp_path, "SOLVER.BASE_LR", "0.25"))
    names = ("config.yaml", "provenance.json")
    before = [(tmp_path / name).read_text() for name in names]
    assert "BASE_LR: 0.25" in before[0]
    capsys.readouterr()
    cfg = setup_run(_arguments(tmp_path, "SOLVER.BASE_LR", "0.5", eval_only=True))
    assert str(tmp_path) == cfg.OUTPUT_DIR
    assert [(tmp_path / name).read_text() for name in names] == before
    assert "BASE_LR: 0.5" in (tmp_path / "inference" / "config.yaml").read_text()
    assert capsys.readouterr().out.count("Evaluating on triplets_tiny") == 1


def test_resuming_a_finished_run_says_so(datasets_here, tmp_path):
    options = ("SOLVER.MAX_ITER", "3", "TEST.ROI_METRICS", "False")
    cfg = setup_run(_arguments(tmp_path, *options))
    trainer = InterpolationTrainer(cfg)
    trainer.resume_or_load(resume=False)
    trainer.train()
    results = tmp_path / "inference" / "triplets_tiny" / "results.json"
    for max_iter in ("3", "2"):
        results.unlink()
        cfg = setup_run(_arguments(tmp_path, *options, "SOLVER.MAX_ITER", max_iter, resume=True))
        with record_kept_until_trained(str(tmp_path)):
            trainer = InterpolationTrainer(cfg)
            trainer.resume_or_load(resume=True)
            trainer.train()
        log = (tmp_path / "log.txt").read_text()
        assert f"finished 3 iterations and SOLVER.MAX_ITER is {max_iter}. To continue" in log
        assert json.loads(results.read_text())["provenance"]["iteration"] == 3
    # A refused run leaves no trace in the record of the one that stands there.
    names = ("config.yaml", "provenance.json")
    before = [(tmp_path / name).read_text() for name in names]
    options += ("MODEL.DISCRIMINATOR.NAME", "roi")
    cfg = setup_run(_arguments(tmp_path, *options, resume=True))
    assert [(tmp_path / name).read_text() for name in names] != before
    refused = pytest.raises(ValueError, match="different networks")
    with refused, record_kept_until_trained(str(tmp_path)):
        InterpolationTrainer(cfg).resume_or_load(resume=True)
    assert [(tmp_path / name).read_text() for name in names] == before
    assert not list(tmp_path.glob("*.kept"))
    # An evaluation is compared with what is expected of it.
    options = ("TEST.ROI_METRICS", "False", "TEST.EXPECTED_RESULTS")
    for value, is_met in (("0.0", False), ("20.0", True)):
        expected = f"[['interpolation','PSNR',{value},19.0]]"
        cfg = setup_run(_arguments(tmp_path, *options, expected, eval_only=True))
        with nullcontext() if is_met else pytest.raises(SystemExit):
            InterpolationTrainer.evaluate(cfg, resume=True)


def test_the_first_iteration_is_logged(datasets_here, tmp_path):
    options = ("SOLVER.METRIC_PERIOD", "9", "SOLVER.MAX_ITER", "3")
    make_trainer(datasets_here, tmp_path, *options, config="baseline").train()
    (line,) = re.findall("Iteration .*", (tmp_path / "log.txt").read_text())
    assert re.fullmatch(
        r"Iteration 0: total_loss [\d.]+ \(loss_photometric .*\), [\d.]+ s, about 0:\d\d:\d\d for "
        "the other 2",
        line,
    )


def test_evaluation_needs_weights(datasets_root, tmp_path):
    done = subprocess.run(
        train_command("baseline", tmp_path, "--eval-only"),
        cwd=REPOSITORY,
        env=environment(datasets_root),
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("train_net.py: --eval-only needs weights")
    assert "Traceback" not in done.stderr


def test_no_test_set_and_a_used_folder(datasets_root, tmp_path, monkeypatch):
    monkeypatch.setenv("DETECTRON2_DATASETS", str(datasets_root))
    output = str(tmp_path)
    args = argparse.Namespace(
        config_file=str(REPOSITORY / "configs/baseline.yaml"),
        eval_only=False,
        opts=[*OVERRIDES, "OUTPUT_DIR", output, "SOLVER.MAX_ITER", "2"],
    )
    cfg = setup_run(args).clone()
    cfg.defrost()
    cfg.DATASETS.TEST = ()
    trainer = InterpolationTrainer(cfg)
    trainer.resume_or_load(resume=False)
    trainer.train()
    assert (tmp_path / "model_final.pth").exists()
    assert not (tmp_path / "model_best.pth").exists()
    again = InterpolationTrainer(cfg)
    again.resume_or_load(resume=False)
    assert again.start_iter == 0 and again.checkpointer.has_checkpoint()
    monkeypatch.setattr(again.checkpointer, "save", lambda *args, **kwargs: None)
    again.train()
    assert not again.checkpointer.has_checkpoint()  # --resume will not find the old run


def test_resuming_with_another_batch_size(datasets_root, tmp_path, monkeypatch):
    monkeypatch.setenv("DETECTRON2_DATASETS", str(datasets_root))
    opts = [*OVERRIDES, "OUTPUT_DIR", str(tmp_path), "SOLVER.MAX_ITER", "3", "DATASETS.TEST", "()"]
    positions = []
    for batch in ("2", "4"):
        args = argparse.Namespace(
            config_file=str(REPOSITORY / "configs/baseline.yaml"),
            eval_only=False,
            opts=[*opts, "SOLVER.IMS_PER_BATCH", batch],
        )
        cfg = setup_run(args).clone()
        cfg.defrost()
        cfg.DATASETS.TEST = ()
        cfg.SOLVER.MAX_ITER = 3 if batch == "2" else 4
        trainer = InterpolationTrainer(cfg)
        trainer.resume_or_load(resume=True)
        positions.append(trainer.num_samples)
        trainer.train()
        positions.append(trainer.num_samples)
    assert positions == [0, 6, 6, 10]


def test_device_frames_give_workers_losses(datasets_here, tmp_path):
    options = ("SOLVER.MAX_ITER", "3", "DATALOADER.NUM_WORKERS", "1")
    for flag in ("False", "True"):
        options_of_run = (*options, "DATALOADER.FRAMES_ON_DEVICE", flag)
        make_trainer(datasets_here, tmp_path / flag, *options_of_run).train()
    expected = read_losses(tmp_path / "False")
    assert len(expected) == 3
    assert read_losses(tmp_path / "True") == expected  # bitwise: nothing is scaled


def test_average_begins_with_the_weights(datasets_here, tmp_path):
    first = make_trainer(datasets_here, tmp_path / "first", "SEED", "3")
    first.checkpointer.save("begin")
    weights = str(tmp_path / "first" / "begin.pth")
    second = make_trainer(datasets_here, tmp_path / "second", "SEED", "4", "MODEL.WEIGHTS", weights)
    for ours, theirs in zip(second.ema.generator.parameters(), first.ema.generator.parameters()):
        assert torch.equal(ours, theirs)


def test_scores_are_computed_in_float32(datasets_here, tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(
        "zoomin_d2.modeling.meta_arch.FrameInterpolator.inference",
        lambda *_: seen.append(torch.backends.cudnn.allow_tf32) or 1 / 0,
    )
    trainer = make_trainer(datasets_here, tmp_path)
    before = torch.backends.cudnn.allow_tf32
    cfg = trainer.cfg.clone()
    cfg.DATASETS.TEST = ("triplets_tiny",)
    with pytest.raises(ZeroDivisionError):
        InterpolationTrainer.test(cfg, trainer.bare_model)
    assert seen == [False]
    assert torch.backends.cudnn.allow_tf32 == before
