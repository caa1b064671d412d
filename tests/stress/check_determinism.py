"""Do two trainings with one SEED and --deterministic give the same bits? If not, how far apart?

    python -m tests.stress check_determinism                             # on the CPU: equal
    python -m tests.stress check_determinism MODEL.GENERATOR.NAME fast   # of another generator

With ZOOMIN_CHECK_DEVICE=cuda it runs on a GPU, where it reports how far apart they are.

The runs are tiny, one after the other. It prints the first iteration whose losses differ, the
largest relative difference of a loss, and of the final weights (norm of the difference over the
norm). The exit code is 1 if they differ on a CPU.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

from tests.helpers.training_runs import (
    DEVICE,
    REPOSITORY,
    environment,
    read_losses,
    relative_difference,
    train_command,
    write_triplets,
)
from tests.stress.check_resume import differences


def train(folder: Path, name: str, datasets: Path, config: str, opts: list[str]) -> tuple:
    """Losses by iteration, and the final generator's state."""
    command = train_command(config, folder / name, "--deterministic", *opts)
    done = subprocess.run(
        command, cwd=REPOSITORY, env=environment(datasets), capture_output=True, text=True
    )
    if done.returncode:
        sys.exit(f"check_determinism: the training failed:\n{done.stderr[-3000:]}")
    state = torch.load(folder / name / "model_final.pth", weights_only=True, map_location="cpu")
    return read_losses(folder / name), state["model"]


def compare(first: tuple, second: tuple) -> tuple[str, bool]:
    """The finding as text, and whether everything is equal, bit by bit."""
    (losses, weights), (other_losses, other_weights) = first, second
    if losses == other_losses and not differences(weights, other_weights):
        return f"{len(losses)} iterations: losses and weights are equal, bit by bit", True
    apart = [i for i in losses if losses[i] != other_losses[i]]
    relative = relative_difference(losses, other_losses)
    a, b = (torch.cat([x.flatten() for x in w.values()]) for w in (weights, other_weights))
    begin = f"losses differ from iteration {apart[0]} on" if apart else "losses are equal"
    return (
        f"{len(losses)} iterations: {begin}, by up to {relative:.1e} of their value; weights by "
        f"{(a - b).norm() / a.norm():.1e} of their norm"
    ), False


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config", default="roigan", choices=["baseline", "gan", "roigan"])
    parser.add_argument("opts", nargs=argparse.REMAINDER, help="KEY VALUE ... for both runs")
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        datasets = Path(folder) / "datasets"
        write_triplets(datasets)
        runs = (train(Path(folder), x, datasets, args.config, args.opts) for x in ("one", "two"))
        found, is_equal = compare(*runs)
    print(f"{args.config} on {DEVICE}, {found}")
    if DEVICE == "cpu" and not is_equal:
        sys.exit(1)
