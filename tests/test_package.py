"""The wheel, installed outside of the repository: what is in it works there."""

import ast
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

import zoomin_d2
from tests.test_rooms import FREE, run_at_import

pytestmark = pytest.mark.slow  # builds and installs the wheel

REPOSITORY = Path(__file__).parents[1]

# Run in a folder of its own, by a Python that knows the wheel and not the repository.
USE_IT = """
import sys
import numpy as np, torch
import zoomin_d2
from zoomin_d2 import Interpolator, get_zoomin_cfg
from zoomin_d2.evaluation import METRICS, InterpolationEvaluator
from zoomin_d2.modeling import build_generator
from zoomin_d2.modeling.frozen_rpn import FrozenRPN
from zoomin_d2.visualization.report import find_scores, write_report

assert zoomin_d2.__file__.startswith(sys.prefix), zoomin_d2.__file__
cfg = get_zoomin_cfg()
cfg.MODEL.DEVICE = "cpu"
FrozenRPN(cfg)  # its config and weights ship
frames = [np.full((40, 56, 3), value, dtype=np.uint8) for value in (50, 150)]
models = Interpolator.available()
for name in models:
    assert Interpolator.from_pretrained(name, device="cpu")(*frames).shape == (40, 56, 3)
middle = Interpolator(build_generator(cfg), device="cpu")(*frames)
assert middle.dtype == np.uint8 and middle.shape == (40, 56, 3)
evaluator = InterpolationEvaluator("toy", "out/toy", num_saved=1)
frame = torch.from_numpy(middle).permute(2, 0, 1)
sample = {"file_name": "a", "frame_1": frame, "frame_t": frame, "frame_2": frame}
evaluator.process([sample], [{"pred_frame": frame}])
evaluator.evaluate()
page = write_report("report", find_scores(["out"]), METRICS)
assert (page.parent / "assets/vendor/sortable/LICENSE").is_file()
print("works with", len(models), "generators")
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    # A copy: building in place would leave a build/lib that goes into every later wheel.
    source = folder / "source"
    ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
    shutil.copytree(REPOSITORY / "zoomin_d2", source / "zoomin_d2", ignore=ignored)
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(REPOSITORY / name, source)
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    options = ["--no-deps", "--no-build-isolation", "--wheel-dir", str(folder)]
    subprocess.run([*pip, "wheel", *options, str(source)], check=True)
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def environment(wheel, tmp_path_factory):
    """A virtual environment with the wheel; dependencies come from the environment of the tests."""
    folder = tmp_path_factory.mktemp("venv")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    python = folder / "bin/python"
    purelib = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    # A path of a .pth file is searched, but its own .pth files are not read: the editable
    # installation of the repository stays unseen.
    Path(purelib, "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "--python", str(python), "install", "--no-deps", str(wheel)], check=True)
    return folder


def outside() -> dict[str, str]:
    """The environment without what would lead back to the repository."""
    return {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}


# Where a package is imported by another name than it is installed by.
INSTALLED_AS = {"cv2": "opencv-python-headless", "PIL": "pillow", "yaml": "pyyaml"}


def imported_by_users() -> set[str]:
    """Packages that the rooms import which users need; those that only extras bring left out."""
    found = set()
    for path in (REPOSITORY / "zoomin_d2").rglob("*.py"):
        if path.relative_to(REPOSITORY / "zoomin_d2").parts[0].removesuffix(".py") in FREE:
            for node in run_at_import(ast.parse(path.read_text())):
                if isinstance(node, ast.Import):
                    found |= {name.name.split(".")[0] for name in node.names}
                elif isinstance(node, ast.ImportFrom) and node.module:
                    found.add(node.module.split(".")[0])
    return found - set(sys.stdlib_module_names) - {"triton", "zoomin_d2"}  # Triton: torch's own


def test_contents_and_metadata(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        metadata = next(n for n in names if n.endswith(".dist-info/METADATA"))
        text = archive.read(metadata).decode()
    assert "zoomin_d2/py.typed" in names
    assert not [n for n in names if n.startswith(("tests/", "tools/", "examples/"))]
    shipped = {p.name for p in (REPOSITORY / "zoomin_d2/model_zoo/weights").iterdir()}
    assert {n.split("/")[-1] for n in names if "/model_zoo/weights/" in n} == shipped
    assert f"Version: {zoomin_d2.__version__}\n" in text
    extras = set(re.findall(r"^Provides-Extra: (\w+)$", text, re.MULTILINE))
    assert extras == {"app", "dev", "onnx", "openvino", "train", "vfx"}
    needs = re.findall(r"^Requires-Dist: ([\w.-]+)(.*)$", text, re.MULTILINE)
    always = {name.lower() for name, rest in needs if "extra ==" not in rest}
    assert always == {
        *("av", "filelock", "natsort", "numpy", "opencv-python-headless", "pillow", "pyyaml"),
        *("safetensors", "tabulate", "torch", "tqdm"),
    }
    assert always >= {INSTALLED_AS.get(name, name) for name in imported_by_users()}


def test_python_api_outside_the_repository(environment, tmp_path):
    done = subprocess.run(
        [environment / "bin/python", "-c", USE_IT],
        cwd=tmp_path,
        env=outside(),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "works with" in done.stdout


@pytest.mark.parametrize("script", ["zoomin-app", "zoomin-interpolate"])
def test_console_scripts_start(environment, tmp_path, script):
    done = subprocess.run(
        [environment / "bin" / script, "--help"],
        cwd=tmp_path,
        env=outside(),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert f"usage: {script}" in done.stdout
