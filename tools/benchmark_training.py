#!/usr/bin/env python3
"""How many samples a second a training takes in, and how that grows with GPUs.

    tools/benchmark_training.py --config-file configs/roigan.yaml --gpus 1 2 --mode eager compiled
    tools/benchmark_training.py --config-file configs/fast/baseline.yaml --minutes 20 SEED 1

Every measurement is a short training in a process of its own: the first third of its iterations is
left out (cuDNN's search, compilation), the clock starts and stops with the GPU idle.
SOLVER.IMS_PER_BATCH is the batch of ONE process here, so that two do twice the work: a speed-up
of 2 is what there is to gain. ``--minutes`` also says how many iterations fit into that time.
One line of json a measurement lands in OUTPUT_DIR/benchmark_training.json, a table is printed. On a
machine without GPU it measures processes on the CPU.
"""

import argparse
import json
import subprocess
import sys
import time
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

from zoomin_d2.engine import InterpolationTrainer, run_distributed, setup_cfg, setup_run
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
    """Seconds an iteration, between the end of iteration `first` and that of the last."""

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
    stopwatch = Stopwatch(args.iterations // 3)
    trainer.register_hooks([stopwatch])
    trainer.train()
    if not comm.is_main_process():
        return
    on_gpu = cfg.MODEL.DEVICE == "cuda"
    result = {
        "mode": args.mode[0],
        "processes": comm.get_world_size(),
        "batch": batch,
        "s/iteration": stopwatch.seconds,
        "samples/s": batch / stopwatch.seconds,
        # Not the median: workers' batches come in bursts, most of them without any wait.
        "data s": trainer.storage.history("data_time").avg(args.iterations // 2),
        "GiB": torch.cuda.max_memory_allocated() / 2**30 if on_gpu else None,
        "device": torch.cuda.get_device_name() if on_gpu else "cpu",
        "torch": torch.__version__,
    }
    (Path(cfg.OUTPUT_DIR) / MEASURED).write_text(json.dumps(result))


def run_measurement(args: argparse.Namespace, output: Path, mode: str, processes: int) -> dict:
    """One measurement in a process of its own.

    Raises:
        RuntimeError: the training failed; with the end of what it printed.
    """
    opts = [
        *args.opts,
        *("SOLVER.MAX_ITER", str(args.iterations)),
        *("SOLVER.COMPILE", MODES[mode][0], "SOLVER.CUDA_GRAPH", MODES[mode][1]),
        *("SOLVER.METRIC_PERIOD", str(args.iterations // 6)),
        *("VIS_PERIOD", "0"),
        *("OUTPUT_DIR", str(output)),
    ]
    command = [sys.executable, __file__, "--measure", "--config-file", args.config_file]
    command += ["--mode", mode, "--num-gpus", str(processes), "--iterations", str(args.iterations)]
    done = subprocess.run(
        [*command, *opts], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    measured = output / MEASURED
    if done.returncode or not measured.exists():
        raise RuntimeError(f"{mode}, {processes} process(es), failed:\n{done.stdout[-3000:]}")
    return json.loads(measured.read_text())


def table(results: list[dict]) -> str:
    """Markdown; speed-up is over one process of the same mode."""
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


def main(args: argparse.Namespace) -> None:
    output = Path(setup_cfg(args.config_file, args.opts).OUTPUT_DIR)
    output.mkdir(parents=True, exist_ok=True)
    results = []
    for mode in args.mode:
        for processes in args.gpus:
            folder = output / f"{mode}_{processes}"
            try:
                result = run_measurement(args, folder, mode, processes)
            except RuntimeError as error:
                print(error, file=sys.stderr)
                continue
            results.append(result)
            (output / "benchmark_training.json").write_text(json.dumps(results, indent=2))
            if args.minutes:
                fits = int(60 * args.minutes / result["s/iteration"])
                print(f"{mode}, {processes}: SOLVER.MAX_ITER {fits} in {args.minutes:g} minutes")
    if not results:
        sys.exit("nothing was measured: every training failed, see above")
    print(table(results))


if __name__ == "__main__":
    parser = default_argument_parser(__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--gpus", type=int, nargs="+", default=[1], metavar="N")
    parser.add_argument("--mode", nargs="+", choices=MODES, default=["eager"])
    parser.add_argument("--iterations", type=int, default=60, help="of a measurement, at least 6")
    parser.add_argument("--minutes", type=float, help="say how many iterations fit")
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.iterations < 6:
        parser.error("--iterations must be at least 6: a third of them warms up")
    if min(arguments.gpus) < 1:
        parser.error("--gpus must be at least 1")
    if arguments.measure:
        run_distributed(measure, arguments)
    else:
        main(arguments)
