"""tools/compare_rois.py: which ROIs, what numbers, what the sheet looks like."""

import json

import compare_rois
import cv2
import pytest
import torch
from detectron2.structures import Boxes, Instances

from zoomin_d2.evaluation.metrics import roi_psnr
from zoomin_d2.model_zoo.generator_file import save_generator
from zoomin_d2.modeling import build_generator
from zoomin_d2.modeling.generator_options import generator_options


class TwoBoxes:
    """Instead of a detector: three boxes, the first two nearly the same."""

    pixel_mean = torch.zeros(1)

    def __init__(self, cfg):
        pass

    def to(self, device):
        return self

    def proposals(self, frames):
        boxes = [[0.0, 0.0, 24.0, 24.0], [0.0, 0.0, 24.0, 25.0], [40.0, 8.0, 60.0, 40.0]]
        size = tuple(frames.shape[-2:])
        return [Instances(size, proposal_boxes=Boxes(torch.tensor(boxes))) for _ in frames]


def _sample(name, seed):
    generator = torch.Generator().manual_seed(seed)
    frames = torch.randint(0, 256, (3, 3, 48, 64), dtype=torch.uint8, generator=generator)
    frames[:, :, :, 32:] = 128  # only the left moves: the first boxes are the hard ones
    return {**dict(zip(("frame_1", "frame_t", "frame_2"), frames)), "t": 0.5, "file_name": name}


@pytest.fixture
def run(small_cfg, tmp_path, monkeypatch):
    samples = [_sample(f"x/{scene}/{k}", 2 * scene + k) for scene in (1, 2) for k in (0, 1)]
    path = tmp_path / "small.safetensors"
    save_generator(path, build_generator(small_cfg), generator_options(small_cfg), "small")
    monkeypatch.setattr(compare_rois, "FrozenRPN", TwoBoxes)
    monkeypatch.setattr(
        compare_rois, "build_interpolation_test_loader", lambda cfg, name: [[s] for s in samples]
    )
    args = ["--dataset", "x", "--model", str(path), "--device", "cpu", "--num", "3"]
    args += ["--per-scene", "2", "--zoom-size", "64", "--output", str(tmp_path / "out")]
    return compare_rois.main(compare_rois.parse_args(args)), samples, tmp_path / "out"


def test_hardest_first_and_no_roi_twice(run):
    rois, _, folder = run
    assert len(rois) == 8  # of every frame one of the two equal boxes, and the third
    hardness = [roi["hardness"] for roi in rois]
    assert hardness == sorted(hardness)
    assert all(roi["box"][0] == 0 for roi in rois[:4])
    assert all(roi["box"][0] == 40 for roi in rois[4:])
    written = json.loads((folder / "rois.json").read_text())["rois"]
    assert [r["file_name"] for r in written] == [r["file_name"] for r in rois]
    assert "frames" not in written[0]


def test_numbers_are_those_of_the_roi(run):
    rois, samples, _ = run
    roi = rois[0]
    sample = next(s for s in samples if s["file_name"] == roi["file_name"])
    average = (sample["frame_1"] / 255 + sample["frame_2"] / 255)[None] / 2
    box = torch.tensor([roi["box"]])
    expected = roi_psnr(average, sample["frame_t"][None], [box]).item()
    assert roi["methods"]["average"]["PSNR"] == pytest.approx(expected, abs=0.05)
    assert set(roi["methods"]) == {"average", "DIS flow", "small"}
    assert roi["methods"]["average"]["sharpness"] > 0


def test_one_row_per_roi_one_column_per_method(run):
    _, _, folder = run
    (path,) = sorted(folder.glob("*.png"))
    picture = cv2.imread(str(path))
    columns, rows = 5, 3  # place, average, DIS, small, truth
    assert abs(picture.shape[1] - columns * 64) < columns * 8
    assert picture.shape[0] > rows * 64


def test_at_most_so_many_of_one_scene():
    rois = [{"file_name": f"x/{scene}/{k}"} for scene in "aab" for k in range(2)]
    chosen = compare_rois.choose(rois, num=4, per_scene=1)
    assert [r["file_name"] for r in chosen] == ["x/a/0", "x/b/0"]
    assert len(compare_rois.choose(rois, num=3, per_scene=9)) == 3
