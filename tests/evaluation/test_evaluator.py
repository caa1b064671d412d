"""InterpolationEvaluator on images whose scores are known."""

import json
import logging
import math

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from detectron2.data.samplers import InferenceSampler
from detectron2.structures import Boxes, Instances
from PIL import Image

from zoomin_d2.evaluation import InterpolationEvaluator

HEIGHT, WIDTH = 16, 20


def make_input(name: str, **extra) -> dict:
    frame = torch.full((3, HEIGHT, WIDTH), 100, dtype=torch.uint8)
    return {
        "file_name": name,
        "frame_1": frame - 20,
        "frame_t": frame,
        "frame_2": frame + 40,
        "t": 0.5,
        "height": HEIGHT,
        "width": WIDTH,
        **extra,
    }


def make_output(offset: int, boxes: list | None = None) -> dict:
    """A prediction that is `offset` of 255 too bright everywhere: IE = MAE = offset."""
    output = {"pred_frame": torch.full((3, HEIGHT, WIDTH), (100 + offset) / 255)}
    if boxes is not None:
        proposals = Instances((HEIGHT, WIDTH))
        proposals.proposal_boxes = Boxes(torch.tensor(boxes).reshape(-1, 4))
        proposals.objectness_logits = torch.zeros(len(boxes))
        output["proposals"] = proposals
    return output


def psnr_of(offset: float) -> float:
    return 10 * math.log10(255**2 / offset**2)


def test_means_over_images():
    evaluator = InterpolationEvaluator("toy")
    evaluator.process([make_input("a"), make_input("b")], [make_output(5), make_output(10)])
    evaluator.process([make_input("c")], [make_output(-20)])
    results = evaluator.evaluate()["interpolation"]
    assert set(results) == {"PSNR", "SSIM", "IE", "MAE", "SSIM_rgb"}
    assert results["PSNR"] == pytest.approx((psnr_of(5) + psnr_of(10) + psnr_of(20)) / 3, abs=1e-4)
    assert results["IE"] == pytest.approx(35 / 3)
    assert results["MAE"] == pytest.approx(35 / 3)


def test_reset_forgets():
    evaluator = InterpolationEvaluator("toy")
    evaluator.process([make_input("a")], [make_output(50)])
    evaluator.reset()
    evaluator.process([make_input("b")], [make_output(10)])
    assert evaluator.evaluate()["interpolation"]["IE"] == pytest.approx(10.0)


def test_mask_gives_both_sides():
    mask = torch.zeros(HEIGHT, WIDTH, dtype=torch.bool)
    mask[:4] = True
    output = make_output(10)
    output["pred_frame"][:, :4] = 105 / 255
    evaluator = InterpolationEvaluator("toy")
    evaluator.process([make_input("a", mask=mask)], [output])
    results = evaluator.evaluate()["interpolation"]
    assert results["PSNR_masked"] == pytest.approx(psnr_of(5), abs=1e-4)
    assert results["PSNR_unmasked"] == pytest.approx(psnr_of(10), abs=1e-4)


def test_roi_numbers_of_images_with_rois(tmp_path):
    output = make_output(10, boxes=[[2.0, 2.0, 8.0, 8.0]])
    output["pred_frame"][:, 2:8, 2:8] = 104 / 255
    evaluator = InterpolationEvaluator("toy", tmp_path)
    evaluator.process([make_input("a"), make_input("b")], [output, make_output(30, boxes=[])])
    results = evaluator.evaluate()["interpolation"]
    assert results["ROI_PSNR"] == pytest.approx(psnr_of(4), abs=1e-4)
    assert results["ROI_IE"] == pytest.approx(4.0)
    content = json.loads((tmp_path / "results.json").read_text())
    assert content["images_counted"]["ROI_PSNR"] == 1
    assert content["images_counted"]["PSNR"] == 2
    assert content["images"][1]["ROI_PSNR"] is None


