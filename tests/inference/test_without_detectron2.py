"""Using models needs no Detectron2, nor what only training or only POSIX has."""

import json
import subprocess
import sys

import pytest


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """What tests/inference/without_detectron2.py prints; one process, for importing is slow."""
    folder = tmp_path_factory.mktemp("without")
    command = [sys.executable, "-m", "tests.inference.without_detectron2", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_the_class(results):
    assert results["models"]["shape"] == [40, 56, 3]
    assert {"fast", "paper"} <= set(results["models"]["names"])


def test_the_command(results):
    assert results["command"]["code"] == 0
    assert "6 -> 12 frames" in results["command"]["errors"]


def test_the_video_room(results):
    assert results["video"]["frames"] == 18


def test_the_app(results):
    assert "6 \u2192 12 frames" in results["app"]["words"]
    assert results["app"]["page"] == (
        "zoomin-app needs the package 'gradio': pip install 'zoomin_d2[app]'"
    )


def test_no_config_is_imported(results):
    assert results["config_imported"] is False


def test_drawing_says_what_to_install(results):
    assert results["proposals"]["code"] == 2
    assert results["proposals"]["errors"].splitlines()[-1] == (
        "zoomin-interpolate: drawing proposals needs the package 'detectron2': pip install "
        "'zoomin_d2[train]', and Detectron2 (README, Install)"
    )


def test_export(results):
    assert results["exported"] == {"files": True, "errors": ""}
    assert results["not_exported"]["files"] is False
    assert results["not_exported"]["errors"] == (
        "export_model.py: the format safetensors needs the package 'detectron2': pip install "
        "'zoomin_d2[train]', and Detectron2 (README, Install)\n"
    )


@pytest.mark.parametrize("way", ["train", "engine"])
def test_training_says_what_to_install(results, way):
    assert results[way] == (
        "training needs the package 'detectron2': pip install 'zoomin_d2[train]', and Detectron2 "
        "(README, Install)"
    )
