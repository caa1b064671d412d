"""Start, stop and break runs of several processes on this machine, and check that all end.

    python -m tests.stress check_distributed                       # every check; a few minutes
    python -m tests.stress check_distributed groups failing-rank   # some of them

Runs are tiny and on the CPU (gloo), or on two GPUs (NCCL) with ZOOMIN_CHECK_DEVICE=cuda. Each
check's docstring states what it requires; the first failure ends the command with exit code 1.
"""

import argparse
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import detectron2.utils.comm as comm
import psutil
from detectron2.engine import default_argument_parser

from tests.helpers.training_runs import (
    REPOSITORY,
    environment,
    read_losses,
    relative_difference,
    train_command,
    write_triplets,
)
from zoomin_d2.engine import InterpolationTrainer, run_distributed, setup_run

LIMIT = 60  # seconds in which all processes have to end
LONG = ("SOLVER.MAX_ITER", "100000", "SOLVER.CHECKPOINT_PERIOD", "50000", "TEST.EVAL_PERIOD", "0")
FAILURE = "this process fails on purpose"


class Runs:
    """Processes of one check, with their output in files; all of them end when the check does.

    Args:
        folder: new, gets the datasets, logs and OUTPUT_DIR.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self.datasets = folder / "datasets"
        write_triplets(self.datasets)
        self.output = folder / "output"
        self.processes: list[psutil.Popen] = []

    def start(self, command: list[str]) -> psutil.Popen:
        with open(self.folder / f"log_{len(self.processes)}", "w") as log:
            process = psutil.Popen(
                command,
                cwd=REPOSITORY,
                env=environment(self.datasets),
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.processes.append(process)
        return process

    def logs(self) -> str:
        return "\n".join(path.read_text() for path in sorted(self.folder.glob("log_*")))

    def wait_for_iteration(self, iteration: int, limit: float = 120) -> None:
        deadline = time.monotonic() + limit
        metrics = self.output / "metrics.json"
        while not (metrics.exists() and f'"iteration": {iteration},' in metrics.read_text()):
            alive = all(p.is_running() and p.status() != "zombie" for p in self.processes)
            if not alive or time.monotonic() > deadline:
                raise AssertionError(f"iteration {iteration} never came:\n{self.logs()[-3000:]}")
            time.sleep(0.05)

    def wait_for_end(self, limit: float = LIMIT) -> tuple[list[int], float]:
        """Exit codes, and seconds until the last process, including children, was gone."""
        start = time.monotonic()
        children = [c for p in self.processes for c in _children(p)]
        codes = [p.wait(max(1, limit - (time.monotonic() - start))) for p in self.processes]
        _, alive = psutil.wait_procs(children, max(1, limit - (time.monotonic() - start)))
        assert not alive, f"still running after {limit} s: {alive}"
        return codes, time.monotonic() - start

    def close(self) -> None:
        for process in self.processes:
            for each in [*_children(process), process]:
                if each.is_running():
                    each.kill()


def _children(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def _free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def _groups(runs: Runs, *options: str) -> list[list[str]]:
    """The commands of two "machines" with a process each."""
    url = f"--dist-url=tcp://127.0.0.1:{_free_port()}"
    return [
        train_command(
            "roigan", runs.output, "--num-machines=2", f"--machine-rank={rank}", url, *options
        )
        for rank in range(2)
    ]


def sigterm(runs: Runs) -> str:
    """SIGTERM to all processes of a run and its data workers: 143, saved, --resume continues."""
    process = runs.start(train_command("roigan", runs.output, *LONG, "DATALOADER.NUM_WORKERS", "1"))
    runs.wait_for_iteration(3)
    os.killpg(process.pid, signal.SIGTERM)
    codes, seconds = runs.wait_for_end()
    return _saved_and_goes_on(runs, codes, seconds)


def sigterm_two(runs: Runs) -> str:
    """The same for two processes, where only their parent gets the signal."""
    process = runs.start(train_command("roigan", runs.output, "--num-gpus=2", *LONG))
    runs.wait_for_iteration(3)
    process.send_signal(signal.SIGTERM)
    codes, seconds = runs.wait_for_end()
    return _saved_and_goes_on(runs, codes, seconds)


def _saved_and_goes_on(runs: Runs, codes: list[int], seconds: float) -> str:
    assert codes == [143], (codes, runs.logs()[-3000:])
    saved = (runs.output / "last_checkpoint").read_text()
    iteration = int(saved.removeprefix("model_").removesuffix(".pth"))
    assert iteration == max(read_losses(runs.output))
    again = runs.start(
        train_command("roigan", runs.output, "--resume", "SOLVER.MAX_ITER", str(iteration + 3))
    )
    assert again.wait(120) == 0, runs.logs()[-3000:]
    assert f"Starting training from iteration {iteration + 1}" in runs.logs()
    return f"exit 143 and saved after iteration {iteration} in {seconds:.1f} s; --resume continued"


def groups(runs: Runs) -> str:
    """Two launch groups, as on two machines: same losses as one process with the whole batch."""
    for command in _groups(runs):
        runs.start(command)
    codes, _ = runs.wait_for_end(200)
    assert codes == [0, 0], runs.logs()[-3000:]
    return _same_losses(runs)


def two(runs: Runs) -> str:
    """Two processes on one machine, all three recipes: same losses as one with the whole batch."""
    found = []
    for config in ("baseline", "gan", "roigan"):
        runs.output = runs.folder / config
        runs.processes.clear()
        command = train_command(config, runs.output, "--num-gpus=2")
        assert runs.start(command).wait(200) == 0, runs.logs()[-3000:]
        found.append(f"{config}: {_same_losses(runs, config)}")
    return "; ".join(found)


def torchrun(runs: Runs) -> str:
    """The same, started by torchrun as on two machines."""
    port = _free_port()
    train = train_command("roigan", runs.output)
    for rank in range(2):
        node = ["--nnodes=2", "--nproc-per-node=1", f"--node-rank={rank}"]
        master = ["--master-addr=127.0.0.1", f"--master-port={port}"]
        runs.start([sys.executable, "-m", "torch.distributed.run", *node, *master, *train[1:]])
    codes, _ = runs.wait_for_end(200)
    assert codes == [0, 0], runs.logs()[-3000:]
    return _same_losses(runs)


def _same_losses(runs: Runs, config: str = "roigan") -> str:
    two = read_losses(runs.output)
    runs.output = runs.folder / f"{config}_alone"
    runs.processes.clear()
    assert runs.start(train_command(config, runs.output)).wait(200) == 0, runs.logs()[-3000:]
    one = read_losses(runs.output)
    assert one.keys() == two.keys() and len(one) == 8
    worst = relative_difference(one, two)
    assert worst < 0.02, f"losses differ by up to {worst:.2%}"
    return f"8 iterations, losses equal to one process's within {worst:.1e} of their value"


def failing_rank(runs: Runs) -> str:
    """One of two processes raises: both end, with its traceback."""
    runs.start(_failing(runs, "--num-gpus=2"))
    runs.wait_for_iteration(2)
    codes, seconds = runs.wait_for_end()
    return _ended_with_traceback(runs, codes, seconds)


def failing_group(runs: Runs) -> str:
    """The process of one of two launch groups raises: both groups end, with its traceback."""
    url = f"--dist-url=tcp://127.0.0.1:{_free_port()}"
    for rank in range(2):
        runs.start(_failing(runs, "--num-machines=2", f"--machine-rank={rank}", url))
    runs.wait_for_iteration(2)
    codes, seconds = runs.wait_for_end()
    return _ended_with_traceback(runs, codes, seconds)


def killed_rank(runs: Runs) -> str:
    """kill -9 of one of two processes: the other ends, and the message says which was killed."""
    process = runs.start(train_command("roigan", runs.output, "--num-gpus=2", *LONG))
    runs.wait_for_iteration(2)
    workers = [c for c in process.children() if "spawn_main" in " ".join(c.cmdline())]
    workers[1].kill()
    codes, seconds = runs.wait_for_end()
    assert codes == [1], codes
    assert "terminated with signal SIGKILL" in runs.logs() or "closed by peer" in runs.logs()
    return f"all processes had ended after {seconds:.1f} s, exit {codes}"


def _failing(runs: Runs, *options: str) -> list[str]:
    train = train_command("roigan", runs.output, *options, *LONG)
    return [sys.executable, "-m", "tests.stress", "check_distributed", "--worker", *train[2:]]


def _ended_with_traceback(runs: Runs, codes: list[int], seconds: float) -> str:
    assert all(codes), codes
    assert f"RuntimeError: {FAILURE}" in runs.logs(), runs.logs()[-3000:]
    assert seconds < LIMIT
    return f"all processes had ended after {seconds:.1f} s, exit {codes}, with the traceback"


def fail_on_purpose(args: argparse.Namespace) -> None:
    """The program of `failing_rank` and `failing_group`: process 1 raises in iteration 3."""
    trainer = InterpolationTrainer(setup_run(args))
    trainer.resume_or_load(resume=False)
    step = trainer.run_step

    def failing_step() -> None:
        if trainer.iter == 3 and comm.get_rank() == 1:
            raise RuntimeError(FAILURE)
        step()

    trainer.run_step = failing_step
    trainer.train()


CHECKS: dict[str, Callable[[Runs], str]] = {
    function.__name__.replace("_", "-"): function
    for function in (
        *(sigterm, sigterm_two, two, groups, torchrun, failing_rank, failing_group, killed_rank),
    )
}


def check(name: str, folder: Path) -> str:
    """Run one check in a new folder; returns its findings, raises AssertionError if it failed."""
    runs = Runs(folder)
    try:
        return CHECKS[name](runs)
    finally:
        runs.close()


def main(argv: list[str]) -> None:
    if argv[:1] == ["--worker"]:
        run_distributed(fail_on_purpose, default_argument_parser().parse_args(argv[1:]))
        return
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("checks", nargs="*", choices=[*CHECKS, []], metavar="CHECK")
    for name in parser.parse_args(argv).checks or CHECKS:
        with tempfile.TemporaryDirectory() as folder:
            print(f"{name}: {check(name, Path(folder))}", flush=True)
