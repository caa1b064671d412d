"""How many samples per second a training processes, and how that grows with processes.

Every measurement is a short training in its own process. The first third of its iterations is left
out (cuDNN's search, compilation); the clock starts and stops with the GPU idle.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import detectron2.utils.comm as comm
import torch
from detectron2.engine import HookBase, default_argument_parser
from detectron2.engine.hooks import (
    BestCheckpointer,
    EvalHook,
    PeriodicCheckpointer,
    PeriodicWriter,
)

from zoomin_d2.engine.resilience.launching import run_distributed
from zoomin_d2.engine.setup import setup_cfg, setup_run
from zoomin_d2.engine.trainer import InterpolationTrainer
from zoomin_d2.evaluation.timing import synchronize

MODES = {  # SOLVER.COMPILE, SOLVER.CUDA_GRAPH
    "eager": ("False", "False"),
    "compiled": ("True", "False"),
    "graph": ("False", "True"),
    "compiled-graph": ("True", "True"),
}
MEASURED = "measured.json"
COLUMNS = ("mode", "processes", "batch", "s/iteration", "samples/s", "speed-up", "data s", "GiB")


class Stopwatch(HookBase):
    """Seconds per iteration, from the end of iteration `first` to the end of the last."""

    def __init__(self, first: int):
        self.first = first
        self.started = self.seconds = 0.0

    def _now(self) -> float:
        synchronize(self.trainer.bare_model.device)
        return time.perf_counter()

    def after_step(self) -> None:
        if self.trainer.iter == self.first:
            self.started = self._now()
        elif self.trainer.iter == self.trainer.max_iter - 1:
            self.seconds = (self._now() - self.started) / (self.trainer.iter - self.first)


class MeasuredTrainer(InterpolationTrainer):
    """A training without evaluation and checkpoints."""

    def build_hooks(self) -> list[HookBase | None]:
        left_out = (EvalHook, BestCheckpointer, PeriodicCheckpointer, PeriodicWriter)
        return [x for x in super().build_hooks() if not isinstance(x, left_out)]


def measure(args: argparse.Namespace) -> None:
    """In every process of one measurement; the main one writes the result."""
    batch = setup_cfg(args.config_file, args.opts).SOLVER.IMS_PER_BATCH * comm.get_world_size()
    args.opts += ["SOLVER.IMS_PER_BATCH", str(batch)]
    cfg = setup_run(args)
    trainer = MeasuredTrainer(cfg)
    trainer.resume_or_load(resume=False)
    stopwatch = Stopwatch(cfg.SOLVER.MAX_ITER // 3)
    trainer.register_hooks([stopwatch])
    trainer.train()
    if not comm.is_main_process():
        return
    on_gpu = cfg.MODEL.DEVICE == "cuda"
    result = {
        "processes": comm.get_world_size(),
        "batch": batch,
        "s/iteration": stopwatch.seconds,
        "samples/s": batch / stopwatch.seconds,
        # Not the median: workers' batches come in bursts, most of them without a wait.
        "data s": trainer.storage.history("data_time").avg(cfg.SOLVER.MAX_ITER // 2),
        "GiB": torch.cuda.max_memory_allocated() / 2**30 if on_gpu else None,
        "device": torch.cuda.get_device_name() if on_gpu else "cpu",
        "torch": torch.__version__,
    }
    (Path(cfg.OUTPUT_DIR) / MEASURED).write_text(json.dumps(result))


def run_measurement(
    config_file: str,
    overrides: Sequence[str],
    output: Path,
    mode: str,
    processes: int,
    iterations: int,
) -> dict:
    """One measurement in its own process.

    Args:
        overrides: KEY VALUE pairs; SOLVER.IMS_PER_BATCH is the batch of one process.
        output: gets the log and the numbers of the training.
        mode: a key of `MODES`.
        iterations: at least 6.

    Raises:
        RuntimeError: the training failed; the message ends with the last lines it printed.
    """
    opts = [
        *overrides,
        *("SOLVER.MAX_ITER", str(iterations)),
        *("SOLVER.COMPILE", MODES[mode][0], "SOLVER.CUDA_GRAPH", MODES[mode][1]),
        *("SOLVER.METRIC_PERIOD", str(iterations // 6)),
        *("VIS_PERIOD", "0"),
        *("OUTPUT_DIR", str(output)),
    ]
    command = [sys.executable, "-m", "zoomin_d2.engine.training_benchmark"]
    command += ["--config-file", config_file, "--num-gpus", str(processes)]
    done = subprocess.run(
        [*command, *opts], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    measured = output / MEASURED
    if done.returncode or not measured.exists():
        raise RuntimeError(f"{mode}, {processes} process(es), failed:\n{done.stdout[-3000:]}")
    return {"mode": mode, **json.loads(measured.read_text())}


def format_table(results: list[dict]) -> str:
    """A Markdown table; speed-up is relative to one process in the same mode."""
    alone = {x["mode"]: x["samples/s"] for x in results if x["processes"] == 1}
    rows = ["| " + " | ".join(COLUMNS) + " |", "|---" * len(COLUMNS) + "|"]
    for x in results:
        speed_up = f"{x['samples/s'] / alone[x['mode']]:.2f}" if x["mode"] in alone else "-"
        memory = "-" if x["GiB"] is None else f"{x['GiB']:.1f}"
        rows.append(
            f"| {x['mode']} | {x['processes']} | {x['batch']} | {x['s/iteration']:.4f} "
            f"| {x['samples/s']:.0f} | {speed_up} | {x['data s']:.4f} | {memory} |"
        )
    return "\n".join(rows)


if __name__ == "__main__":
    run_distributed(measure, default_argument_parser().parse_args())
