"""tools/analyze_model.py: what it prints and writes is what complexity.py counts; profiles."""

import json

import analyze_model
import pytest

from zoomin_d2.model_zoo.generator_file import save_generator
from zoomin_d2.modeling import build_generator
from zoomin_d2.modeling.generator_options import generator_options

SMALL = [
    "MODEL.GENERATOR.PAPER.FLOW_CHANNELS",
    "[8, 8]",
    "MODEL.GENERATOR.PAPER.SYNTHESIS_CHANNELS",
    "4",
    "MODEL.GENERATOR.PAPER.SYNTHESIS_KERNEL",
    "3",
]


def test_table_and_json(tmp_path, capsys):
    args = ["--config-file", "configs/baseline.yaml", "--size", "32x16", "64x64"]
    (result,) = analyze_model.main([*args, "--output", str(tmp_path), *SMALL])
    written = json.loads((tmp_path / "analysis.json").read_text())["models"][0]
    assert written == result
    assert result["overrides"] == SMALL
    first = result["sizes"][0]
    assert (first["width"], first["height"]) == (32, 16)
    # context 7 x 7 twice, synthesis 3 x 3: the parts whose numbers do not depend on padding
    assert first["by_part"]["context"] == 2 * 64 * 3 * 49 * 32 * 16
    assert first["by_part"]["synthesis_net"] == (67 * 4 + 4 * 4 + 4 * 3) * 9 * 32 * 16
    assert first["macs"] == sum(first["by_part"].values())
    printed = capsys.readouterr().out
    assert "paper (baseline.yaml)" in printed
    assert f"| {first['kmac_per_pixel']:.1f} |".replace("| ", "") in printed
    assert "synthesis_net" in printed


def _rows(text: str, title: str) -> list[list[str]]:
    section = text.split(f"## {title}")[1].split("##")[0]
    lines = [x for x in section.splitlines() if x.startswith("|")]
    return [[cell.strip() for cell in x.strip("|").split("|")] for x in lines[2:]]


def test_counts_of_what_ships():
    pytest.importorskip("triton")
    text = analyze_model.main(["--model", "fast", "--profile", "--size", "64x32"])
    rows = _rows(text, "fast, 64x32: counts")
    for mode in ("eager", "triton"):
        parts = [x for x in rows if x[0] == mode]
        assert parts[-1][1] == "all"
        assert sum(int(x[2]) for x in parts[:-1]) == int(parts[-1][2])
    kernels = {x[0]: int(x[2]) for x in rows if x[1] == "all"}
    assert kernels["triton"] < 50 and kernels["eager"] < 300


def test_times_of_a_model_in_a_file(small_cfg, tmp_path):
    path = tmp_path / "small.safetensors"
    save_generator(path, build_generator(small_cfg), generator_options(small_cfg), "small")
    command = ["--model", str(path), "--profile", "eager", "--size", "32x16", "--device", "cpu"]
    text = analyze_model.main([*command, "--rows", "5", "--output", str(tmp_path)])
    rows = _rows(text, f"{path}, eager, 32x16")
    assert len(rows) == 6 and float(rows[-1][2]) >= float(rows[0][2]) > 0
    assert (tmp_path / "profile.md").read_text() == text


def test_unknown_device_is_refused():
    with pytest.raises(ValueError, match="there is no device 'nonsense'"):
        analyze_model.main(["--profile", "eager", "--device", "nonsense"])
