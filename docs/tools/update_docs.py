#!/usr/bin/env python3
"""Set what the documentation takes from the weight files that ship: the table of models.

    docs/tools/update_docs.py            # write
    docs/tools/update_docs.py --check    # only say what is out of date; exit code 1 if anything is

In docs/model_zoo.md the table between the marks is made anew from the weight files that ship and
their cards: of a card, the table whose first heading is "dataset".
"""

import argparse
import itertools
import json
import re
import sys
from pathlib import Path

from zoomin_d2.evaluation.complexity import count_macs, count_parameters
from zoomin_d2.files import write_atomically
from zoomin_d2.model_zoo.catalog import ROOT, WEIGHTS_SHA256
from zoomin_d2.model_zoo.generator_file import load_generator, shipped_generators

REPOSITORY = Path(__file__).resolve().parents[2]
_COLUMNS = (
    *("model", "generator", "recipe", "parameters", "kMAC/pixel", "file"),
    "numbers (dataset: values)",
)
TABLE = re.compile(r"(<!-- models -->\n).*?(<!-- /models -->)", re.DOTALL)


def models_table() -> str:
    """The models that ship, as a Markdown table."""
    lines = [
        "| " + " | ".join(_COLUMNS) + " |",
        "|---" * len(_COLUMNS) + "|",
    ]
    lines += [_generator_row(name) for name in shipped_generators()]
    others = sorted(WEIGHTS_SHA256.keys() - set(shipped_generators()))
    for name in others:
        size = (ROOT / "weights" / f"{name}.safetensors").stat().st_size / 1e6
        cells = [_card_link(name), "a detector", _recipe_link(name), "-", "-", f"{size:.1f} MB"]
        lines.append("| " + " | ".join([*cells, "see its card"]) + " |")
    return "\n".join(lines) + "\n"


def _generator_row(name: str) -> str:
    loaded = load_generator(name)
    learnt, _ = count_parameters(loaded.generator)
    macs = count_macs(loaded.generator, 720, 1280).kilo_per_pixel
    size = (ROOT / "weights" / f"{name}.safetensors").stat().st_size / 1e6
    numbers = card_numbers((ROOT / "weights" / f"{name}.md").read_text()) or "see its card"
    cells = [_card_link(name), f"`{loaded.options['NAME']}`", _recipe_link(name)]
    cells += [f"{learnt / 1e6:.2f} M", f"{macs:.1f}", f"{size:.1f} MB", numbers]
    return "| " + " | ".join(cells) + " |"


def card_numbers(card: str) -> str:
    """The rows of the card's table whose first heading is "dataset", on one line."""
    lines = iter(card.splitlines())
    head = next((cells for line in lines if (cells := _cells(line))[0].lower() == "dataset"), None)
    if head is None:
        return ""
    next(lines)  # the dashes
    facts = []
    for row in map(_cells, itertools.takewhile(lambda line: "|" in line, lines)):
        values = ", ".join(f"{key} {value}" for key, value in zip(head[1:], row[1:]))
        facts.append(f"{row[0]}: {values}")
    return "; ".join(facts)


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def _card_link(name: str) -> str:
    return f"[`{name}`](../zoomin_d2/model_zoo/weights/{name}.md)"


def _recipe_link(name: str) -> str:
    """The first config that a model's card names: what trained it."""
    card = (ROOT / "weights" / f"{name}.md").read_text()
    recipe = re.search(r"(?<![\w/])(?:[\w/]+/)?configs/([\w/]+)\.yaml\b", card)
    if recipe is None:
        raise ValueError(f"the card of {name} does not name the config that trained it")
    return f"[`{recipe[1]}`](../{recipe[0]})"


def updated_page() -> tuple[Path, str]:
    """docs/model_zoo.md, and its text as it should be."""
    page = REPOSITORY / "docs/model_zoo.md"
    table = models_table()
    return page, TABLE.sub(lambda m: m[1] + table + m[2], page.read_text())


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="write nothing")
    args = parser.parse_args(argv)
    page, text = updated_page()
    if page.read_text() == text:
        return 0
    if args.check:
        print(f"{page.relative_to(REPOSITORY)} is out of date: run docs/tools/update_docs.py")
        return 1
    write_atomically(page, lambda f: f.write(text.encode()))
    print(f"{page.relative_to(REPOSITORY)} updated")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (ValueError, OSError, json.JSONDecodeError) as error:
        sys.exit(f"update_docs: {error}")
