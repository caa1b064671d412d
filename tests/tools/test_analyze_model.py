"""tools/analyze_model.py: what it prints and writes is what complexity.py counts."""

import argparse
import json

import analyze_model
import pytest

SMALL = [
    "MODEL.GENERATOR.PAPER.FLOW_CHANNELS",
    "[8, 8]",
    "MODEL.GENERATOR.PAPER.SYNTHESIS_CHANNELS",
    "4",
    "MODEL.GENERATOR.PAPER.SYNTHESIS_KERNEL",
    "3",
]


def test_table_and_json(tmp_path, capsys):
    path = tmp_path / "macs.json"
    args = ["--config-file", "configs/baseline.yaml", "--size", "32x16", "64x64"]
    args += ["--json", str(path), *SMALL]
    (result,) = analyze_model.main(analyze_model.parse_args(args))
    written = json.loads(path.read_text())["models"][0]
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


@pytest.mark.parametrize("text", ["720p", "12x", "0x64", "-3x4"])
def test_sizes_that_are_none(text):
    with pytest.raises(argparse.ArgumentTypeError, match="1280x720"):
        analyze_model.parse_size(text)
