"""What the integrations import: rooms that need no Detectron2, and the program they serve."""

import ast
import importlib
import sys
from pathlib import Path

import pytest

from tests.test_rooms import FREE

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "integrations"
OTHERS = {"comfy", "numpy", "torch", "vapoursynth", "zoomin"}


def test_integrations_need_no_detectron2():
    files = [x for x in FOLDER.rglob("*") if x.suffix in (".py", ".vpy")]
    assert len(files) == 4
    for file in files:
        for node in ast.walk(ast.parse(file.read_text())):
            names = [x.name for x in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module]
            for name in names:
                first, _, rest = name.partition(".")
                if first == "zoomin_d2" and rest:
                    assert rest.split(".")[0] in FREE, (file, name)
                elif first != "zoomin_d2":
                    assert first in OTHERS | set(sys.stdlib_module_names), name


@pytest.mark.parametrize("folder", ["integrations", "examples", "tools", "projects", "docs"])
def test_imported_names_exist(folder):
    """Also where what a file serves, such as VapourSynth, is missing, and the file cannot run."""
    files = [x for x in (ROOT / folder).rglob("*") if x.suffix in (".py", ".vpy")]
    found = 0
    for file in files:
        for node in ast.walk(ast.parse(file.read_text())):
            if not isinstance(node, ast.ImportFrom) or (node.module or "")[:9] != "zoomin_d2":
                continue
            found += 1
            module = importlib.import_module(node.module)
            for name in (x.name for x in node.names):
                if not hasattr(module, name):  # a module, or there is none
                    importlib.import_module(f"{node.module}.{name}")
    assert found
