"""Saved results in, the report's folder out: names, numbers, pictures, errors."""

import json
import math
import re
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from zoomin_d2.evaluation import METRICS
from zoomin_d2.visualization.report import find_scores, write_report
from zoomin_d2.visualization.report.page import _best


def read_data(page) -> dict:
    text = page.read_text()
    return json.loads(re.search(r'id="data">(.*?)</script>', text, re.DOTALL)[1])


def psnr_of(offset: float) -> float:
    return 10 * math.log10(255**2 / offset**2)


def test_methods_are_named_by_folder_or_user(results):
    scores = find_scores([str(results / "fast"), f"mine={results / 'slow'}"])
    assert [(x.method, x.dataset) for x in scores] == [("fast", "toy_dev"), ("mine", "toy_dev")]
    assert {x.method for x in find_scores([str(results)])} == {
        f"{results.name}/{method}" for method in ("fast", "slow", "still")
    }
    # A single file, and identical frames (json has no inf).
    file = results / "fast/inference/toy_dev/results.json"
    assert find_scores([str(file)])[0].images["clip/0"].keys() >= {"PSNR", "SSIM", "ROI_PSNR"}


def test_names_may_have_an_equals_sign(results, tmp_path):
    shutil.copytree(results / "fast", tmp_path / "lr=1e-4")
    path = str(tmp_path / "lr=1e-4")
    assert [x.method for x in find_scores([path])] == ["lr=1e-4"]
    assert [x.method for x in find_scores([f"t=0.5={path}"])] == ["t=0.5"]


def test_what_is_no_result_is_named(results, tmp_path):
    with pytest.raises(ValueError, match=r"there is no results\.json in '.*nowhere'"):
        find_scores([str(tmp_path / "nowhere")])
    with pytest.raises(ValueError, match="are both 'fast' on 'toy_dev'"):
        find_scores([str(results / "fast"), f"fast={results / 'slow'}"])
    (tmp_path / "results.json").write_text('{"images": 3}')
    with pytest.raises(ValueError, match=r"results\.json is not the result of an evaluation"):
        find_scores([str(tmp_path)])


def test_numbers_and_pictures_of_the_report(results, tmp_path):
    scores = find_scores([str(results / m) for m in ("fast", "slow", "still")])
    page = write_report(tmp_path / "report", scores, METRICS)
    dataset = read_data(page)["datasets"][0]
    assert dataset["methods"] == ["fast", "slow", "still"]
    assert dataset["names"] == ["clip/0", "clip/1", "clip/2"]
    assert dataset["numbers"]["PSNR"][0][2] == pytest.approx(psnr_of(20), abs=1e-4)
    assert len(dataset["triplets"]) == 2  # the frames of two of three images were saved
    triplet = dataset["triplets"][0]
    # The ROI's own PSNR: fast is 2 of 255 off there, though 4 elsewhere; the average not at all.
    roi = triplet["rois"][0]
    assert roi["box"] == [8, 8, 40, 40]
    assert [m["PSNR"] for m in roi["methods"]] == pytest.approx(
        [psnr_of(2), psnr_of(8), psnr_of(20)], abs=1e-4
    )
    assert roi["average"]["PSNR"] is None
    # Pictures are the very pixels.
    source = scores[0].saved_frames[triplet["name"]]
    for key, name in (("truth", "frame_t"), ("frame_1", "frame_1")):
        shown = np.asarray(Image.open(page.parent / triplet["pictures"][key]))
        assert np.array_equal(shown, np.asarray(Image.open(source / f"{name}.png")))
    fast, _, still = triplet["methods"]
    assert set(fast["pictures"]) == {"pred", "error", "flow_1t", "flow_2t", "blend_mask"}
    assert set(still["pictures"]) == {"pred", "error"}
    assert fast["longest_flow"] == pytest.approx(math.hypot(3, 3), abs=1e-2)
    for url in [*fast["pictures"].values(), *triplet["pictures"].values()]:
        assert (page.parent / url).is_file()


