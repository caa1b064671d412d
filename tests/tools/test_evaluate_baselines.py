"""tools/evaluate_baselines.py on a dataset of constant frames, and on Middlebury where it is."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
from detectron2.data import DatasetCatalog
from PIL import Image

from zoomin_d2.data import MissingDatasetError

TOOL = Path(__file__).parents[2] / "tools" / "evaluate_baselines.py"
IN_THIS_PROCESS = ["--opts", "DATALOADER.NUM_WORKERS", "0", "TEST.NUM_SAVED_IMAGES", "1"]


@pytest.fixture(scope="module")
def tool():
    spec = importlib.util.spec_from_file_location("evaluate_baselines", TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def constant_frames(tmp_path):
    """A dataset of two triplets: grey levels 80, 104, 120 and 80, 106, 120."""
    records = []
    for middle in (104, 106):
        frames = []
        for k, value in enumerate((80, middle, 120)):
            frames.append(str(tmp_path / f"{middle}_{k}.png"))
            Image.fromarray(np.full((32, 48, 3), value, dtype=np.uint8)).save(frames[-1])
        name = f"constant_frames/{middle}"
        records.append({"file_name": name, "frames": frames, "height": 32, "width": 48})
    DatasetCatalog.register("constant_frames", lambda: records)
    yield "constant_frames"
    DatasetCatalog.remove("constant_frames")


def test_scores_of_constant_frames(tool, constant_frames, tmp_path, capsys):
    args = ["--dataset", constant_frames, "--output-dir", str(tmp_path / "out"), *IN_THIS_PROCESS]
    results = tool.main(tool.parse_args(args))[constant_frames]
    assert list(results) == ["average", "nearest", "dis"]
    assert results["average"]["IE"] == pytest.approx(5.0)  # 100 against 104 and 106
    assert results["nearest"]["IE"] == pytest.approx(25.0)  # 80 against 104 and 106
    assert "ROI_PSNR" not in results["average"]
    assert "| nearest |" in capsys.readouterr().out
    folder = tmp_path / "out" / "average" / constant_frames
    content = json.loads((folder / "results.json").read_text())
    assert content["provenance"]["method"] == "average"
    assert content["results"] == results["average"]
    assert (folder / "images" / "worst_01.png").is_file()


def test_baselines_can_be_chosen(tool, constant_frames, tmp_path):
    args = ["--dataset", constant_frames, "--baseline", "average", "--output-dir", str(tmp_path)]
    assert list(tool.main(tool.parse_args(args + IN_THIS_PROCESS))[constant_frames]) == ["average"]


def test_middlebury_known_answers(tool, tmp_path):
    try:
        DatasetCatalog.get("middlebury_other")
    except MissingDatasetError:
        pytest.skip("the known answers need middlebury_other below DETECTRON2_DATASETS")
    args = ["--dataset", "middlebury_other", "--output-dir", str(tmp_path), *IN_THIS_PROCESS]
    results = tool.main(tool.parse_args(args))["middlebury_other"]
    average, dis = results["average"], results["dis"]
    assert average["PSNR"] == pytest.approx(28.00, abs=0.005)
    assert average["SSIM"] == pytest.approx(0.879, abs=0.0005)
    assert average["IE"] == pytest.approx(11.47, abs=0.005)
    assert average["MAE"] == pytest.approx(5.74, abs=0.005)
    assert average["SSIM_rgb"] == pytest.approx(0.799, abs=0.0005)
    # The flow differs in the last digits between versions of OpenCV.
    assert dis["PSNR"] == pytest.approx(34.21, abs=0.02)
    assert dis["SSIM"] == pytest.approx(0.971, abs=0.001)