def test_results_json(tmp_path):
    provenance = {"trained_on": ["clips"], "commit": "abc"}
    evaluator = InterpolationEvaluator("toy", tmp_path, provenance=provenance)
    evaluator.process([make_input("b")], [make_output(0)])
    evaluator.process([make_input("a")], [make_output(10)])
    results = evaluator.evaluate()["interpolation"]
    content = json.loads((tmp_path / "results.json").read_text())
    assert content["dataset"] == "toy"
    assert content["provenance"] == provenance
    assert content["num_images"] == 2
    assert content["results"] == results
    assert set(content["conventions"]) == set(results)
    assert [image["file_name"] for image in content["images"]] == ["a", "b"]
    # The identical frame is infinite by itself and 100 dB in the mean.
    assert content["images"][1]["PSNR"] == "inf"
    assert results["PSNR"] == pytest.approx((psnr_of(10) + 100) / 2, abs=1e-4)


def test_worst_and_best_images_are_saved(tmp_path):
    offsets = {"a": 10, "b": 40, "c": 2, "d": 20, "e": 30}
    evaluator = InterpolationEvaluator("toy", tmp_path, num_saved=6)
    for name, offset in offsets.items():
        evaluator.process([make_input(name)], [make_output(offset)])
    evaluator.evaluate()
    content = json.loads((tmp_path / "results.json").read_text())
    assert content["saved_images"] == {"worst": ["b", "e"], "best": ["c", "a"]}
    expected = {"worst_01": 40, "worst_02": 30, "best_01": 2, "best_02": 10}
    assert {path.stem for path in (tmp_path / "images").iterdir()} == set(expected)
    for stem, offset in expected.items():
        panel = np.asarray(Image.open(tmp_path / "images" / f"{stem}.png"))
        # Two rows and columns of tiles, captions above the tiles.
        middle = panel.shape[0] // 2 - 5
        truth, pred, average = panel[middle, 5], panel[middle, -5], panel[-5, 5]
        assert truth.tolist() == [100] * 3
        assert pred.tolist() == [100 + offset] * 3
        assert average.tolist() == [110] * 3  # (80 + 140) / 2


def test_fewer_images_are_saved_once(tmp_path):
    evaluator = InterpolationEvaluator("toy", tmp_path, num_saved=12)
    evaluator.process([make_input("a"), make_input("b")], [make_output(1), make_output(2)])
    evaluator.evaluate()
    assert {path.name for path in (tmp_path / "images").iterdir()} == {
        "worst_01.png",
        "worst_02.png",
    }


def test_nothing_is_written_without_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    evaluator = InterpolationEvaluator("toy", num_saved=6)
    evaluator.process([make_input("a")], [make_output(1)])
    assert evaluator.evaluate()
    assert list(tmp_path.iterdir()) == []


def test_image_scored_twice_is_an_error():
    evaluator = InterpolationEvaluator("toy")
    evaluator.process([make_input("clip/0")] * 2, [make_output(10), make_output(10)])
    with pytest.raises(ValueError, match="'clip/0' was scored twice"):
        evaluator.evaluate()


def test_bad_predictions_are_named():
    evaluator = InterpolationEvaluator("toy")
    output = make_output(0)
    output["pred_frame"][0, 3, 4] = math.nan
    output["pred_frame"][1, 3, 4] = math.inf
    with pytest.raises(FloatingPointError, match="2 of 960 values predicted for 'clip/7'"):
        evaluator.process([make_input("clip/7")], [output])
    with pytest.raises(ValueError, match=r"'clip/8'.*\(1, 3, 15, 20\).*\(1, 3, 16, 20\)"):
        evaluator.process(
            [make_input("clip/8")], [{"pred_frame": make_output(0)["pred_frame"][:, 1:]}]
        )


@pytest.mark.parametrize("factor", [255.0, -1.0])
def test_predictions_of_another_range(factor):
    output = {"pred_frame": torch.full((3, HEIGHT, WIDTH), 0.7) * factor}
    with pytest.raises(ValueError, match=r"'clip/1' cannot be scored: its predicted frame has va"):
        InterpolationEvaluator("toy").process([make_input("clip/1")], [output])


def test_empty_masks_are_reported(caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("zoomin_d2"), "propagate", True)
    evaluator = InterpolationEvaluator("toy")
    for name, value in (("a", True), ("b", False), ("c", False)):
        mask = torch.full((HEIGHT, WIDTH), value)
        evaluator.process([make_input(name, mask=mask)], [make_output(10)])
    evaluator.evaluate()
    assert "The masks of 2 of 3 images are empty" in caplog.text and "of b" in caplog.text


