"""Means, the table and the json file."""

import json
import logging
import math

import pytest

from zoomin_d2.evaluation.results import (
    METRICS,
    format_results_table,
    mean_over_images,
    summarize,
    write_results,
)


def test_plain_mean_ignores_other_keys():
    means, counts = mean_over_images(
        [{"file_name": "a", "PSNR": 30.0, "IE": 4.0}, {"file_name": "b", "PSNR": 34.0, "IE": 2.0}]
    )
    assert means == {"PSNR": 32.0, "IE": 3.0}
    assert counts == {"PSNR": 2, "IE": 2}


def test_an_identical_frame_counts_as_100_db():
    means, counts = mean_over_images([{"PSNR": math.inf}, {"PSNR": 30.0}, {"PSNR": 112.0}])
    assert means["PSNR"] == pytest.approx((100 + 30 + 100) / 3)
    assert counts["PSNR"] == 3


def test_masked_numbers_as_dvf_skips():
    images = [{"PSNR_masked": math.inf}, {"PSNR_masked": math.nan}, {"PSNR_masked": 36.0}]
    assert mean_over_images(images) == ({"PSNR_masked": 36.0}, {"PSNR_masked": 1})


def test_images_without_rois_do_not_count():
    images = [{"ROI_PSNR": math.nan, "ROI_IE": math.nan}, {"ROI_PSNR": math.inf, "ROI_IE": 0.0}]
    means, counts = mean_over_images(images)
    assert means == {"ROI_PSNR": 100.0, "ROI_IE": 0.0}
    assert counts == {"ROI_PSNR": 1, "ROI_IE": 1}


def test_no_roi_at_all_is_reported(caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("zoomin_d2"), "propagate", True)
    images = [{"file_name": name, "PSNR": 30.0, "ROI_PSNR": math.nan} for name in "ab"]
    assert summarize(images)["results"] == {"PSNR": 30.0}
    # a set: once, in a whole run of all tests, every handler got the message twice
    assert set(caplog.messages) == {"None of the 2 images has a ROI, so there are no ROI numbers"}
    caplog.clear()
    summarize([*images, {"file_name": "c", "PSNR": 30.0, "ROI_PSNR": 20.0}])
    summarize([{"file_name": "a", "PSNR": 30.0}])  # ROIs are not asked for
    assert caplog.messages == []


def test_undefined_metric_is_absent():
    assert mean_over_images([{"ROI_IE": math.nan, "IE": 1.0}]) == ({"IE": 1.0}, {"IE": 1})


def test_names_survive_detectron2s_table():
    # detectron2.evaluation.print_csv_format leaves out names with a dash.
    assert not [name for name in METRICS if "-" in name]


def test_table_has_decimals_and_conventions():
    table = format_results_table(
        {"average": {"PSNR": 28.0, "SSIM": 0.87944}, "ours": {"PSNR": 35.126}}, "method"
    )
    lines = table.splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[:4]]
    assert cells[0] == ["method", "PSNR (dB)", "SSIM"]
    assert cells[2] == ["average", "28.00", "0.8794"]
    assert cells[3] == ["ours", "35.13", "-"]
    assert lines[-2].startswith("- PSNR: ") and "8-bit" in lines[-2]
    assert lines[-1].startswith("- SSIM: ") and "ssim_matlab" in lines[-1]


def test_json_is_standard_and_complete(tmp_path):
    path = tmp_path / "new_folder" / "results.json"
    write_results(path, {"images": [{"PSNR": math.inf, "ROI_IE": math.nan, "IE": 1.5}]})

    def refuse(constant):
        raise AssertionError(f"{constant} is not standard json")

    content = json.loads(path.read_text(), parse_constant=refuse)
    assert content == {"images": [{"PSNR": "inf", "ROI_IE": None, "IE": 1.5}]}


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "results.json"
    write_results(path, {"PSNR": 30.0})
    with pytest.raises(TypeError):
        write_results(path, {"PSNR": object()})
    assert json.loads(path.read_text()) == {"PSNR": 30.0}
