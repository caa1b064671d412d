"""`benchmark_training.py`: short trainings, timed; nothing of them is kept but the numbers."""

import argparse
import json
import subprocess
import sys

import benchmark_training
import pytest

from tests.helpers.training_runs import OVERRIDES, REPOSITORY, environment, write_triplets


def test_speed_up_is_over_one_process_of_the_same_mode():
    measured = {"s/iteration": 0.1, "batch": 8, "data s": 0.001, "GiB": 2.5}
    rows = benchmark_training.table(
        [
            {"mode": "eager", "processes": 1, "samples/s": 80.0, **measured},
            {"mode": "eager", "processes": 2, "samples/s": 148.0, **measured},
            {"mode": "compiled", "processes": 2, "samples/s": 200.0, **measured},
        ]
    ).splitlines()
    assert rows[3] == "| eager | 2 | 8 | 0.1000 | 148 | 1.85 | 0.0010 | 2.5 |"
    assert rows[4] == "| compiled | 2 | 8 | 0.1000 | 200 | - | 0.0010 | 2.5 |"


def test_a_training_that_fails_says_why(tmp_path, monkeypatch):
    failed = subprocess.CompletedProcess([], 1, stdout="out of memory")
    monkeypatch.setattr(subprocess, "run", lambda *args, **kwargs: failed)
    args = argparse.Namespace(opts=[], iterations=6, config_file="")
    with pytest.raises(RuntimeError, match="out of memory"):
        benchmark_training.run_measurement(args, tmp_path, "compiled", 2)


def test_it_measures_and_says_what_fits_into_a_time(tmp_path):
    write_triplets(tmp_path / "datasets")
    output = tmp_path / "out"
    tool = [sys.executable, str(REPOSITORY / "tools" / "benchmark_training.py")]
    tool += ["--config-file", "configs/baseline.yaml", "--iterations", "6"]
    done = subprocess.run(
        [*tool, "--minutes", "1", *OVERRIDES, "OUTPUT_DIR", str(output)],
        cwd=REPOSITORY,
        env=environment(tmp_path / "datasets"),
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    (result,) = json.loads((output / "benchmark_training.json").read_text())
    assert (result["mode"], result["processes"], result["batch"]) == ("eager", 1, 2)
    assert result["samples/s"] == 2 / result["s/iteration"] > 0
    assert f"SOLVER.MAX_ITER {int(60 / result['s/iteration'])} in 1 minutes" in done.stdout
    assert not list(output.rglob("*.pth")) and not list(output.rglob("inference"))
