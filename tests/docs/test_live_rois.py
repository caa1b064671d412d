"""`make_figures.py rois --model`: which ROIs of a dataset, and the numbers under them."""

import live_rois
import make_figures
import numpy as np
import pytest
import torch
from PIL import Image

from zoomin_d2.evaluation.metrics import roi_psnr
from zoomin_d2.model_zoo.generator_file import save_generator
from zoomin_d2.modeling import build_generator
from zoomin_d2.modeling.generator_options import generator_options

BOXES = torch.tensor([[0, 0, 30, 30], [0, 0, 30, 31], [33, 8, 63, 38]]).float()


def _sample(name, seed):
    generator = torch.Generator().manual_seed(seed)
    frames = torch.randint(0, 256, (3, 3, 48, 64), dtype=torch.uint8, generator=generator)
    frames[:, :, :, 32:] = 128  # only the left moves: the first boxes are the hard ones
    return {**dict(zip(("frame_1", "frame_t", "frame_2"), frames)), "t": 0.5, "file_name": name}


@pytest.fixture
def samples(monkeypatch):
    made = [_sample(f"x/{scene}/{k}", 2 * scene + k) for scene in (1, 2) for k in (0, 1)]
    monkeypatch.setattr(live_rois, "ShippedProposals", lambda: lambda frame: BOXES)
    monkeypatch.setattr(
        live_rois, "build_interpolation_test_loader", lambda cfg, name: [[s] for s in made]
    )
    return made


def test_the_hardest_rois_of_every_scene(samples):
    rois = live_rois.find_rois(["x"], num=9, per_scene=2)
    assert sorted(roi.name for roi in rois) == ["x/1/0", "x/1/1", "x/2/0", "x/2/1"]
    assert all(roi.box in ((0, 0, 30, 30), (0, 0, 31, 31)) for roi in rois)
    difficulties = [roi.difficulty for roi in rois]
    assert difficulties == sorted(difficulties, reverse=True)
    one_each = live_rois.find_rois(["x"], num=9, per_scene=1)
    assert {roi.name.rpartition("/")[0] for roi in one_each} == {"x/1", "x/2"}


def test_numbers_are_those_of_the_roi(samples, small_cfg, tmp_path):
    model = tmp_path / "small.safetensors"
    save_generator(model, build_generator(small_cfg), generator_options(small_cfg), "small")
    rois = live_rois.find_rois(["x"], num=1, per_scene=1)
    (row,) = live_rois.live_rows(["x"], rois, [str(model)], {"zero": lambda pred, truth: 0.0})
    sample = next(s for s in samples if s["file_name"] == rois[0].name)
    average = (sample["frame_1"] / 255 + sample["frame_2"] / 255)[None] / 2
    box = torch.tensor([rois[0].box])
    expected = roi_psnr(average, sample["frame_t"][None], [box]).item()
    assert row.numbers["average"]["PSNR"] == pytest.approx(expected, abs=0.05)
    assert row.numbers["small"]["zero"] == 0
    assert list(row.frames) == ["truth", "average", "DIS flow", "small"]


def test_the_command_writes_the_grid(samples, small_cfg, tmp_path, capsys):
    model = tmp_path / "small.safetensors"
    save_generator(model, build_generator(small_cfg), generator_options(small_cfg), "small")
    words = [
        "rois",
        "--dataset",
        "x",
        "--model",
        model,
        "--num",
        2,
        "--output",
        tmp_path / "rois.webp",
    ]
    make_figures.main(make_figures.parse_args([str(word) for word in words]))
    assert np.asarray(Image.open(tmp_path / "rois.webp")).shape[2] == 4
    assert "DIS flow: PSNR" in capsys.readouterr().out


def test_teaser_shows_one_image_and_its_rois(samples, small_cfg, tmp_path):
    model = tmp_path / "small.safetensors"
    save_generator(model, build_generator(small_cfg), generator_options(small_cfg), "small")
    output = tmp_path / "teaser.png"
    words = ["teaser", "--dataset", "x", "--model", model, "--num", 2, "--output", output]
    with pytest.raises(ValueError, match="the --image to show"):
        make_figures.main(make_figures.parse_args([str(word) for word in words]))
    words += ["--image", "2/1"]
    make_figures.main(make_figures.parse_args([str(word) for word in words]))
    picture = np.asarray(Image.open(output))
    width = 330 + 4 * 232  # of the grid; the frame of 64 x 48 pixels above it is as wide
    assert picture.shape[1] == width and picture[width * 48 // 64 - 2, 0, 3] == 255
    with pytest.raises(ValueError, match="no image of x is called '7/7'"):
        live_rois.live_teaser(["x"], "7/7", str(model), 2, {})


def test_no_roi_at_all_is_said(samples, monkeypatch):
    monkeypatch.setattr(live_rois, "ShippedProposals", lambda: lambda frame: BOXES[:0])
    with pytest.raises(ValueError, match="no frame of x has a proposal"):
        live_rois.find_rois(["x"], num=1, per_scene=1)
