"""What a page needs beside the scores: costs from a benchmark."""

import json

import pytest

from zoomin_d2.evaluation.report_inputs import benchmark_costs


def test_costs_of_a_benchmark(tmp_path):
    def row(method, ms, width=640, **extra):
        size = {"width": width, "height": 480, "batch": 1}
        return {"what": "latency", "method": method, "median_ms": ms, **size, **extra}

    content = {
        "machine": {"device": "cpu"},
        "methods": {"fast": {"parameters": 2_000_000}},
        "rows": [
            *(row("fast", 9.0), row("fast", 7.0), row("other", 3.0), row("fast", 1.0, 100)),
            row("fast", 0.5, error="broke off"),
            {"what": "quality", "method": "fast", "PSNR": 30.0},
        ],
    }
    (tmp_path / "benchmark.json").write_text(json.dumps(content))
    costs, label = benchmark_costs(tmp_path / "benchmark.json")
    assert costs == {"fast": (7.0, 2_000_000), "other": (3.0, None)}
    assert label == "640 x 480, cpu"
    # The figure of tools/benchmark.py takes the same one of two sizes.
    content["rows"] = [row("fast", 20.0, 3840), row("fast", 5.0, 2048, height=1024)]
    (tmp_path / "benchmark.json").write_text(json.dumps(content))
    assert benchmark_costs(tmp_path / "benchmark.json")[1] == "2048 x 1024, cpu"
    (tmp_path / "other.json").write_text("[]")
    with pytest.raises(ValueError, match=r"not written by tools/benchmark\.py"):
        benchmark_costs(tmp_path / "other.json")
