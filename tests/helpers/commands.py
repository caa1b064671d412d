"""Commands that pages and docstrings show, and the options that each command has."""

import ast
import contextlib
import functools
import io
import re
import runpy
import sys
from pathlib import Path
from unittest import mock

from fvcore.common.registry import Registry

from tests.stress.__main__ import main as run_stress
from zoomin_d2.cli.arguments import make_parser as interpolate_parser

REPOSITORY = Path(__file__).parents[2]
_SCRIPT = r"(?<![\w/])(?:tools|datasets|docs/tools|projects/\w+)/\w+\.py"
_COMMAND = re.compile(rf"(zoomin-interpolate|python -m tests\.stress|{_SCRIPT})((?: [^`|;&]*)?)")


def shown_commands(path: Path) -> list[tuple[str, list[str]]]:
    """(command, words after it) of all that a page, or a module's docstring, shows.

    In a page: inline code and code blocks. A line that ends in a backslash continues.
    """
    text = path.read_text()
    if path.suffix == ".py":
        lines = (ast.get_docstring(ast.parse(text)) or "").replace("\\\n", " ").splitlines()
        code = [line for line in lines if line.startswith("    ")]
    else:
        blocks = re.findall(r"^```\w*\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
        code = [line for x in blocks for line in x.replace("\\\n", " ").splitlines()]
        inline = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
        code += [" ".join(x.split()) for x in re.findall(r"`([^`]+)`", inline)]
    found = [_COMMAND.search(re.sub(r"\s#.*", "", line)) for line in code]
    return [(m[1], m[2].split()) for m in found if m]


def unknown_options(command: str, words: list[str]) -> list[str]:
    """The options among the words that the command, or its subcommand, does not have."""
    before = [word for word in words if not word.startswith("-")]
    text = _help(command)
    called: tuple[str, ...] = ()
    if command == "python -m tests.stress" and before:
        called = (before[0],)
        text = _help(command, *called)
    while choices := re.search(r"^ +\{([\w,]+)\}$", text, re.MULTILINE):
        if len(called) >= len(before) or before[len(called)] not in choices[1].split(","):
            break
        called = (*called, before[len(called)])
        text = _help(command, *called)
        if text == _help(command, *called[:-1]):  # a choice, but no subcommand
            break
    known = re.findall(r"(?<![\w-])--[\w-]+", text)
    asked = re.findall(r"(?<![\w-])--[a-z][\w-]*", " ".join(words))
    return [option for option in asked if option not in known]


@functools.cache
def _help(command: str, *words: str) -> str:
    out = io.StringIO()
    before = sys.argv
    try:
        with contextlib.redirect_stdout(out), contextlib.suppress(SystemExit):
            if command == "zoomin-interpolate":
                interpolate_parser().print_help(out)
            elif command == "python -m tests.stress":
                run_stress([*words, "--help"])
            else:
                sys.argv = [command, *words, "--help"]
                # A script that a test has imported must not register its classes again.
                with mock.patch.object(Registry, "_do_register"):
                    runpy.run_path(str(REPOSITORY / command), run_name="__main__")
    finally:
        sys.argv = before
    return out.getvalue()
