"""A pretrained detector's backbone and RPN, frozen: frames in, proposals and features out.

Frames are (N, 3, H, W) RGB in [0, 1]; only this module converts them to what the detector was
trained on (BGR or RGB order, 0..255, minus mean, over std). The conversion and the features are
differentiable with respect to the frames; the detector's own weights never change.
"""

from typing import cast

import torch
import torch.nn.functional as F
from detectron2.config import CfgNode, configurable
from detectron2.layers import Conv2d, FrozenBatchNorm2d
from detectron2.modeling import Backbone, build_backbone, build_proposal_generator
from detectron2.modeling.proposal_generator import RPN
from detectron2.structures import Boxes, ImageList, Instances
from torch import nn
from torchvision.ops import nms

from zoomin_d2.config import get_zoomin_cfg
from zoomin_d2.modeling.batched_rpn import BatchedRPN
from zoomin_d2.modeling.detector_loading import load_detector_config, load_detector_weights


class FrozenRPN(nn.Module):
    """Proposals and features of a frozen detector.

    It is always in eval mode and its weights get no gradients, whatever the model around it does.
    """

    backbone: Backbone
    proposal_generator: RPN
    pixel_mean: torch.Tensor
    pixel_std: torch.Tensor

    @configurable
    def __init__(
        self,
        *,
        backbone: Backbone,
        proposal_generator: RPN,
        input_format: str,
        pixel_mean: tuple[float, ...],
        pixel_std: tuple[float, ...],
        enlarge: float = 1.2,
    ):
        """
        Args:
            backbone, proposal_generator: as Detectron2 builds them; the generator is an RPN, which
                knows how many boxes to keep and how small they may be.
            input_format: "BGR" or "RGB", the channel order of the three that follow.
            pixel_mean, pixel_std: the detector's, on 0..255.
            enlarge: factor on both sides of its boxes.
        """
        super().__init__()
        if input_format not in ("BGR", "RGB"):
            raise ValueError(f"INPUT.FORMAT of the detector must be BGR or RGB, got {input_format}")
        self.backbone = backbone
        self.proposal_generator = proposal_generator
        self.is_bgr = input_format == "BGR"
        self.enlarge = enlarge
        self.register_buffer("pixel_mean", torch.tensor(pixel_mean).view(1, 3, 1, 1))
        self.register_buffer("pixel_std", torch.tensor(pixel_std).view(1, 3, 1, 1))
        self.requires_grad_(False)
        self.train(False)

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict:
        detector_cfg = load_detector_config(cfg.MODEL.FROZEN_RPN.CONFIG_FILE)
        detector_cfg.MODEL.DEVICE = cfg.MODEL.DEVICE
        backbone = build_backbone(detector_cfg)
        missing = set(detector_cfg.MODEL.RPN.IN_FEATURES) - set(backbone.output_shape())
        if detector_cfg.MODEL.PROPOSAL_GENERATOR.NAME != "RPN" or missing:
            raise ValueError(
                f"{cfg.MODEL.FROZEN_RPN.CONFIG_FILE} "
                f"({detector_cfg.MODEL.META_ARCHITECTURE}) has no RPN: "
                "set MODEL.FROZEN_RPN.CONFIG_FILE to a Faster/Mask R-CNN or RPN config"
            )
        detector_cfg.MODEL.PROPOSAL_GENERATOR.NAME = BatchedRPN.__name__
        detector_cfg.MODEL.PROPOSAL_GENERATOR.MIN_SIZE = cfg.MODEL.PROPOSALS.MIN_SIZE
        detector_cfg.MODEL.RPN.POST_NMS_TOPK_TEST = cfg.MODEL.PROPOSALS.NUM
        proposal_generator = build_proposal_generator(detector_cfg, backbone.output_shape())
        detector = nn.ModuleDict({"backbone": backbone, "proposal_generator": proposal_generator})
        load_detector_weights(detector, cfg.MODEL.FROZEN_RPN.WEIGHTS)
        return {
            "backbone": backbone,
            "proposal_generator": proposal_generator,
            "input_format": detector_cfg.INPUT.FORMAT,
            "pixel_mean": tuple(detector_cfg.MODEL.PIXEL_MEAN),
            "pixel_std": tuple(detector_cfg.MODEL.PIXEL_STD),
            "enlarge": cfg.MODEL.PROPOSALS.ENLARGE,
        }

    @property
    def num_proposals(self) -> int:
        """The largest number of boxes per image (N of eq. 9)."""
        return self.proposal_generator.post_nms_topk[False]

    def train(self, mode: bool = True) -> "FrozenRPN":
        """Stay in eval mode: an RPN in training mode needs labeled boxes."""
        return super().train(False)

    def features(self, frames: torch.Tensor, names: list[str]) -> dict[str, torch.Tensor]:
        """Named features, differentiable with respect to ``frames`` (Phi of eq. 7).

        Args:
            frames: (N, 3, H, W) RGB in [0, 1].
            names: "rpn" for the hidden features of the RPN head on each of its levels (returned as
                "rpn_p2", ...), a backbone output ("p2", "res4", ...), or a bottom-up stage of an
                FPN backbone ("res2", ...).

        Raises:
            ValueError: if the detector has no features by that name.
        """
        available = self._backbone_features(frames)
        selected = {}
        for name in names:
            if name == "rpn":
                hidden = getattr(self.proposal_generator.rpn_head, "conv", None)
                if hidden is None:
                    raise ValueError(
                        "MODEL.PERCEPTUAL.FEATURES names 'rpn', but this detector's RPN head has "
                        f"no hidden convolution; use backbone features: {sorted(available)}"
                    )
                for level in self.proposal_generator.in_features:
                    selected[f"rpn_{level}"] = hidden(available[level])
            elif name in available:
                selected[name] = available[name]
            else:
                raise ValueError(
                    f"MODEL.PERCEPTUAL.FEATURES names '{name}', which this detector does not have; "
                    f"it has 'rpn' and {sorted(available)}"
                )
        return selected

    @torch.no_grad()
    def proposals(self, frames: torch.Tensor) -> list[Instances]:
        """The best boxes of every frame, best first.

        Args:
            frames: (N, 3, H, W) RGB in [0, 1].

        Returns:
            list of N Instances with ``proposal_boxes`` (Boxes, XYXY in pixels; no side below
            PROPOSALS.MIN_SIZE, then enlarged and clipped to the frame) and ``objectness_logits``;
            at most ``num_proposals`` each, possibly none.
        """
        features = self._backbone_features(frames)
        images = ImageList(frames, [tuple(frames.shape[-2:])] * len(frames))
        # Half precision cannot place boxes to the pixel: decoding and NMS run in float32.
        with torch.autocast(frames.device.type, enabled=False):
            features = {k: v.float() for k, v in features.items()}
            return self._enlarge(self.proposal_generator(images, features, None)[0])

    def merge_proposals(self, *sources: list[Instances], iou: float = 0.7) -> list[Instances]:
        """Per image, the best ``num_proposals`` of several lists after NMS at ``iou``."""
        merged = []
        for instances in zip(*sources):
            candidates = Instances.cat(list(instances))
            keep = nms(
                candidates.proposal_boxes.tensor, candidates.objectness_logits, iou_threshold=iou
            )
            merged.append(candidates[keep[: self.num_proposals]])
        return merged

    def context_convolution(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """The backbone's first convolution as weight, bias and mean on RGB frames in [0, 1].

        The batch normalization of Detectron2's own convolution layer (ResNet stems) is folded in.
        An activation is not, because linear features keep both signs and commute with warping.

        Returns:
            weight (C, 3, k, k), bias (C,), mean (3,): ``conv2d(frames - mean, weight, bias)``.

        Raises:
            ValueError: if the backbone has no convolution on three channels.
        """
        for conv in self.backbone.modules():
            if isinstance(conv, nn.Conv2d) and conv.in_channels == 3:
                break
        else:
            raise ValueError("the detector's backbone has no convolution on three input channels")
        weight = conv.weight.detach().clone() * (255 / self.pixel_std)
        mean = self.pixel_mean.flatten() / 255
        bias = weight.new_zeros(len(weight)) if conv.bias is None else conv.bias.detach().clone()
        normalizers = (FrozenBatchNorm2d, nn.BatchNorm2d)
        if isinstance(conv, Conv2d) and isinstance(conv.norm, normalizers):
            norm = cast(FrozenBatchNorm2d, conv.norm)  # in eval mode, both behave the same
            scale = norm.weight.detach() * (norm.running_var + norm.eps).rsqrt()
            bias = norm.bias.detach() + (bias - norm.running_mean) * scale
            weight = weight * scale.view(-1, 1, 1, 1)
        if self.is_bgr:
            weight, mean = weight.flip(1), mean.flip(0)
        return weight, bias, mean

    def _to_detector(self, frames: torch.Tensor) -> torch.Tensor:
        if self.is_bgr:
            frames = frames.flip(1)
        images = (frames * 255 - self.pixel_mean) / self.pixel_std
        # All frames of a batch have one size: pad like ImageList, without its per-image copies.
        divisor = max(self.backbone.size_divisibility, 1)
        height, width = images.shape[-2:]
        return F.pad(images, (0, -width % divisor, 0, -height % divisor))

    def _backbone_features(self, frames: torch.Tensor) -> dict[str, torch.Tensor]:
        bottom_up = getattr(self.backbone, "bottom_up", None)
        if bottom_up is None:
            return self.backbone(self._to_detector(frames))
        # An FPN returns only its pyramid; the bottom-up network's features are also wanted.
        stages: dict[str, torch.Tensor] = {}
        handle = bottom_up.register_forward_hook(lambda _m, _i, out: stages.update(out))
        try:
            pyramid = self.backbone(self._to_detector(frames))
        finally:
            handle.remove()
        return {**stages, **pyramid}

    def _enlarge(self, proposals: list[Instances]) -> list[Instances]:
        """Multiply both sides of all boxes by ``enlarge``, then clip them to the frame."""
        height, width = proposals[0].image_size  # all frames of a batch have one size
        boxes = torch.cat([x.proposal_boxes.tensor for x in proposals])
        margin = (boxes[:, 2:] - boxes[:, :2]) * ((self.enlarge - 1) / 2)
        boxes = torch.cat((boxes[:, :2] - margin, boxes[:, 2:] + margin), dim=1)
        boxes = boxes.clamp(min=0).minimum(boxes.new_tensor([width, height, width, height]))
        for instances, enlarged in zip(proposals, boxes.split([len(x) for x in proposals])):
            instances.proposal_boxes = Boxes(enlarged)
        return proposals


def build_frozen_rpn(
    cfg: CfgNode | None = None, device: torch.device | str | None = None
) -> FrozenRPN:
    """The frozen detector of a config on a device.

    Args:
        cfg: None = the defaults, whose detector ships with the package.
        device: None = the config's MODEL.DEVICE, or the CPU if that is a GPU and there is none.
    """
    cfg = cfg or get_zoomin_cfg()
    is_absent = cfg.MODEL.DEVICE.startswith("cuda") and not torch.cuda.is_available()
    return FrozenRPN(cfg).to(device or ("cpu" if is_absent else cfg.MODEL.DEVICE))
