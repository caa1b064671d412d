"""The command line of all tools: `--config-file FILE [--output DIR] KEY VALUE ...`."""

import argparse
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from zoomin_d2.user_errors import add_debug_option


class ToolParser(argparse.ArgumentParser):
    """A parser that shows a tool's docstring unchanged, and takes config overrides.

    As in Detectron2's tools, everything from the first config key on is an override, even after an
    option that takes several values. Subcommands get parsers of this class.
    """

    def __init__(self, description: str | None = None, **kwargs: Any):
        kwargs.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        super().__init__(description=description, **kwargs)
        add_debug_option(self)

    def add_config(self, *, several: bool = False) -> None:
        """--config-file (`several`: a list of them) and the overrides, a list `opts`."""
        kind: dict[str, Any] = {"nargs": "+", "default": []} if several else {"default": ""}
        self.add_argument("--config-file", metavar="FILE", **kind)
        self.add_argument(
            "opts", nargs=argparse.REMAINDER, metavar="KEY VALUE", help="config overrides"
        )

    def add_output(self, default: str | None, help: str = "output folder") -> None:
        """--output, a path; without a default, nothing is written unless it is given."""
        path = None if default is None else Path(default)
        self.add_argument("--output", type=Path, default=path, metavar="DIR", help=help)

    def parse_args(self, args=None, namespace=None):
        words, overrides = split_overrides(sys.argv[1:] if args is None else args)
        parsed = super().parse_args(words, namespace)
        if hasattr(parsed, "opts"):
            parsed.opts = [*parsed.opts, *overrides]
        elif overrides:
            self.error(f"this command takes no config overrides, got {' '.join(overrides)}")
        return parsed


def split_overrides(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Split into (options and positional arguments, everything from the first config key on).

    >>> split_overrides(["--input", "A.PNG", "MODEL.WEIGHTS", "zoo:fast"])
    (['--input', 'A.PNG'], ['MODEL.WEIGHTS', 'zoo:fast'])
    """
    from zoomin_d2.config import get_zoomin_cfg  # the other commands of this room do not need it

    roots = get_zoomin_cfg().keys()
    for i, word in enumerate(words):
        if re.fullmatch(r"[A-Z][A-Z0-9_]*(\.\w+)*", word) and word.split(".")[0] in roots:
            return list(words[:i]), list(words[i:])
    return list(words), []


def at_least(least: int) -> Callable[[str], int]:
    """The type of an option: a whole number from `least` on."""

    def whole(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = least - 1
        if value < least:
            raise argparse.ArgumentTypeError(
                f"must be a whole number, {least} or more, not {text!r}"
            )
        return value

    return whole


def check_plain_name(name: str, prefix: str) -> None:
    """Raises ValueError unless --name can become the dataset PREFIX_NAME."""
    if not name or Path(name).name != name or name == "..":
        raise ValueError(f"--name '{name}' is not a plain name: it becomes {prefix}_NAME")


def frame_size(text: str) -> tuple[int, int]:
    """ "1280x720" (width x height, as screens are named) -> (height, width)."""
    match = re.fullmatch(r"(\d+)x(\d+)", text)
    if not match or "0" in (match[1], match[2]):
        raise argparse.ArgumentTypeError(f"'{text}' is not a size like 1280x720 (width x height)")
    return int(match[2]), int(match[1])
