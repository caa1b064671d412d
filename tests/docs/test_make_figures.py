"""docs/tools/make_figures.py on saved evaluations of known frames."""

import make_figures
import numpy as np
import pytest
import torch
from detectron2.structures import Boxes, Instances
from PIL import Image

from zoomin_d2.evaluation import InterpolationEvaluator
from zoomin_d2.visualization.paper_figures import hardest_rois
from zoomin_d2.visualization.report import find_scores

BOXES = [[0.0, 0.0, 30.0, 30.0], [32.0, 32.0, 62.0, 62.0]]


@pytest.fixture
def sources(tmp_path):
    """Two methods on two images; most moves in the second box of image b."""
    for method, value in (("dark", 90), ("bright", 120)):
        evaluator = InterpolationEvaluator("toy", tmp_path / method / "toy", num_saved=2)
        for name, motion in (("a", 10), ("b", 60)):
            truth = torch.full((3, 64, 64), 100, dtype=torch.uint8)
            frame_2 = truth.clone()
            frame_2[:, 32:62, 32:62] += motion
            sample = {"file_name": name, "frame_1": truth, "frame_t": truth, "frame_2": frame_2}
            output = {"pred_frame": torch.full((3, 64, 64), value / 255)}
            output["proposals"] = Instances((64, 64))
            output["proposals"].proposal_boxes = Boxes(torch.tensor(BOXES))
            evaluator.process([sample], [output])
        evaluator.evaluate()
    return [str(tmp_path / "dark"), str(tmp_path / "bright")]


def make(*words) -> None:
    make_figures.main(make_figures.parse_args([str(word) for word in words]))


def test_the_rois_are_where_most_moves(sources):
    rois = hardest_rois(find_scores(sources), num=5)
    assert [(p.name, p.box) for p in rois] == [("b", (32, 32, 62, 62)), ("a", (32, 32, 62, 62))]
    assert [p.difficulty for p in rois] == [30.0, 5.0]


def test_failures_of_the_last_method(sources, tmp_path, capsys):
    for folder in (tmp_path / "bright" / "toy").rglob("pred_frame.png"):
        pixels = np.full((64, 64, 3), 100, np.uint8)  # right, but for the first box of image a
        if folder.parent.name == "a":
            pixels[:30, :30] = 140
        Image.fromarray(pixels).save(folder)
    make("failures", *sources, "--output", tmp_path / "failures.png", "--num", 1)
    assert "a: (0, 0, 30, 30), bright off by 40.0 of 255" in capsys.readouterr().out
    picture = np.asarray(Image.open(tmp_path / "failures.png"))
    middles = [picture[150, 342 + 232 * column + 110, 0] for column in range(4)]
    assert middles == [100, 100, 90, 140]  # truth, average, dark, bright
    make("failures", *sources[::-1], "--output", tmp_path / "failures.png", "--num", 5)
    assert capsys.readouterr().out.count("dark off by 10.0") == 1  # one scene


def test_rois_show_the_pixels_of_each_method(sources, tmp_path):
    make("rois", *sources, "--output", tmp_path / "rois.png", "--num", 1)
    picture = np.asarray(Image.open(tmp_path / "rois.png"))
    # One row: the whole frame (330 px), truth, average, dark, bright (220 px), with gaps of 12.
    assert picture.shape[1:] == (330 + 4 * 232, 4)
    middles = [picture[150, 342 + 232 * column + 110].tolist() for column in range(4)]
    assert middles == [[v, v, v, 255] for v in (100, 130, 90, 120)]
    assert picture[0, 0, 3] == 0  # nothing behind it


def test_jpeg_gets_a_white_ground(sources, tmp_path):
    make("rois", *sources, "--output", tmp_path / "rois.jpg", "--num", 1)
    assert np.asarray(Image.open(tmp_path / "rois.jpg"))[0, 0].min() > 250


def test_whole_frames_are_drawn(sources, tmp_path):
    make("frames", *sources, "--output", tmp_path / "figure.jpg")
    assert Image.open(tmp_path / "figure.jpg").size[0] > 700


def test_quality_plot(sources, tmp_path):
    output = tmp_path / "fig4.svg"
    make("quality", *sources, "--output", output, "--time", "dark=2.5", "bright=9")
    assert "milliseconds per frame" in output.read_text()
    with pytest.raises(ValueError, match="there are no results of 'nobody'"):
        make("quality", *sources, "--output", output, "--time", "nobody=1")
    with pytest.raises(ValueError, match="fewer than two methods have a cost"):
        make("quality", *sources, "--output", output)


def test_bad_requests_are_named(sources, tmp_path):
    with pytest.raises(ValueError, match=r"should end in one of \.png"):
        make("rois", *sources, "--output", tmp_path / "rois.tiff")
    with pytest.raises(ValueError, match="no results on 'other', only on toy"):
        make("rois", *sources, "--output", tmp_path / "rois.png", "--dataset", "other")
    with pytest.raises(ValueError, match="--model is for rois and teaser, with --dataset"):
        make("rois", *sources, "--output", tmp_path / "rois.png", "--model", "fast")
    with pytest.raises(ValueError, match="no folders"):
        make("rois", "--output", tmp_path / "rois.png")
