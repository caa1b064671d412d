"""What the integrations import: rooms that need no Detectron2, and the program they serve."""

import ast
import sys
from pathlib import Path

from tests.test_rooms import FREE

FOLDER = Path(__file__).parents[2] / "integrations"
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
