"""The tools' command line: overrides begin at the first key of the config, wherever it stands."""

import argparse
import os
import subprocess
import sys

import pytest

from zoomin_d2.cli.tool_arguments import ToolParser, at_least, frame_size, split_overrides


@pytest.fixture
def parser():
    parser = ToolParser("Shown as it stands.")
    parser.add_argument("--input", nargs="+")
    parser.add_output("output/x")
    parser.add_config()
    return parser


@pytest.mark.parametrize(
    ("words", "count"),
    [
        (["--input", "a.png", "MODEL.WEIGHTS", "w.pth"], 2),
        (["--input", "A.PNG", "B.PNG"], 3),  # a file, no key: there is no A in the config
        (["--input", "a", "SEED", "1", "MODEL.DEVICE", "cpu"], 2),
        (["--title", "Model.x"], 2),
    ],
)
def test_where_overrides_begin(words, count):
    assert split_overrides(words) == (words[:count], words[count:])


def test_options_and_overrides(parser):
    args = parser.parse_args(["--config-file", "c.yaml", "--input", "a", "b", "SEED", "3"])
    assert (args.config_file, args.input, args.opts) == ("c.yaml", ["a", "b"], ["SEED", "3"])
    assert str(args.output) == "output/x"


def test_a_misspelled_key_reaches_the_config(parser):
    assert parser.parse_args(["--output", "o", "SEEED", "3"]).opts == ["SEEED", "3"]


def test_overrides_need_a_config(capsys):
    parser = ToolParser()
    kinds = parser.add_subparsers(dest="kind")
    kinds.add_parser("plain")
    with pytest.raises(SystemExit):
        parser.parse_args(["plain", "SEED", "3"])
    assert "takes no config overrides, got SEED 3" in capsys.readouterr().err


def test_sizes():
    assert frame_size("1280x720") == (720, 1280)


@pytest.mark.parametrize("text", ["720p", "12x", "0x64", "-3x4"])
def test_sizes_that_are_none(text):
    with pytest.raises(argparse.ArgumentTypeError, match="1280x720"):
        frame_size(text)


@pytest.mark.parametrize("text", ["0", "-3", "1.5", "many"])
def test_numbers_that_are_too_small(text):
    assert at_least(1)("7") == 7 and at_least(0)("0") == 0
    with pytest.raises(argparse.ArgumentTypeError, match=r"a whole number, 1 or more, not '"):
        at_least(1)(text)


def test_threads_do_not_spin_in_the_commands():
    code = "import os, sys, zoomin_d2.cli; "
    code += "print(os.environ['GOMP_SPINCOUNT'], 'torch' in sys.modules)"
    kept = {k: v for k, v in os.environ.items() if k not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    done = subprocess.run([sys.executable, "-c", code], env=kept, capture_output=True, text=True)
    assert done.stdout.split() == ["1000", "False"], done.stderr  # set before PyTorch reads it