def test_bad_inputs_are_named():
    evaluator = InterpolationEvaluator("toy")
    no_truth = make_input("clip/9")
    del no_truth["frame_t"]
    with pytest.raises(ValueError, match="'clip/9' has no true frame"):
        evaluator.process([no_truth], [make_output(0)])
    with pytest.raises(ValueError, match=r"'clip/9'.*mask"):
        evaluator.process([make_input("clip/9", mask=torch.ones(2, 2) > 0)], [make_output(0)])
    with pytest.raises(ValueError, match="got 1 outputs for 2 inputs"):
        evaluator.process([make_input("a"), make_input("b")], [make_output(0)])
    with pytest.raises(ValueError, match="num_saved"):
        InterpolationEvaluator("toy", num_saved=-1)


FRAME = torch.full((3, HEIGHT, WIDTH), 100, dtype=torch.uint8)
RANGE = r"floats must be in \[0, 1\]"


@pytest.mark.parametrize(
    "truth, error, message",
    [
        (FRAME.float(), ValueError, f"from 100 to 100; {RANGE}"),
        (FRAME / 255 - 0.5, ValueError, RANGE),
        (torch.full((3, HEIGHT, WIDTH), math.nan), ValueError, f"from nan to nan; {RANGE}"),
        (FRAME[:, :0], ValueError, "no pixels"),
        (FRAME[:1], ValueError, r"\(1, 1, 16, 20\); they must be equal"),
        (torch.cat([FRAME, FRAME[:1]]), ValueError, r"\(1, 4, 16, 20\); they must be equal"),
        (FRAME[None], ValueError, r"\(1, 1, 3, 16, 20\); they must be equal"),
        (FRAME.to(torch.uint16) * 257, TypeError, "uint8 or float in .*, got torch.uint16"),
        (FRAME > 0, TypeError, "got torch.bool"),
    ],
    ids=["255", "negative", "nan", "empty", "grey", "rgba", "batch", "16-bit", "bool"],
)
def test_what_is_no_true_frame_is_named(truth, error, message):
    with pytest.raises(error, match=f"'clip/1' cannot be scored.*{message}"):
        InterpolationEvaluator("toy").process(
            [make_input("clip/1", frame_t=truth)], [make_output(0)]
        )


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float16, torch.float64])
def test_any_dtype_and_memory_layout(dtype):
    truth = FRAME if dtype == torch.uint8 else (FRAME / 255).to(dtype)
    truth = truth.permute(1, 2, 0).contiguous().permute(2, 0, 1)
    assert not truth.is_contiguous()
    evaluator = InterpolationEvaluator("toy")
    evaluator.process([], [])  # an empty batch adds nothing
    evaluator.process([make_input("a", frame_t=truth)], [make_output(10)])
    assert evaluator.evaluate()["interpolation"]["MAE"] == pytest.approx(10.0)


def test_dataset_without_images():
    with pytest.raises(ValueError, match="no image of 'toy' was scored"):
        InterpolationEvaluator("toy").evaluate()


NUM_IMAGES = 5


def _evaluate_share(rank: int, folder: str) -> None:
    """One of two processes: scores its share of five images, image i being i + 1 too bright."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    evaluator = InterpolationEvaluator("toy", f"{folder}/out", num_saved=6)
    for i in InferenceSampler(NUM_IMAGES):
        evaluator.process([make_input(f"clip/{i}")], [make_output(i + 1)])
    results = evaluator.evaluate()
    torch.save(results, f"{folder}/rank_{rank}.pth")
    dist.destroy_process_group()


def test_two_processes_score_each_image_once(tmp_path):
    mp.spawn(_evaluate_share, args=(str(tmp_path),), nprocs=2)
    results = torch.load(tmp_path / "rank_0.pth")["interpolation"]
    assert torch.load(tmp_path / "rank_1.pth") is None
    assert results["IE"] == pytest.approx(3.0)  # (1 + 2 + 3 + 4 + 5) / 5
    content = json.loads((tmp_path / "out" / "results.json").read_text())
    assert [i["file_name"] for i in content["images"]] == [f"clip/{i}" for i in range(NUM_IMAGES)]
    # Both processes saved their share: rank 0 holds images 0..2, rank 1 images 3 and 4.
    assert content["saved_images"] == {"worst": ["clip/4", "clip/3"], "best": ["clip/0", "clip/1"]}
    assert len(list((tmp_path / "out" / "images").iterdir())) == 4
