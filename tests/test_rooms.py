"""Imports between the rooms of the package go one way (CONTRIBUTING, "Map of the code")."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "zoomin_d2"
# The rooms, lowest first: each may import those before it (HOUSE: imports go down the list).
ORDER = [
    *("version", "extras", "old_names", "files", "frames", "user_errors", "weight_files"),
    *("config", "interpolate", "transfer"),
    *("layers", "generators", "video", "model_zoo", "inference"),
    *("modeling", "data", "visualization", "evaluation", "engine", "cli"),
]


# Those that use models and videos: they need no Detectron2 (nor what only it needs).
FREE = [
    *("extras", "files", "frames", "weight_files", "interpolate", "transfer"),
    *("layers", "generators", "video", "model_zoo", "inference", "cli"),
]
DETECTRON2 = {"detectron2", "fvcore", "iopath", "pycocotools"}


def _room(module: str) -> str:
    return module.split(".")[1]


def _imports(path: Path) -> set[str]:
    package = ("zoomin_d2", *path.relative_to(PACKAGE).parent.parts)
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            prefix = package[: len(package) - node.level + 1] if node.level else ()
            base = ".".join([*prefix, *([node.module] if node.module else [])])
            found |= {f"{base}.{name.name}" for name in node.names}
    return {name for name in found if name.startswith("zoomin_d2.")}


@pytest.mark.parametrize(
    "path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: str(p.relative_to(PACKAGE))
)
def test_imports_go_one_way(path):
    module = ".".join(("zoomin_d2", *path.relative_to(PACKAGE).with_suffix("").parts))
    if path == PACKAGE / "__init__.py":
        return  # registers everything
    room = _room(module)
    allowed = ORDER[: ORDER.index(room) + 1]
    wrong = {x for x in _imports(path) if _room(x) not in allowed}
    assert not wrong, f"room '{room}' must not import {sorted(wrong)}"


VIDEO = ["errors", "option_checks", "read", "time", "report", "write", "jobs"]  # lowest first


@pytest.mark.parametrize("path", sorted((PACKAGE / "video").rglob("*.py")), ids=lambda p: p.stem)
def test_video_goes_one_way(path):
    place = path.relative_to(PACKAGE / "video").with_suffix("").parts[0]
    if place == "__init__":
        return  # names what others use
    allowed = VIDEO[: VIDEO.index(place) + 1]
    parts = [x.split(".")[2:] for x in _imports(path) if _room(x) == "video"]
    wrong = {".".join(x) for x in parts if x and x[0] not in allowed}
    assert not wrong, f"video/{place} must not import {sorted(wrong)}"


def run_at_import(node: ast.AST) -> list[ast.AST]:
    """A module and all in it but what stands in functions."""
    found = [node]
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            found += run_at_import(child)
    return found


def test_using_models_needs_no_detectron2():
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        if path.relative_to(PACKAGE).parts[0].removesuffix(".py") not in FREE:
            continue
        for node in run_at_import(ast.parse(path.read_text())):
            names = [x.name for x in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            found += [f"{path}: {x}" for x in names if x.split(".")[0] in DETECTRON2]
    assert found == []


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: p.stem)
def test_files_stay_readable_in_one_sitting(path):
    assert len(path.read_text().splitlines()) <= 400


TESTS = sorted(Path(__file__).parent.rglob("test_*.py"))


@pytest.mark.parametrize("path", TESTS, ids=lambda p: p.stem)
def test_names_have_at_most_40_characters(path):
    nodes = ast.walk(ast.parse(path.read_text()))
    names = [x.name for x in nodes if isinstance(x, ast.FunctionDef)]
    assert [x for x in names if x.startswith("test_") and len(x) > 40] == []
