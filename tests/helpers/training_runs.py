"""Whole runs in tests: as a command (see tools/tiny_run.py), or a trainer in this process."""

import argparse
import os
import subprocess
from pathlib import Path

from tiny_run import (
    OVERRIDES,
    REPOSITORY,
    environment,
    read_losses,
    train_command,
    write_triplets,
)

from zoomin_d2.engine import InterpolationTrainer, setup_run

__all__ = [
    "OVERRIDES",
    "REPOSITORY",
    "environment",
    "make_trainer",
    "read_losses",
    "run",
    "train_command",
    "write_triplets",
]


def run(datasets_root: Path, *command: str) -> str:
    done = subprocess.run(
        command,
        cwd=REPOSITORY,
        env=environment(datasets_root),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return done.stdout


def make_trainer(
    datasets_root: Path, output: Path, *overrides: str, config: str = "roigan", **arguments: bool
) -> InterpolationTrainer:
    """A trainer in this process, evaluating nothing; DETECTRON2_DATASETS must be datasets_root."""
    assert os.environ["DETECTRON2_DATASETS"] == str(datasets_root)
    args = argparse.Namespace(
        config_file=str(REPOSITORY / f"configs/{config}.yaml"),
        eval_only=False,
        **arguments,
        opts=[*OVERRIDES, "OUTPUT_DIR", str(output), *overrides],
    )
    cfg = setup_run(args).clone()
    cfg.defrost()
    cfg.DATASETS.TEST = ()
    trainer = InterpolationTrainer(cfg)
    trainer.resume_or_load(resume=arguments.get("resume", False))
    return trainer
