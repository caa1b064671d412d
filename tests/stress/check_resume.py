"""Is a training that is killed repeatedly the same, bit by bit, as one that never was?

    python -m tests.stress check_resume  # 500 iterations against 5 x 100; 10 minutes
    python -m tests.stress check_resume --iterations 20 --kills 1 --config baseline

It makes two runs of a tiny model on the CPU: one uninterrupted; one killed with SIGKILL at a random
moment of every stretch, and resumed. All logged losses, and everything in the last checkpoints,
must be equal. It prints what was compared; the exit code is 1 if anything differs.
"""

import argparse
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

from tests.helpers.training_runs import (
    REPOSITORY,
    environment,
    read_losses,
    train_command,
    write_triplets,
)


def run(command: list[str], datasets: Path, log: Path, kill_after: int | None, output: Path) -> int:
    """Run a command; kill -9 once metrics.json has an iteration >= kill_after; the exit code."""
    with open(log, "a") as f:
        process = subprocess.Popen(
            command,
            cwd=REPOSITORY,
            env=environment(datasets),
            stdout=f,
            stderr=subprocess.STDOUT,
        )
        while process.poll() is None:
            time.sleep(0.01)
            if kill_after is not None and last_iteration(output) >= kill_after:
                process.kill()
        return process.returncode


def last_iteration(output: Path) -> int:
    try:
        return max(read_losses(output), default=-1)
    except (OSError, ValueError):  # not there yet, or a line that is being written
        return -1


def differences(ours: object, theirs: object, name: str = "") -> list[str]:
    """Names of the values in which two checkpoints differ, tensors bit by bit."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        names = [f"{name}.{k}" for k in ours.keys() ^ theirs.keys()]
        pairs = [(ours[k], theirs[k], f"{name}.{k}") for k in ours.keys() & theirs.keys()]
    elif isinstance(ours, list | tuple) and isinstance(theirs, list | tuple):
        names = [] if len(ours) == len(theirs) else [name]
        pairs = [(x, y, f"{name}[{i}]") for i, (x, y) in enumerate(zip(ours, theirs))]
    elif isinstance(ours, torch.Tensor) and isinstance(theirs, torch.Tensor):
        return [] if torch.equal(ours, theirs) else [name]
    else:
        return [] if ours == theirs else [name]
    return names + [x for pair in pairs for x in differences(*pair)]


def check(folder: Path, iterations: int, kills: int, config: str, seed: int) -> str:
    """Both runs; returns what was compared.

    Raises:
        AssertionError: something differs, or a run failed.
    """
    rng = random.Random(seed)
    datasets = folder / "datasets"
    write_triplets(datasets)
    stretch = iterations // (kills + 1)
    settings = [
        *(
            "SOLVER.MAX_ITER",
            str(iterations),
            "SOLVER.CHECKPOINT_PERIOD",
            str(max(2, stretch // 7)),
        ),
        *("TEST.EVAL_PERIOD", "0", "DATALOADER.NUM_WORKERS", "1"),
    ]
    outputs = {name: folder / name for name in ("unbroken", "killed")}
    log = folder / "log"
    command = train_command(config, outputs["unbroken"], *settings)
    assert run(command, datasets, log, None, outputs["unbroken"]) == 0, log.read_text()[-3000:]
    killed_at = []
    for i in range(kills):
        place = i * stretch + rng.randrange(stretch // 2, stretch)
        command = train_command(config, outputs["killed"], "--resume", *settings)
        code = run(command, datasets, log, place, outputs["killed"])
        assert code == -9, f"exit {code} instead of being killed: {log.read_text()[-3000:]}"
        killed_at.append(last_iteration(outputs["killed"]))
    command = train_command(config, outputs["killed"], "--resume", *settings)
    assert run(command, datasets, log, None, outputs["killed"]) == 0, log.read_text()[-3000:]

    losses = {name: read_losses(output) for name, output in outputs.items()}
    assert len(losses["unbroken"]) == iterations
    wrong = [i for i in range(iterations) if losses["unbroken"][i] != losses["killed"].get(i)]
    assert not wrong, f"{len(wrong)} iterations have different losses, the first is {wrong[0]}"
    states = {
        name: torch.load(output / "model_final.pth", weights_only=True)
        for name, output in outputs.items()
    }
    for state in states.values():
        del state["provenance"]  # has the command line, among others
        del state["trainer"]["config"]["OUTPUT_DIR"]
    wrong = differences(states["unbroken"], states["killed"])
    assert not wrong, f"the final checkpoints differ in {wrong[:10]}"
    return (
        f"{config}: {iterations} iterations, uninterrupted and with kill -9 after {killed_at}: "
        "losses of all iterations and everything in the final checkpoint are equal, bit by bit"
    )


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--iterations", type=int, default=500)
    parser.add_argument("--kills", type=int, default=4)
    parser.add_argument("--config", default="roigan", choices=["baseline", "gan", "roigan"])
    parser.add_argument("--seed", type=int, default=0, help="seed of the kill times")
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        try:
            print(check(Path(folder), args.iterations, args.kills, args.config, args.seed))
        except AssertionError as error:
            sys.exit(f"check_resume: {error}")
