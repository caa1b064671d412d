"""The detector is frozen, converts colours in one place, and gives proposals and features."""

import pickle

import pytest
import torch
from detectron2.layers import FrozenBatchNorm2d
from detectron2.modeling import build_model
from detectron2.modeling.proposal_generator import RPN
from safetensors.torch import save_file
from torchvision.ops import batched_nms

from zoomin_d2.modeling import FrozenRPN, load_detector_config
from zoomin_d2.modeling.batched_nms import keep_after_nms
from zoomin_d2.modeling.batched_rpn import BatchedRPN
from zoomin_d2.modeling.frozen_rpn import build_frozen_rpn


@pytest.fixture
def frozen_rpn(small_cfg):
    torch.manual_seed(0)
    return FrozenRPN(small_cfg)


def test_nothing_trains_it(frozen_rpn):
    before = {k: v.clone() for k, v in frozen_rpn.state_dict().items()}
    frozen_rpn.train()
    assert not any(m.training for m in frozen_rpn.modules())
    frames = torch.rand(1, 3, 64, 96, requires_grad=True)
    features = frozen_rpn.features(frames, ["rpn", "p3", "res2"])
    sum(x.square().mean() for x in features.values()).backward()
    assert all(p.grad is None for p in frozen_rpn.parameters())
    assert frames.grad.abs().sum() > 0  # through it, into the frame
    assert all(torch.equal(v, before[k]) for k, v in frozen_rpn.state_dict().items())


