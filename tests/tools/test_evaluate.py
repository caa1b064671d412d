"""tools/evaluate.py frames: which files belong together, and what is printed about them."""

import json
import logging
import math
import os
import subprocess
import sys
from pathlib import Path

import cv2
import evaluate
import numpy as np
import pytest
from PIL import Image

TOOL = Path(__file__).parents[2] / "tools" / "evaluate.py"


def save(path: Path, value: int, size: tuple[int, int] = (12, 16)) -> None:
    """A grey image of (height, width)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((*size, 3), value, dtype=np.uint8)).save(path)


@pytest.fixture
def folders(tmp_path):
    """Two clips of one frame; the predictions are 10 and 20 too bright."""
    save(tmp_path / "gt" / "clip_a" / "0.png", 100)
    save(tmp_path / "gt" / "clip_b" / "0.png", 100)
    save(tmp_path / "pred" / "clip_a" / "0.bmp", 110)
    save(tmp_path / "pred" / "clip_b" / "0.png", 120)
    return tmp_path


def run(root: Path, *arguments: str) -> dict:
    folders = ["--pred", str(root / "pred"), "--gt", str(root / "gt")]
    return evaluate.main(["frames", *folders, *arguments])


def test_scores_table_and_json(folders, capsys):
    results = run(folders, "--output", str(folders / "out"))
    assert results["IE"] == pytest.approx(15.0)
    expected = (20 * math.log10(255 / 10) + 20 * math.log10(255 / 20)) / 2
    assert results["PSNR"] == pytest.approx(expected, abs=1e-4)
    printed = capsys.readouterr().out
    assert "| 25.12 |" in " ".join(printed.split())
    assert "- PSNR: " in printed
    content = json.loads((folders / "out" / "results.json").read_text())
    assert content["results"] == results
    assert [(i["file_name"], i["IE"]) for i in content["images"]] == [
        ("clip_a/0", pytest.approx(10.0)),
        ("clip_b/0", pytest.approx(20.0)),
    ]


def test_masks(folders):
    mask = np.zeros((12, 16), dtype=np.uint8)
    mask[:6] = 255
    for clip in ("clip_a", "clip_b"):
        (folders / "mask" / clip).mkdir(parents=True)
        Image.fromarray(mask).save(folders / "mask" / clip / "0.png")
    pred = np.full((12, 16, 3), 140, dtype=np.uint8)
    pred[:6] = 105
    Image.fromarray(pred).save(folders / "pred" / "clip_a" / "0.bmp")
    Image.fromarray(pred).save(folders / "pred" / "clip_b" / "0.png")
    results = run(folders, "--mask", str(folders / "mask"))
    assert results["PSNR_masked"] == pytest.approx(20 * math.log10(255 / 5), abs=1e-4)
    assert results["PSNR_unmasked"] == pytest.approx(20 * math.log10(255 / 40), abs=1e-4)


def test_roi_masks_of_objects(folders):
    """Instance numbers as Cityscapes has them: 1000 is an object, 7 is road."""
    labels = np.full((12, 16), 7, dtype=np.uint16)
    labels[2:8, 4:12] = 1000
    pred = np.full((12, 16, 3), 100, dtype=np.uint8)
    pred[2:8, 4:12] = 105
    for clip, name in (("clip_a", "0.bmp"), ("clip_b", "0.png")):
        (folders / "objects" / clip).mkdir(parents=True)
        cv2.imwrite(str(folders / "objects" / clip / "0_ids.png"), labels)
        Image.fromarray(pred).save(folders / "pred" / clip / name)
    cv2.imwrite(str(folders / "objects" / "other_ids.png"), labels)  # of a frame without truth
    options = ["--roi-masks", str(folders / "objects"), "--roi-masks-pattern", "{id}_ids"]
    results = run(folders, *options, "--roi-above", "999", "--metrics", "sharpness")
    assert results["ROI_IE"] == pytest.approx(5.0)
    assert results["ROI_PSNR"] == pytest.approx(20 * math.log10(255 / 5), abs=1e-4)
    assert run(folders, *options)["ROI_IE"] == pytest.approx(results["IE"])  # road counts


def test_no_object_above_the_value(folders, caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("zoomin_d2"), "propagate", True)
    for clip in ("clip_a", "clip_b"):
        save(folders / "objects" / clip / "0.png", 200)
    results = run(folders, "--roi-masks", str(folders / "objects"), "--roi-above", "200")
    assert "ROI_PSNR" not in results
    assert "None of the 2 images has a ROI" in caplog.text


@pytest.mark.parametrize(
    ("option", "name"), [("--mask", "mask"), ("--roi-masks", "mask of the ROIs")]
)
def test_mask_of_another_size(folders, option, name):
    for clip in ("clip_a", "clip_b"):
        save(folders / "masks" / clip / "0.png", 255, (6, 8))
    words = rf"{option} \S+/masks/clip_a/0.png\): the {name} is \(6, 8\), the frame \(12, 16\)"
    with pytest.raises(ValueError, match=words):
        run(folders, option, str(folders / "masks"))


def test_json_names_the_folders_given(folders):
    gt = str(folders / "gt")
    run(folders, "--mask", gt, "--output", str(folders / "out"))
    content = json.loads((folders / "out" / "results.json").read_text())
    provenance = content["provenance"]
    assert {"commit", "command"} == provenance.keys() - {"pred", "gt", "mask"}
    assert [provenance[x] for x in ("pred", "gt", "mask")] == [str(folders / "pred"), gt, gt]
    assert content.get("dataset") is None


def test_rows_beside_a_models(folders):
    """Named as the evaluator names them; frames may lie in linked folders."""
    (folders / "pred").rename(folders / "elsewhere")
    (folders / "pred").mkdir()
    for clip in ("clip_a", "clip_b"):
        (folders / "pred" / clip).symlink_to(folders / "elsewhere" / clip)
    run(folders, "--dataset", "toy", "--output", str(folders / "out"))
    content = json.loads((folders / "out" / "results.json").read_text())
    assert content["dataset"] == "toy"
    assert [x["file_name"] for x in content["images"]] == ["toy/clip_a/0", "toy/clip_b/0"]


def test_patterns_pick_the_true_frames(tmp_path):
    for clip in ("1", "2"):
        for k, value in enumerate((80, 100, 120)):
            save(tmp_path / "gt" / clip / f"frame_0{k}.png", value)
        save(tmp_path / "pred" / f"{clip}_ours.png", 104)
    results = run(tmp_path, "--gt-pattern", "{id}/frame_01.png", "--pred-pattern", "{id}_ours")
    assert results["MAE"] == pytest.approx(4.0)


def test_a_dot_in_a_pattern_is_a_dot(tmp_path):
    save(tmp_path / "a.t1.png", 1)
    save(tmp_path / "axt1.png", 1)
    assert list(evaluate.find_frames(tmp_path, "{id}.t1")) == ["a"]


def test_missing_and_extra_files_are_named(folders):
    (folders / "pred" / "clip_b" / "0.png").rename(folders / "pred" / "clip_b" / "1.png")
    with pytest.raises(ValueError) as error:
        run(folders)
    assert "1 frames of --gt have no partner in --pred: clip_b/0\n" in str(error.value)
    assert "1 frames of --pred have no partner in --gt: clip_b/1\n" in str(error.value)
    assert "see --pred-pattern and --gt-pattern" in str(error.value)


@pytest.mark.parametrize("option", ["--mask", "--roi-masks"])
def test_missing_masks_are_named(folders, option):
    save(folders / "masks" / "clip_a" / "0.png", 255)
    with pytest.raises(ValueError, match=f"no partner in {option}: clip_b/0") as error:
        run(folders, option, str(folders / "masks"))
    assert f"see {option}-pattern and --gt-pattern" in str(error.value)
    assert "--pred-pattern" not in str(error.value)


def test_two_files_for_one_frame(folders):
    save(folders / "pred" / "clip_a" / "0.png", 1)
    with pytest.raises(ValueError, match=r"0\.png and .*0\.bmp are both the frame 'clip_a/0'"):
        run(folders)


def test_other_sizes_are_named(folders):
    save(folders / "pred" / "clip_b" / "0.png", 1, size=(12, 18))
    with pytest.raises(ValueError, match=r"'clip_b/0' cannot be scored .*12, 18.*12, 16"):
        run(folders)


@pytest.mark.parametrize("kind", ["grey", "rgba", "16-bit", "16-bit grey"])
def test_frames_are_scored_as_8bit_rgb(tmp_path, kind):
    """17 x 33 pixels of 100 against 110."""
    save(tmp_path / "gt" / "0.png", 100, size=(17, 33))
    (tmp_path / "pred").mkdir()
    shape = (17, 33) if "grey" in kind else (17, 33, 4) if kind == "rgba" else (17, 33, 3)
    pixels = np.full(shape, 110 * 257 if "16" in kind else 110)
    pixels = pixels.astype(np.uint16 if "16" in kind else np.uint8)
    assert cv2.imwrite(str(tmp_path / "pred" / "0.png"), pixels)
    assert run(tmp_path)["MAE"] == pytest.approx(10.0)


def test_a_single_pixel_is_named(tmp_path):
    for folder in ("gt", "pred"):
        save(tmp_path / folder / "0.png", 100, size=(1, 1))
    with pytest.raises(ValueError, match=r"'0' cannot be scored.*at least 11 x 11"):
        run(tmp_path)


def test_unreadable_files_are_named(folders):
    (folders / "pred" / "clip_b" / "0.png").write_bytes(b"no image")
    with pytest.raises(ValueError, match=r"'clip_b/0' cannot be scored .*clip_b/0\.png"):
        run(folders)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--gt-pattern", "frame"], "must contain {id} once"),
        (["--gt-pattern", "{id}/nothing"], "no image in .*gt"),
        (["--mask", "nowhere"], "no folder nowhere"),
        (["--roi-above", "9"], "--roi-above has no effect without --roi-masks"),
        (["--mask-pattern", "{id}/m"], "--mask-pattern has no effect without --mask"),
    ],
)
def test_wrong_options(folders, arguments, message):
    with pytest.raises(ValueError, match=message):
        run(folders, *arguments)


def test_unusable_output_is_found_before(folders, monkeypatch):
    monkeypatch.delattr(evaluate, "score_folders")
    with pytest.raises(NotADirectoryError):
        run(folders, "--output", str(folders / "gt" / "clip_a" / "0.png" / "scores"))


@pytest.mark.slow
def test_command_ends_with_a_message(folders):
    (folders / "pred" / "clip_a" / "0.bmp").unlink()
    command = [sys.executable, str(TOOL), "frames", "--pred", "pred", "--gt", "gt"]
    environment = {**os.environ, "PYTHONPATH": str(TOOL.parents[1])}
    done = subprocess.run(command, cwd=folders, env=environment, capture_output=True, text=True)
    assert done.returncode == 2
    assert "no partner in --pred: clip_a/0" in done.stderr
    assert "Traceback" not in done.stderr
