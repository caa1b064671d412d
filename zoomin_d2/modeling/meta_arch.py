"""The meta-architecture: `batched_inputs` in, a dict of losses or a list of results out.

Shape shorthand in this module:

    N: number of samples in the batch; H, W: size of the frames in pixels
    M: judged regions per image: ROIs ("roi") or positions of the logit map ("image")

Naming convention:

    batched_inputs: list[dict], one per sample, with frame_1, frame_t, frame_2 ((3, H, W) RGB, uint8
        or float in [0, 1]), t, and optionally frame_t_hr ((3, H * s, W * s)) with hr_scale s
"""

from collections.abc import Sequence
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from detectron2.config import CfgNode, configurable
from detectron2.modeling import META_ARCH_REGISTRY
from detectron2.structures import Instances
from torch import nn

from zoomin_d2.generators import GeneratorOutput
from zoomin_d2.inference.devices import cpu_has_bfloat16
from zoomin_d2.layers import pad_to_multiple
from zoomin_d2.model_zoo.generator_file import load_generator
from zoomin_d2.modeling.batch import stack_frames, stack_times
from zoomin_d2.modeling.frozen_rpn import FrozenRPN
from zoomin_d2.modeling.generator_options import build_generator
from zoomin_d2.modeling.losses import (
    PHOTOMETRIC_SCALE,
    hinge_g_loss,
    laplacian_loss,
    perceptual_loss,
    photometric_loss,
    psnr_loss,
    smoothness_loss,
    with_gradient,
)
from zoomin_d2.modeling.roi_patches import (
    clamp_straight_through,
    crop_real_patches,
    crop_roi_patches,
    pad_proposals,
    scale_boxes,
    valid_slots,
)
from zoomin_d2.modeling.step_record import StepRecord, with_context
from zoomin_d2.modeling.synthesis_step import SynthesisStep
from zoomin_d2.modeling.teacher import Teacher