def test_the_one_that_ships_runs_anywhere(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    shipped = build_frozen_rpn()
    assert next(shipped.parameters()).device.type == "cpu"
    assert shipped.proposals(torch.rand(1, 3, 64, 64))[0].proposal_boxes.tensor.shape[1] == 4


def test_feature_names(frozen_rpn):
    features = frozen_rpn.features(torch.rand(1, 3, 64, 96), ["rpn", "p2", "res4"])
    assert set(features) == {"rpn_p2", "rpn_p3", "rpn_p4", "rpn_p5", "rpn_p6", "p2", "res4"}
    assert features["p2"].shape[-2:] == (16, 24)
    assert features["res4"].shape[-2:] == (4, 6)
    with pytest.raises(ValueError, match=r"'c9'.*res2"):
        frozen_rpn.features(torch.rand(1, 3, 64, 96), ["c9"])


def test_proposals_are_inside_and_sorted(frozen_rpn):
    proposals = frozen_rpn.proposals(torch.rand(2, 3, 100, 130))
    assert len(proposals) == 2
    for instances in proposals:
        assert 0 < len(instances) <= 4
        assert instances.image_size == (100, 130)
        boxes = instances.proposal_boxes.tensor
        assert (boxes >= 0).all() and (boxes[:, 2] <= 130).all() and (boxes[:, 3] <= 100).all()
        assert (boxes[:, 2:] - boxes[:, :2] >= 16).all()
        scores = instances.objectness_logits
        assert torch.equal(scores, scores.sort(descending=True).values)


def _choose(frozen_rpn, boxes, scores):
    """Of one frame of 100 x 100, what the RPN chooses of decoded boxes."""
    rpn = frozen_rpn.proposal_generator
    rpn._decode_proposals = lambda _anchors, deltas: deltas
    return rpn.predict_proposals([], [torch.tensor([scores])], [boxes[None]], [(100, 100)])


def test_boxes_are_enlarged_about_center(frozen_rpn):
    boxes = torch.tensor([[40.0, 40, 60, 80], [10, 10, 25, 90], [0, 0, 50, 50]])
    (selected,) = frozen_rpn._enlarge(_choose(frozen_rpn, boxes, [3.0, 2.0, 1.0]))
    # 20 x 40 -> 24 x 48; the second is 15 wide; the third is clipped at the frame's corner.
    expected = torch.tensor([[38.0, 36, 62, 84], [0, 0, 55, 55]])
    assert torch.allclose(selected.proposal_boxes.tensor, expected)
    assert selected.objectness_logits.tolist() == [3, 1]


def test_proposals_are_those_of_detectron2(frozen_rpn, monkeypatch):
    """Without enlarging, what Detectron2's own RPN gives, image by image."""
    torch.manual_seed(1)
    frames = torch.rand(3, 3, 96, 128)
    frozen_rpn.enlarge = 1.0
    frozen_rpn.proposal_generator.min_box_size = 40.0
    ours = frozen_rpn.proposals(frames)
    monkeypatch.setattr(BatchedRPN, "predict_proposals", RPN.predict_proposals)
    theirs = frozen_rpn.proposals(frames)
    for mine, reference in zip(ours, theirs):
        reference = reference[: len(mine)]
        assert len(mine) == 4
        torch.testing.assert_close(mine.proposal_boxes.tensor, reference.proposal_boxes.tensor)
        torch.testing.assert_close(mine.objectness_logits, reference.objectness_logits)


def test_small_boxes_keep_larger_ones(frozen_rpn):
    boxes = torch.tensor([[10.0, 10, 25.5, 30], [10, 10, 27, 30]])  # 15.5 and 17 px wide, IoU 0.91
    (selected,) = _choose(frozen_rpn, boxes, [9.0, 1.0])
    assert selected.objectness_logits.tolist() == [1.0]


def test_nonfinite_boxes_are_left_out(frozen_rpn):
    boxes = torch.tensor([[0.0, 0, 50, 50], [torch.nan, 0, 60, 60], [40, 40, 99, 99]])
    (selected,) = _choose(frozen_rpn, boxes, [1.0, 9.0, torch.inf])
    assert selected.objectness_logits.tolist() == [1.0]


def test_batched_nms_is_greedy_nms():
    torch.manual_seed(0)
    corner = torch.rand(4, 200, 2) * 50
    boxes = torch.cat((corner, corner + 5 + torch.rand(4, 200, 2) * 30), dim=2)
    levels = torch.randint(0, 3, (4, 200))
    keep = keep_after_nms(boxes, levels, 0.5)
    scores = torch.arange(200, 0, -1.0)
    for n in range(4):
        expected = batched_nms(boxes[n], scores, levels[n], 0.5).sort().values
        assert torch.equal(keep[n].nonzero().flatten(), expected)
    assert 0 < keep.sum() < keep.numel()


def test_no_proposals_give_no_boxes(frozen_rpn):
    frozen_rpn.proposal_generator.min_box_size = 1e6
    proposals = frozen_rpn.proposals(torch.rand(1, 3, 64, 64))
    assert len(proposals[0]) == 0
    assert proposals[0].proposal_boxes.tensor.shape == (0, 4)


def test_merging_keeps_the_better_box(frozen_rpn):
    from detectron2.structures import Boxes, Instances

    def instances(boxes, scores):
        result = Instances((100, 100))
        result.proposal_boxes = Boxes(torch.tensor(boxes))
        result.objectness_logits = torch.tensor(scores)
        return result

    one = instances([[0.0, 0, 20, 20], [50, 50, 90, 90]], [1.0, 0.5])
    two = instances([[0.0, 0, 20, 21]], [2.0])
    merged = frozen_rpn.merge_proposals([one], [two])[0]
    assert merged.proposal_boxes.tensor.tolist() == [[0, 0, 20, 21], [50, 50, 90, 90]]


@pytest.mark.parametrize("channel_order", ["RGB", "BGR"])
def test_color_and_context_convolution(channel_order):
    """The context convolution on RGB in [0, 1] is the detector's on its own kind of image."""
    cfg = load_detector_config("zoo:rpn_R_18_FPN")
    detector = build_model(_on_cpu(cfg))
    stem = detector.backbone.bottom_up.stem.conv1
    assert isinstance(stem.norm, FrozenBatchNorm2d)
    for buffer in (stem.norm.weight, stem.norm.bias, stem.norm.running_mean):
        buffer.uniform_(0.5, 1.5)
    mean, std = (123.0, 116.0, 103.0), (58.0, 57.0, 56.0)
    frozen = FrozenRPN(
        backbone=detector.backbone,
        proposal_generator=detector.proposal_generator,
        input_format=channel_order,
        pixel_mean=mean,
        pixel_std=std,
    )
    frames = torch.rand(1, 3, 32, 32)
    image = frames * 255 if channel_order == "RGB" else frames.flip(1) * 255
    expected = (image - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)
    assert torch.allclose(frozen._to_detector(frames), expected, atol=1e-5)

    weight, bias, rgb_mean = frozen.context_convolution()
    ours = torch.nn.functional.conv2d(
        frames - rgb_mean.view(1, 3, 1, 1), weight, bias, stride=2, padding=3
    )
    assert torch.allclose(ours, stem(expected), atol=1e-4)


def _on_cpu(cfg):
    cfg.MODEL.DEVICE = "cpu"
    return cfg


@pytest.mark.parametrize(
    "config", ["COCO-Detection/rpn_R_50_FPN_1x.yaml", "COCO-Detection/rpn_R_50_C4_1x.yaml"]
)
@pytest.mark.parametrize("suffix", [".pkl", ".pth"])
def test_zoo_detectors_load_from_local_files(small_cfg, tmp_path, config, suffix):
    detector = build_model(_on_cpu(load_detector_config(config)))
    weights = {k: v for k, v in detector.state_dict().items() if not k.startswith("pixel")}
    weights["roi_heads.box_head.fc1.weight"] = torch.zeros(2, 2)  # heads are not needed
    path = tmp_path / f"detector{suffix}"
    if suffix == ".pkl":
        arrays = {k: v.numpy() for k, v in weights.items()}
        path.write_bytes(pickle.dumps({"model": arrays, "__author__": "Detectron2 Model Zoo"}))
    else:
        torch.save({"model": weights}, path)
    small_cfg.MODEL.FROZEN_RPN.CONFIG_FILE = config
    small_cfg.MODEL.FROZEN_RPN.WEIGHTS = str(path)
    frozen = FrozenRPN(small_cfg)
    loaded = frozen.state_dict()
    assert all(torch.equal(loaded[k], v) for k, v in weights.items() if "roi_heads" not in k)
    assert frozen.is_bgr
    assert frozen.proposals(torch.rand(1, 3, 64, 64))[0].proposal_boxes.tensor.shape[1] == 4
    assert frozen.features(torch.rand(1, 3, 64, 64), ["rpn"])


def test_other_detectors_weights_are_refused(small_cfg, tmp_path):
    path = tmp_path / "half.safetensors"
    whole = FrozenRPN(small_cfg).state_dict()
    save_file({k: v for k, v in whole.items() if k.startswith("backbone.")}, path)
    small_cfg.MODEL.FROZEN_RPN.WEIGHTS = str(path)
    with pytest.raises(ValueError, match=r"proposal_generator\.rpn_head"):
        FrozenRPN(small_cfg)


def test_config_without_rpn_or_file(small_cfg):
    small_cfg.MODEL.FROZEN_RPN.CONFIG_FILE = "COCO-Detection/retinanet_R_50_FPN_1x.yaml"
    with pytest.raises(ValueError, match="has no RPN"):
        FrozenRPN(small_cfg)
    small_cfg.MODEL.FROZEN_RPN.CONFIG_FILE = "no/such.yaml"
    with pytest.raises(FileNotFoundError, match=r"no/such\.yaml"):
        FrozenRPN(small_cfg)
