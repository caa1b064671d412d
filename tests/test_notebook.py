"""The notebook runs from its first to its last cell, on a CPU, and shows what it says."""

import json
import os
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow  # runs a notebook

NOTEBOOK = Path(__file__).parents[1] / "notebooks/zoomin_d2.ipynb"


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    """Every output of the executed notebook, in order."""
    nbformat = pytest.importorskip("nbformat", reason="needs the dev extra")
    nbclient = pytest.importorskip("nbclient", reason="needs the dev extra")
    pytest.importorskip("ipykernel", reason="needs the dev extra")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    folder = tmp_path_factory.mktemp("notebook")  # where it writes its video
    resources = {"metadata": {"path": str(folder)}}
    client = nbclient.NotebookClient(notebook, timeout=300, resources=resources)
    client.execute(env={**os.environ, "CUDA_VISIBLE_DEVICES": "", "MPLBACKEND": ""})
    return [output for cell in notebook.cells for output in cell.get("outputs", [])]


def test_it_runs_and_shows(outputs):
    text = "".join(output.get("text", "") for output in outputs)
    assert "average: PSNR" in text
    assert "10 frames at 50 fps" in text
    kinds = [kind for output in outputs for kind in output.get("data", {})]
    assert kinds.count("image/png") == 4
    assert any("<video" in output.get("data", {}).get("text/html", "") for output in outputs)


def test_it_is_kept_without_outputs():
    cells = json.loads(NOTEBOOK.read_text())["cells"]
    assert [c for c in cells if c.get("outputs") or c.get("execution_count")] == []