@META_ARCH_REGISTRY.register()
class FrameInterpolator(nn.Module):
    """Generator, frozen detector and the generator's losses.

    Only the generator belongs to the state dict. The frozen detector and the discriminator are held
    outside the module tree, so checkpoints, optimizers and DDP see only the generator.
    """

    generator: nn.Module

    @configurable
    def __init__(
        self,
        *,
        generator: nn.Module,
        frozen_rpn: FrozenRPN | None,
        loss_weights: dict[str, float],
        perceptual_features: list[str],
        proposal_source: str = "real",
        patch_size: int = 64,
        patch_scales: Sequence[str] = ("zoomed",),
        gan_g_share: float = 0.0,
        roi_metrics: bool = False,
        use_bf16: bool = False,
        compile_generator: bool = False,
        teacher: Teacher | None = None,
    ):
        """
        Args:
            generator: called with (frame_1, frame_2, t), returns GeneratorOutput.
            frozen_rpn: needed for training and for proposals; None is enough for inference.
            loss_weights: "photometric", "perceptual", "smooth", "gan_g"; "levels" for generators
                that return `level_frames`; optionally "laplacian" and "psnr".
            perceptual_features: names for FrozenRPN.features; [] switches eq. 7 off.
            proposal_source: "real", "synthesized" or "both".
            patch_size: side of the zoomed patches, pixels.
            patch_scales: "zoomed" and "native", see `scale_boxes`.
            gan_g_share: 0, or the adversarial gradient's share of the photometric (or PSNR) one,
                both of the final frame, which then decides lambda_4 in place of "gan_g".
            roi_metrics: also return proposals in eval mode.
            use_bf16: bfloat16 autocast in training, on devices that have it.
            compile_generator: train generator and losses through torch.compile; takes a minute at
                the start. Evaluation stays uncompiled, because each new frame size would recompile.
            teacher: changes the frame that the synthesis losses compare with; in training only.
        """
        super().__init__()
        if proposal_source not in ("real", "synthesized", "both"):
            raise ValueError(
                f"MODEL.PROPOSALS.SOURCE must be real, synthesized or both, got '{proposal_source}'"
            )
        self.generator = generator
        self._outside = {"frozen_rpn": frozen_rpn, "discriminator": None}
        self._outside["synthesis_step"] = SynthesisStep(
            generator, self.synthesis_losses, compiled=compile_generator
        )
        self.loss_weights = loss_weights
        self.perceptual_features = perceptual_features
        self.proposal_source = proposal_source
        self.patch_size = patch_size
        self.patch_scales = patch_scales
        self.gan_g_share = gan_g_share
        self.roi_metrics = roi_metrics
        self.use_bf16 = use_bf16
        self.teacher = teacher
        self.step_record: StepRecord | None = None

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict:
        generator = build_generator(cfg)
        frozen_rpn = FrozenRPN(cfg)
        # A checkpoint, loaded later, brings its own copy of the context convolution.
        if generator.context is not None:
            generator.context.copy_from(*frozen_rpn.context_convolution())
        weights = cfg.MODEL.LOSS_WEIGHTS
        taught_by = cfg.MODEL.TEACHER.WEIGHTS
        teacher = Teacher(lambda: load_generator(taught_by).generator, cfg.MODEL.TEACHER.SHARE)
        return {
            "generator": generator,
            "frozen_rpn": frozen_rpn,
            "loss_weights": {
                "photometric": weights.PHOTOMETRIC * PHOTOMETRIC_SCALE,
                "perceptual": weights.PERCEPTUAL,
                "smooth": weights.SMOOTH,
                "levels": weights.LEVELS * PHOTOMETRIC_SCALE,
                "laplacian": weights.LAPLACIAN * PHOTOMETRIC_SCALE,
                "psnr": weights.PSNR,
                "gan_g": weights.GAN_G,
            },
            "perceptual_features": list(cfg.MODEL.PERCEPTUAL.FEATURES),
            "proposal_source": cfg.MODEL.PROPOSALS.SOURCE,
            "patch_size": cfg.MODEL.PROPOSALS.PATCH_SIZE,
            "patch_scales": list(cfg.MODEL.PROPOSALS.PATCH_SCALES),
            "gan_g_share": weights.GAN_G_SHARE,
            "roi_metrics": cfg.TEST.ROI_METRICS,
            "use_bf16": cfg.SOLVER.AMP.ENABLED,
            "compile_generator": cfg.SOLVER.COMPILE,
            "teacher": teacher if taught_by else None,
        }

    @property
    def device(self) -> torch.device:
        return next(self.generator.parameters()).device

    @property
    def frozen_rpn(self) -> FrozenRPN | None:
        return self._outside["frozen_rpn"]

    @property
    def discriminator(self) -> nn.Module | None:
        """The unwrapped discriminator while the training uses it, else None."""
        return self._outside["discriminator"]

    def set_discriminator(self, discriminator: nn.Module | None) -> None:
        """Let the adversarial loss use a discriminator that the caller owns; None stops that."""
        self._outside["discriminator"] = discriminator

    def record_training(self, num_samples: int, size: tuple[int, int]) -> None:
        """From now on, train with CUDA graphs (modeling/synthesis_step.py); does nothing on a CPU.

        Args:
            num_samples: N of this process; size: (H, W) of the crops. All batches must match both.
        """
        if self.device.type != "cuda":
            return
        self.train()
        with self.autocast():
            self._outside["synthesis_step"].record(num_samples, size, self.device)

    def _apply(self, fn, recurse=True):
        # The detector is not a submodule, but it moves with the model (`.to`, `.cuda`, ...).
        if self.frozen_rpn is not None:
            self.frozen_rpn._apply(fn, recurse)
        return super()._apply(fn, recurse)

    def forward(self, batched_inputs: list[dict]) -> dict[str, torch.Tensor] | list[dict]:
        """
        Args:
            batched_inputs: see the top of this module; in eval mode all frames of one size.

        Returns:
            in training, the weighted losses of `synthesis_losses` and, with a discriminator,
            ``loss_gan_g``;
            in eval, per sample a dict of ``pred_frame``, ``coarse_frame``, ``flow_1t``,
            ``flow_2t``, ``blend_mask`` ((C, H, W) each) and, with ``roi_metrics``, ``proposals``
            (Instances) found on the true frame, or on the result if there is no true frame.
        """
        if not self.training:
            return self.inference(batched_inputs)
        frame_1, frame_t, frame_2 = (
            self._stack(batched_inputs, k) for k in ("frame_1", "frame_t", "frame_2")
        )
        t = self._times(batched_inputs)
        target = self.teacher.mix(frame_1, frame_2, frame_t, t) if self.teacher else frame_t
        with self.autocast():
            pred_frame, outputs, losses = self._outside["synthesis_step"](
                frame_1, frame_2, target, t
            )
            record = StepRecord(
                frame_1,
                frame_t,
                frame_2,
                outputs,
                num_skipped=sum(x.get("num_skipped", 0) for x in batched_inputs),
            )
            if self.discriminator is not None:
                losses["loss_gan_g"] = self._adversarial_loss(
                    pred_frame, target, batched_inputs, record
                )
        self.step_record = record
        return losses

    @torch.no_grad()
    def inference(self, batched_inputs: list[dict]) -> list[dict]:
        """Eval-mode forward, in float32: a score must not depend on the device.

        Only proposals use ``frame_t``; the generator never does.
        """
        frame_1, frame_2 = (self._stack(batched_inputs, k) for k in ("frame_1", "frame_2"))
        outputs = self.generator(frame_1, frame_2, self._times(batched_inputs))
        results = [
            dict(zip(outputs.maps, values))
            for values in zip(*(x.float() for x in outputs.maps.values()))
        ]
        if self.roi_metrics:
            has_truth = all("frame_t" in x for x in batched_inputs)
            seen = self._stack(batched_inputs, "frame_t") if has_truth else outputs.pred_frame
            for result, instances in zip(results, self.frozen_rpn.proposals(seen)):
                result["proposals"] = instances
        return results

    def synthesis_losses(
        self, outputs: GeneratorOutput, frame_t: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        """L_synth (eq. 8) on both the coarse and the final frame, as in section 3.4.

        ``loss_photometric``, ``loss_smooth``, and those that have a weight of ``loss_psnr`` (which
        replaces the final frame's part of the first), ``loss_laplacian``, ``loss_levels``, and
        ``loss_perceptual``.

        A subclass may add losses under keys of their own (examples/add_loss.py): all are summed.
        """
        pred_frame, coarse_frame, flow_1t, flow_2t, blend_mask, level_frames, _ = outputs
        losses = self._final_frame_loss(pred_frame, frame_t)
        coarse = self.loss_weights["photometric"] * photometric_loss(coarse_frame, frame_t)
        losses["loss_photometric"] = losses.get("loss_photometric", 0.0) + coarse
        losses["loss_smooth"] = self.loss_weights["smooth"] * smoothness_loss(
            flow_1t, flow_2t, blend_mask
        )
        if weight := self.loss_weights.get("laplacian", 0.0):
            # Twice the mean of the two frames' losses is their sum.
            both = torch.cat((pred_frame, coarse_frame))
            losses["loss_laplacian"] = weight * 2 * laplacian_loss(both, frame_t.repeat(2, 1, 1, 1))
        if level_frames:
            truth = pad_to_multiple(frame_t, self.generator.size_divisibility)  # like the levels
            losses["loss_levels"] = self.loss_weights["levels"] * sum(
                photometric_loss(x, F.adaptive_avg_pool2d(truth, x.shape[-2:]))
                for x in level_frames
            )
        if self.perceptual_features:
            names = self.perceptual_features
            with torch.no_grad():
                target = self.frozen_rpn.features(frame_t, names)
            both = torch.cat((pred_frame, coarse_frame))
            features = self.frozen_rpn.features(both, names)
            # Both frames occur equally often: twice the mean is the sum of the two means.
            target = {k: torch.cat((x, x)) for k, x in target.items()}
            losses["loss_perceptual"] = (
                self.loss_weights["perceptual"] * 2 * perceptual_loss(features, target)
            )
        return losses

    def _final_frame_loss(
        self, frame: torch.Tensor, truth: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        """Of the final frame's colors, weighted: PSNR if it has a weight, else photometric."""
        if weight := self.loss_weights.get("psnr", 0.0):
            return {"loss_psnr": weight * psnr_loss(frame, truth)}
        weight = self.loss_weights["photometric"]
        return {"loss_photometric": weight * photometric_loss(frame, truth)}

    def _adversarial_loss(
        self,
        pred_frame: torch.Tensor,
        target: torch.Tensor,
        batched_inputs: list[dict],
        record: StepRecord,
    ) -> torch.Tensor:
        """L_g (eq. 10) times lambda_4; puts what the discriminator will see into ``record``."""
        boxes = self._judged_boxes(batched_inputs, record)
        if not self.gan_g_share:
            record.gan_weight = self.loss_weights["gan_g"]
            return record.gan_weight * self._verdict_loss(pred_frame, boxes, record)
        frame = pred_frame.detach().requires_grad_()
        loss = self._verdict_loss(frame, boxes, record)
        (gradient,) = torch.autograd.grad(loss, frame)
        (loss_of_colors,) = self._final_frame_loss(frame, target).values()
        (reference,) = torch.autograd.grad(loss_of_colors, frame)
        norm = gradient.norm()
        weight = self.gan_g_share * reference.norm() / norm
        # Without any proposal the gradient is 0, and so is its weight.
        record.gan_weight = torch.where(norm > 0, weight, 0)
        return record.gan_weight * with_gradient(loss.detach(), gradient, pred_frame)

    def _judged_boxes(self, batched_inputs: list[dict], record: StepRecord) -> torch.Tensor | None:
        """Finds what is judged and its real side; the boxes (N, M, 4), None for whole images."""
        assert self.discriminator is not None
        inputs = (record.frame_1, record.frame_2) if self.discriminator.conditional else ()
        if not self.discriminator.is_patch_based:
            record.real, record.context = record.frame_t, torch.cat(inputs, 1) if inputs else None
            return None
        record.proposals = self._propose(record.frame_t, record.outputs.pred_frame)
        zoomed, num_valid = pad_proposals(record.proposals, self.frozen_rpn.num_proposals)
        boxes = scale_boxes(zoomed, self.patch_scales, self.patch_size, record.frame_t.shape[-2:])
        slots = valid_slots(num_valid, zoomed.shape[1])
        record.valid = slots.repeat(1, len(self.patch_scales))
        partners = [x.get("frame_t_hr") for x in batched_inputs]
        record.real = crop_real_patches(
            record.frame_t,
            [None if x is None else x.to(self.device, non_blocking=True) for x in partners],
            [x.get("hr_scale", 1) for x in batched_inputs],
            boxes,
            self.patch_size,
        )
        patches = [crop_roi_patches(x, boxes, self.patch_size) for x in inputs]
        record.context = torch.cat(patches, 1) if patches else None
        return boxes

    def _verdict_loss(
        self, frame: torch.Tensor, boxes: torch.Tensor | None, record: StepRecord
    ) -> torch.Tensor:
        """``-D(P~)`` for the frame's patches in ``boxes``, or for the whole frame; no weight."""
        frame = clamp_straight_through(frame)
        fake = frame if boxes is None else crop_roi_patches(frame, boxes, self.patch_size)
        record.fake = fake.detach()
        with _frozen(self.discriminator):
            logits = self.discriminator(with_context(fake, record.context))
        logits = logits.view(len(frame), -1)
        if record.valid is None:
            record.valid = torch.ones_like(logits, dtype=torch.bool)
        elif logits.shape[1] > record.valid.shape[1]:  # several verdicts a patch
            verdicts = logits.shape[1] // record.valid.shape[1]
            record.valid = record.valid.repeat_interleave(verdicts, dim=1)
        return hinge_g_loss(logits, record.valid)

    def _propose(self, frame_t: torch.Tensor, pred_frame: torch.Tensor) -> list[Instances]:
        if self.proposal_source == "real":
            return self.frozen_rpn.proposals(frame_t)
        synthesized = self.frozen_rpn.proposals(pred_frame.clamp(0, 1))
        if self.proposal_source == "synthesized":
            return synthesized
        return self.frozen_rpn.merge_proposals(self.frozen_rpn.proposals(frame_t), synthesized)

    def autocast(self) -> torch.autocast:
        """The precision of training: bfloat16 if requested and if the device multiplies it."""
        device = self.device.type
        # bfloat16 has float32's range and needs no gradient scaler: SimpleTrainer is enough.
        enabled = self.use_bf16
        if device == "cuda":
            enabled = enabled and torch.cuda.is_bf16_supported(including_emulation=False)
        else:
            enabled = enabled and device == "cpu" and cpu_has_bfloat16()
        # Without the cache of converted weights: a CUDA graph must hold their conversion.
        return torch.autocast(device, dtype=torch.bfloat16, enabled=enabled, cache_enabled=False)

    def _stack(self, batched_inputs: list[dict], key: str) -> torch.Tensor:
        return stack_frames(batched_inputs, key, self.device)

    def _times(self, batched_inputs: list[dict]) -> torch.Tensor:
        return stack_times(batched_inputs, self.device)


@contextmanager
def _frozen(module: nn.Module):
    """The generator's view of the discriminator: it gets no gradient and no power iteration."""
    was_training = module.training
    module.requires_grad_(False).eval()
    try:
        yield
    finally:
        module.requires_grad_(True).train(was_training)
