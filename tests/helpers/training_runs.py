"""Whole runs on five tiny triplets: as a command, or a trainer in this process.

Shared by the tests and by tests/stress.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np

from zoomin_d2.engine import InterpolationTrainer, setup_run

REPOSITORY = Path(__file__).resolve().parents[2]
DEVICE = os.environ.get("ZOOMIN_CHECK_DEVICE", "cpu")  # "cuda": runs of several processes use NCCL
OVERRIDES = [
    *("MODEL.DEVICE", DEVICE),
    *("SOLVER.AMP.ENABLED", "False"),  # bfloat16 hides what is compared
    *("MODEL.GENERATOR.PAPER.FLOW_CHANNELS", "[4,4]"),
    *("MODEL.GENERATOR.PAPER.SYNTHESIS_CHANNELS", "2"),
    *("MODEL.GENERATOR.PAPER.SYNTHESIS_KERNEL", "3"),
    *("MODEL.FROZEN_RPN.WEIGHTS", ""),
    *("MODEL.PROPOSALS.NUM", "2"),
    *("MODEL.DISCRIMINATOR.CHANNELS", "2"),
    *("DATASETS.TRAIN", "('triplets_tiny',)"),
    *("DATASETS.TEST", "('triplets_tiny',)"),
    *("DATALOADER.NUM_WORKERS", "0"),
    *("INPUT.CROP_SIZE", "[64,64]"),
    *("SOLVER.IMS_PER_BATCH", "2"),
    *("SOLVER.CHECKPOINT_PERIOD", "3"),
    *("SOLVER.METRIC_PERIOD", "1"),
    *("SOLVER.MAX_ITER", "8"),
    *("SOLVER.WARMUP_ITERS", "2"),
    *("TEST.EVAL_PERIOD", "6"),
    *("VIS_PERIOD", "4"),
    *("SEED", "7"),
]


def write_triplets(root: Path) -> None:
    """Five triplets of a textured square that moves over a textured ground."""
    scene = root / "triplets" / "tiny" / "scene"
    scene.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for k in range(5):
        ground = cv2.resize(rng.integers(0, 255, (10, 12, 3), dtype=np.uint8), (96, 80))
        square = rng.integers(0, 255, (24, 24, 3), dtype=np.uint8)
        for i in range(3):
            frame = ground.copy()
            x, y = 20 + 4 * i, 30 - 3 * i
            frame[y : y + 24, x : x + 24] = square
            cv2.imwrite(str(scene / f"{k}_{i}.png"), frame)


def train_command(config: str, output: Path, *extra: str) -> list[str]:
    """A run of tools/train_net.py; what begins with "--" goes before the overrides."""
    return [
        sys.executable,
        "tools/train_net.py",
        "--config-file",
        f"configs/{config}.yaml",
        *(x for x in extra if x.startswith("--")),
        *OVERRIDES,
        *("OUTPUT_DIR", str(output)),
        *(x for x in extra if not x.startswith("--")),
    ]


def environment(datasets_root: Path) -> dict:
    return {
        **os.environ,
        "DETECTRON2_DATASETS": str(datasets_root),
        "PYTHONPATH": os.pathsep.join(filter(None, [str(REPOSITORY), os.getenv("PYTHONPATH")])),
        "OMP_NUM_THREADS": "1",
        **({"CUDA_VISIBLE_DEVICES": ""} if DEVICE == "cpu" else {}),
    }


def relative_difference(losses: dict, others: dict) -> float:
    """The largest of two `read_losses`, of the value in the first, 0.001 at least."""
    return max(
        abs(others[i][k] - value) / max(abs(value), 1e-3)
        for i, values in losses.items()
        for k, value in values.items()
    )


def read_losses(output: Path) -> dict[int, dict[str, float]]:
    """Iteration -> losses; where an iteration was done twice, what was written last."""
    lines = [json.loads(line) for line in (output / "metrics.json").read_text().splitlines()]
    return {
        line["iteration"]: {k: v for k, v in line.items() if "loss" in k}
        for line in lines
        if "total_loss" in line
    }


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
    datasets_root: Path,
    output: Path,
    *overrides: str,
    config: str = "roigan",
    is_tested: bool = False,
    **arguments: bool,
) -> InterpolationTrainer:
    """A trainer in this process; DETECTRON2_DATASETS must be datasets_root."""
    assert os.environ["DETECTRON2_DATASETS"] == str(datasets_root)
    args = argparse.Namespace(
        config_file=str(REPOSITORY / f"configs/{config}.yaml"),
        eval_only=False,
        **arguments,
        opts=[*OVERRIDES, "OUTPUT_DIR", str(output), *overrides],
    )
    cfg = setup_run(args).clone()
    cfg.defrost()
    if not is_tested:
        cfg.DATASETS.TEST = ()
    trainer = InterpolationTrainer(cfg)
    trainer.resume_or_load(resume=arguments.get("resume", False))
    return trainer