def test_a_frame_identical_to_the_truth(save_evaluation, tmp_path):
    save_evaluation(tmp_path / "perfect", inside=0, elsewhere=0, maps=False)
    page = write_report(tmp_path / "report", find_scores([str(tmp_path / "perfect")]), METRICS)
    dataset = read_data(page)["datasets"][0]
    assert dataset["numbers"]["PSNR"] == [["identical"]] * 3
    assert dataset["triplets"][0]["methods"][0]["scores"]["PSNR"] is None


def test_best_values_are_marked(results, tmp_path):
    scores = find_scores([str(results / m) for m in ("fast", "slow", "still")])
    text = write_report(tmp_path / "report", scores, METRICS).read_text()
    best = re.findall(r'<tr><td title="[^"]*">(\w+)</td>(.*?)</tr>', text)
    marked = {method: row.count("best") for method, row in best}
    assert marked["still"] == 0
    assert marked["fast"] >= 4  # PSNR, IE, MAE, ROI_PSNR, ROI_IE: higher and lower


def test_means_of_other_images_have_no_best(results, tmp_path):
    scores = find_scores([str(results / m) for m in ("fast", "slow", "still")])
    scores[1].images.popitem()
    scores[1].provenance = {"pred": "their/frames", "gt": "truth"}
    text = write_report(tmp_path / "report", scores, METRICS).read_text()
    assert "scored on different images, so their means cannot be compared" in text
    assert 'class="number best"' not in text
    assert '<td title="their/frames · truth">slow</td>' in text


def test_rois_are_proposed_if_none_saved(results, tmp_path):
    page = write_report(
        tmp_path / "report",
        find_scores([str(results / "still")]),
        METRICS,
        propose=lambda frame: torch.tensor([[0.0, 0.0, frame.shape[2], 10.0]]),
        roi_metrics={"largest": lambda pred, truth: (pred.int() - truth.int()).abs().max().item()},
    )
    roi = read_data(page)["datasets"][0]["triplets"][0]["rois"][0]
    assert roi["box"] == [0, 0, 128, 10]
    assert roi["methods"][0]["largest"] == 20


def test_file_names_cannot_end_the_script(results, tmp_path):
    shutil.copytree(results / "still", tmp_path / "still")
    file = tmp_path / "still/inference/toy_dev/results.json"
    file.write_text(file.read_text().replace("clip/0", "</script><script>alert(1)</script>"))
    page = write_report(tmp_path / "report", find_scores([str(tmp_path / "still")]), METRICS)
    assert "<script>alert" not in page.read_text()
    assert "</script><script>alert(1)</script>" in read_data(page)["datasets"][0]["names"]


def test_report_replaces_only_a_report(results, tmp_path):
    scores = find_scores([str(results / "fast")])
    output = tmp_path / "report"
    write_report(output, scores, METRICS)
    (output / "images/0/7").mkdir()
    write_report(output, scores, METRICS)
    assert not (output / "images/0/7").exists()
    holiday = tmp_path / "holiday"
    (holiday / "images").mkdir(parents=True)
    (holiday / "images/beach.jpg").write_text("sand")
    with pytest.raises(ValueError, match="is not a report: nothing was written"):
        write_report(holiday, scores, METRICS)
    assert [str(x.relative_to(holiday)) for x in sorted(holiday.rglob("*"))] == [
        "images",
        "images/beach.jpg",
    ]


def test_methods_of_other_data_are_refused(results, tmp_path):
    shutil.copytree(results / "slow", tmp_path / "slow")
    for path in (tmp_path / "slow").rglob("frame_t.png"):
        Image.new("RGB", (128, 96)).save(path)
    scores = find_scores([str(results / "fast"), str(tmp_path / "slow")])
    with pytest.raises(ValueError, match=r"true frames of .* differ"):
        write_report(tmp_path / "report", scores, METRICS)


def test_best_sharpness_is_the_truths():
    def scores(value):
        return SimpleNamespace(means={"sharpness": value})

    over, under = scores(1.2), scores(0.9)
    assert _best([over, under], "sharpness", METRICS["sharpness"]) == 0.9
