"""tools/profile_model.py on a CPU: counts by stage that add up, times by operator, a file."""

import profile_model
import pytest

from zoomin_d2.model_zoo.generator_file import save_generator
from zoomin_d2.modeling import build_generator
from zoomin_d2.modeling.generator_options import generator_options


def _rows(text: str, title: str) -> list[list[str]]:
    section = text.split(f"## {title}")[1].split("##")[0]
    lines = [x for x in section.splitlines() if x.startswith("|")]
    return [[cell.strip() for cell in x.strip("|").split("|")] for x in lines[2:]]


def test_counts_of_what_ships():
    pytest.importorskip("triton")
    args = profile_model.parse_args(["--size", "64x32", "--device", "cpu"])
    rows = _rows(profile_model.run(args), "fast, 64x32: counts")
    for mode in ("eager", "triton"):
        parts = [x for x in rows if x[0] == mode]
        assert parts[-1][1] == "all"
        assert sum(int(x[2]) for x in parts[:-1]) == int(parts[-1][2])
    kernels = {x[0]: int(x[2]) for x in rows if x[1] == "all"}
    assert kernels["triton"] < 50 and kernels["eager"] < 250


def test_times_of_a_model_in_a_file(small_cfg, tmp_path):
    path = tmp_path / "small.safetensors"
    save_generator(path, build_generator(small_cfg), generator_options(small_cfg), "small")
    command = ["--model", str(path), "--mode", "eager", "--size", "32x16", "--device", "cpu"]
    args = profile_model.parse_args([*command, "--rows", "5", "--output", str(tmp_path)])
    text = profile_model.run(args)
    rows = _rows(text, f"{path}, eager, 32x16")
    assert len(rows) == 6 and float(rows[-1][2]) >= float(rows[0][2]) > 0
    assert (tmp_path / "profile.md").read_text() == text
