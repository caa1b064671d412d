#!/usr/bin/env python3
"""Set what the documentation takes from the code: line numbers, and the table of models.

    tools/update_docs.py            # write
    tools/update_docs.py --check    # only say what is out of date; exit code 1 if anything is

In docs/paper_to_code.md `path:name` becomes a link to the line where that function, class or
method is defined. In docs/model_zoo.md the table between the marks is made anew from the weight
files that ship and their cards: of a card, the table whose first heading is "dataset".
"""

import argparse
import ast
import json
import re
import sys
from pathlib import Path

from zoomin_d2.evaluation.complexity import count_macs, count_parameters
from zoomin_d2.files import write_atomically
from zoomin_d2.model_zoo.catalog import ROOT, WEIGHTS_SHA256
from zoomin_d2.model_zoo.generator_file import load_generator, shipped_generators

REPOSITORY = Path(__file__).resolve().parents[1]
# `path:name` as written by hand, or [`path:line` name](...) as it becomes.
REFERENCE = re.compile(
    r"`([\w/]+\.py):([A-Za-z_][\w.]*)`|\[`([\w/]+\.py):(\d+)` ([\w.]+)\]\([^)]*\)"
)
_COLUMNS = (
    *("model", "generator", "recipe", "parameters", "kMAC/pixel", "file"),
    "numbers (dataset: values)",
)
TABLE = re.compile(r"(<!-- models -->\n).*?(<!-- /models -->)", re.DOTALL)


def find_lines(path: str, name: str) -> range:
    """Lines of the definition of a function, a class or (Class.method) a method.

    Raises:
        ValueError: there is no such file or no such name in it.
    """
    file = REPOSITORY / path
    if not file.is_file():
        raise ValueError(f"there is no {path}")
    node: ast.AST = ast.parse(file.read_text())
    for part in name.split("."):
        kinds = (ast.FunctionDef, ast.ClassDef)
        found = [x for x in ast.iter_child_nodes(node) if isinstance(x, kinds) and x.name == part]
        if not found:
            raise ValueError(f"{path} defines no '{name}'")
        node = found[0]
    return range(node.lineno, node.end_lineno + 1)


def with_lines(text: str, exact: bool = True) -> str:
    """The page with every reference at its line.

    Args:
        exact: at the first line; else a line anywhere in the definition stays, so that not every
            edit of a file above it makes the page out of date.
    """

    def link(match: re.Match) -> str:
        path, name = match[1] or match[3], match[2] or match[5]
        lines = find_lines(path, name)
        line = int(match[4] or 0)
        if exact or line not in lines:
            line = lines.start
        return f"[`{path}:{line}` {name}](../{path}#L{line})"

    return REFERENCE.sub(link, text)


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
    rows = [
        [cell.strip() for cell in line.strip().strip("|").split("|")]
        for line in card.splitlines()
        if line.lstrip().startswith("|")
    ]
    starts = [i for i, row in enumerate(rows) if row[0].lower() == "dataset"]
    if not starts:
        return ""
    head, *body = rows[starts[0] :]
    facts = []
    for row in body[1:]:  # below the dashes
        if len(row) != len(head) or row[0].lower() == "dataset":
            break
        values = ", ".join(f"{key} {value}" for key, value in zip(head[1:], row[1:]))
        facts.append(f"{row[0]}: {values}")
    return "; ".join(facts)


def _card_link(name: str) -> str:
    return f"[`{name}`](../zoomin_d2/model_zoo/weights/{name}.md)"


def _recipe_link(name: str) -> str:
    """The first config that a model's card names: what trained it."""
    card = (ROOT / "weights" / f"{name}.md").read_text()
    recipe = re.search(r"\bconfigs/([\w/]+)\.yaml\b", card)
    if recipe is None:
        raise ValueError(f"the card of {name} does not name the config that trained it")
    return f"[`{recipe[1]}`](../{recipe[0]})"


def updated_pages(exact: bool = True) -> dict[Path, str]:
    """Page -> its text as it should be; `exact` as for `with_lines`."""
    lines, models = (REPOSITORY / "docs" / f"{x}.md" for x in ("paper_to_code", "model_zoo"))
    table = models_table()
    return {
        lines: with_lines(lines.read_text(), exact),
        models: TABLE.sub(lambda m: m[1] + table + m[2], models.read_text()),
    }


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="write nothing")
    args = parser.parse_args(argv)
    pages = updated_pages(exact=not args.check)
    outdated = {page: text for page, text in pages.items() if page.read_text() != text}
    for page, text in outdated.items():
        print(f"{page.relative_to(REPOSITORY)} {'is out of date' if args.check else 'updated'}")
        if not args.check:
            write_atomically(page, lambda f, text=text: f.write(text.encode()))
    if outdated and args.check:
        print("run tools/update_docs.py")
    return int(bool(outdated) and args.check)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (ValueError, OSError, json.JSONDecodeError) as error:
        sys.exit(f"update_docs: {error}")
