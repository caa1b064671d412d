"""`training_benchmark`: short trainings, timed; nothing of them is kept but the numbers."""

import subprocess

import benchmark
import pytest

from tests.helpers.training_runs import OVERRIDES, REPOSITORY, environment, write_triplets
from zoomin_d2.engine import training_benchmark


def test_speed_up_is_over_one_process():
    measured = {"s/iteration": 0.1, "batch": 8, "data s": 0.001, "GiB": 2.5}
    rows = training_benchmark.format_table(
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
    with pytest.raises(RuntimeError, match="out of memory"):
        training_benchmark.run_measurement("", [], tmp_path, "compiled", 2, 6)


@pytest.mark.slow
def test_it_measures_and_says_what_fits(tmp_path, monkeypatch, capsys):
    write_triplets(tmp_path / "datasets")
    monkeypatch.chdir(REPOSITORY)
    for key, value in environment(tmp_path / "datasets").items():
        monkeypatch.setenv(key, value)
    output = tmp_path / "out"
    words = ["training", "--config-file", "configs/baseline.yaml", "--iterations", "6"]
    words += ["--minutes", "1", "--output", str(output), *OVERRIDES]
    args = benchmark.make_parser().parse_args(words)
    (result,) = args.run(args)
    assert (result["mode"], result["processes"], result["batch"]) == ("eager", 1, 2)
    assert result["samples/s"] == 2 / result["s/iteration"] > 0
    fits = f"SOLVER.MAX_ITER {int(60 / result['s/iteration'])} in 1 minutes"
    assert fits in capsys.readouterr().out
    assert not list(output.rglob("*.pth")) and not list(output.rglob("inference"))
    assert (output / "benchmark_training.json").is_file()
