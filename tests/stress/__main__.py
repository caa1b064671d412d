"""Run one of the stress checks, which take minutes or hours: python -m tests.stress NAME [args]."""

import ast
import importlib
import sys
from pathlib import Path

FOLDER = Path(__file__).parent


def find_checks() -> dict[str, str]:
    """Name -> first line of the docstring, for every module here that is a check."""
    paths = [p for p in sorted(FOLDER.glob("*.py")) if not p.stem.startswith(("_", "test_"))]
    docstrings = {p.stem: ast.get_docstring(ast.parse(p.read_text())) or "" for p in paths}
    return {name: text.partition("\n")[0] for name, text in docstrings.items()}


def main(argv: list[str]) -> None:
    checks = find_checks()
    name = argv[0] if argv else "--help"
    if name in ("-h", "--help"):
        print(f"{__doc__}\n")
        print("\n".join(f"  {name:<20} {line}" for name, line in checks.items()))
        return
    if name not in checks:
        sys.exit(f"tests.stress: there is no check '{name}', only {', '.join(checks)}")
    sys.argv[0] = f"python -m tests.stress {name}"  # what --help calls it
    importlib.import_module(f"tests.stress.{name}").main(argv[1:])


if __name__ == "__main__":
    main(sys.argv[1:])
