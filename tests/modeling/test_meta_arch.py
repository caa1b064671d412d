"""The meta-architecture: loss keys, what gets gradients, what a checkpoint holds, eval outputs."""

import pytest
import torch
from detectron2.modeling import build_model

from tests.helpers.weighted_average import WeightedAverage
from zoomin_d2.modeling import ROIDiscriminator, build_discriminator
from zoomin_d2.modeling.losses import laplacian_loss, photometric_loss, psnr_loss, smoothness_loss
from zoomin_d2.modeling.teacher import Teacher


@pytest.fixture
def model(small_cfg):
    torch.manual_seed(0)
    return build_model(small_cfg)


def _lend(model, small_cfg, name):
    small_cfg.MODEL.DISCRIMINATOR.NAME = name
    discriminator = build_discriminator(small_cfg)
    model.set_discriminator(discriminator)
    return discriminator


def test_loss_keys_of_the_three_recipes(model, small_cfg, make_batch):
    synthesis = {"loss_photometric", "loss_perceptual", "loss_smooth"}
    assert model(make_batch(1, 64, 64)).keys() == synthesis
    for name in ("image", "roi"):
        _lend(model, small_cfg, name)
        assert model(make_batch(1, 64, 64)).keys() == synthesis | {"loss_gan_g"}
    model.set_discriminator(None)
    assert model(make_batch(1, 64, 64)).keys() == synthesis


@pytest.mark.parametrize(("asked", "has"), [(True, True), (True, False), (False, True)])
def test_precision_of_training_on_a_cpu(small_cfg, monkeypatch, asked, has):
    monkeypatch.setattr("zoomin_d2.modeling.meta_arch.cpu_has_bfloat16", lambda: has)
    small_cfg.SOLVER.AMP.ENABLED = asked
    with build_model(small_cfg).autocast():
        product = torch.ones(2, 2) @ torch.ones(2, 2)
    assert product.dtype == (torch.bfloat16 if asked and has else torch.float32)


def test_losses_have_the_papers_weights(model, make_batch):
    losses = model(make_batch(2, 64, 64))
    record = model.step_record
    out, truth = record.outputs, record.frame_t
    photometric = photometric_loss(out.pred_frame, truth) + photometric_loss(
        out.coarse_frame, truth
    )
    assert losses["loss_photometric"].item() == pytest.approx(
        2 * 255 * photometric.item(), rel=1e-5
    )
    smooth = smoothness_loss(out.flow_1t, out.flow_2t, out.blend_mask)
    assert losses["loss_smooth"].item() == pytest.approx(0.1 * smooth.item(), rel=1e-5)
    distances = []
    for frame in (out.pred_frame, out.coarse_frame):
        ours = model.frozen_rpn.features(frame, ["rpn"])
        theirs = model.frozen_rpn.features(truth, ["rpn"])
        distances.append(torch.stack([(ours[k] - theirs[k]).abs().mean() for k in ours]).mean())
    assert losses["loss_perceptual"].item() == pytest.approx(sum(distances).item(), rel=1e-4)


def test_psnr_loss_replaces_the_final_frames(small_cfg, make_batch):
    small_cfg.MODEL.LOSS_WEIGHTS.PSNR = 2.0
    model, batch = build_model(small_cfg).train(), make_batch(2, 64, 64)
    losses = model(batch)
    out, truth = model.step_record.outputs, model.step_record.frame_t
    assert losses["loss_psnr"].item() == pytest.approx(2 * psnr_loss(out.pred_frame, truth).item())
    expected = 2 * 255 * photometric_loss(out.coarse_frame, truth).item()
    assert losses["loss_photometric"].item() == pytest.approx(expected, rel=1e-5)


def test_laplacian_loss_if_asked_for(small_cfg, make_batch):
    small_cfg.MODEL.LOSS_WEIGHTS.LAPLACIAN = 0.5
    model = build_model(small_cfg)
    loss = model(make_batch(2, 64, 64))["loss_laplacian"]
    out, truth = model.step_record.outputs, model.step_record.frame_t
    expected = laplacian_loss(out.pred_frame, truth) + laplacian_loss(out.coarse_frame, truth)
    assert loss.item() == pytest.approx(0.5 * 255 * expected.item(), rel=1e-5)


def test_generator_step_moves_nothing_else(model, small_cfg, make_batch):
    discriminator = _lend(model, small_cfg, "roi").train()
    before = {k: v.clone() for k, v in discriminator.state_dict().items()}
    sum(model(make_batch(2, 64, 64, hr_scale=2)).values()).backward()
    assert all(p.grad is None for p in discriminator.parameters())
    assert all(p.requires_grad for p in discriminator.parameters())
    assert discriminator.training
    # Not even the power iteration of spectral normalisation moves.
    assert all(torch.equal(v, before[k]) for k, v in discriminator.state_dict().items())
    assert all(p.grad is None for p in model.frozen_rpn.parameters())
    assert all(p.grad is not None for p in model.generator.parameters())


def test_adversarial_loss_moves_generator(model, small_cfg, make_batch):
    _lend(model, small_cfg, "roi")
    model(make_batch(1, 64, 64))["loss_gan_g"].backward()
    assert model.generator.synthesis_net[0].weight.grad.abs().sum() > 0


def test_record_for_the_discriminator(model, small_cfg, make_batch):
    _lend(model, small_cfg, "roi")
    model(make_batch(2, 64, 64, hr_scale=2))
    record = model.step_record
    assert record.real.shape == record.fake.shape == (2 * 4, 3, 64, 64)
    assert record.valid.shape == (2, 4)
    assert not record.fake.requires_grad and not record.real.requires_grad
    _lend(model, small_cfg, "image")
    model(make_batch(2, 64, 64))
    record = model.step_record
    assert torch.equal(record.real, record.frame_t)
    assert record.valid.all()


@pytest.mark.parametrize("name", ["image", "roi"])
def test_fakes_are_what_a_file_would_hold(model, small_cfg, make_batch, name):
    _lend(model, small_cfg, name)
    last = model.generator.synthesis_net[-1]
    torch.nn.init.constant_(last.bias, 1.5)  # every value far above 1
    loss = model(make_batch(1, 64, 64))["loss_gan_g"]
    assert model.step_record.outputs.pred_frame.min() > 1
    record = model.step_record
    seen = record.fake[record.valid.flatten()] if name == "roi" else record.fake
    assert torch.allclose(seen, torch.ones_like(seen))
    loss.backward()
    assert last.weight.grad.abs().sum() > 0  # clamped by itself, it would be 0


def test_no_proposals_give_zero_loss(model, small_cfg, make_batch):
    _lend(model, small_cfg, "roi")
    model.frozen_rpn.proposal_generator.min_box_size = 1e6
    losses = model(make_batch(2, 64, 64))
    assert losses["loss_gan_g"].item() == 0
    losses["loss_gan_g"].backward()
    assert not model.step_record.valid.any()


@pytest.mark.parametrize("source", ["real", "synthesized", "both"])
def test_proposal_sources(model, small_cfg, make_batch, source):
    _lend(model, small_cfg, "roi")
    model.proposal_source = source
    model(make_batch(1, 64, 64))
    record = model.step_record
    real = model.frozen_rpn.proposals(record.frame_t)[0].proposal_boxes.tensor
    made = model.frozen_rpn.proposals(record.outputs.pred_frame.clamp(0, 1))[
        0
    ].proposal_boxes.tensor
    found = record.proposals[0].proposal_boxes.tensor
    if source == "both":
        known = torch.cat((real, made)).tolist()
        assert all(box in known for box in found.tolist())
    else:
        assert torch.equal(found, real if source == "real" else made)


def test_checkpoint_holds_generator_alone(model, small_cfg):
    _lend(model, small_cfg, "roi")
    assert all(k.startswith("generator.") for k in model.state_dict())
    assert all(k.startswith("generator.") for k, _ in model.named_parameters())


def test_the_detector_follows_the_model(model):
    model.double()
    assert next(model.frozen_rpn.parameters()).dtype == torch.float64


def test_generator_holds_first_convolution(model):
    weight, bias, mean = model.frozen_rpn.context_convolution()
    assert torch.equal(model.generator.context.weight, weight)
    assert torch.equal(model.generator.context.bias, bias)
    assert torch.equal(model.generator.context.mean.flatten(), mean)


def test_inference_outputs(model, make_batch):
    model.eval()
    batch = make_batch(2, 50, 70)
    results = model(batch)
    assert [set(r) for r in results] == [
        {"pred_frame", "coarse_frame", "flow_1t", "flow_2t", "blend_mask", "proposals"}
    ] * 2
    assert results[0]["pred_frame"].shape == (3, 50, 70)
    for sample in batch:  # the truth decides where to look, never what is made
        sample["frame_t"] = 255 - sample["frame_t"]
    again = model(batch)
    assert torch.equal(again[0]["pred_frame"], results[0]["pred_frame"])
    for sample in batch:
        del sample["frame_t"]
    assert "proposals" in model(batch)[0]


def test_uint8_and_float_inputs_are_the_same(model, make_batch):
    model.eval()
    batch = make_batch(1, 32, 32)
    as_float = [{k: v / 255 if torch.is_tensor(v) else v for k, v in batch[0].items()}]
    assert torch.equal(model(batch)[0]["pred_frame"], model(as_float)[0]["pred_frame"])


def test_mixed_sizes_are_refused(model, small_cfg, make_batch):
    with pytest.raises(ValueError, match="one size per batch"):
        model(make_batch(1, 64, 64) + make_batch(1, 64, 32))
    small_cfg.MODEL.PROPOSALS.SOURCE = "fake"
    with pytest.raises(ValueError, match="'fake'"):
        build_model(small_cfg)


def test_empty_slots_are_masked():
    """Judging four patches of which two are padding equals judging the two."""
    from zoomin_d2.modeling.losses import hinge_d_losses

    torch.manual_seed(0)
    discriminator = ROIDiscriminator(4).eval()
    patches = torch.rand(2, 3, 64, 64)
    padded = torch.cat((patches, torch.zeros(2, 3, 64, 64)))
    two = hinge_d_losses(
        discriminator(patches).view(1, 2),
        discriminator(patches).view(1, 2),
        torch.ones(1, 2, dtype=torch.bool),
    )
    four = hinge_d_losses(
        discriminator(padded).view(1, 4),
        discriminator(padded).view(1, 4),
        torch.tensor([[True, True, False, False]]),
    )
    assert torch.allclose(torch.stack(two), torch.stack(four), atol=1e-6)


def test_levels_are_compared_with_the_truth(tiny_cfg):
    # 40 rows are padded to 48: a level's rows must not be compared with rows stretched over them.
    tiny_cfg.MODEL.PERCEPTUAL.FEATURES = []
    tiny_cfg.MODEL.FROZEN_RPN.WEIGHTS = ""
    tiny_cfg.MODEL.DEVICE = "cpu"
    model = build_model(tiny_cfg)
    for decoder in model.generator.decoders:
        torch.nn.init.zeros_(decoder.head.weight)  # no motion
    still = torch.arange(40)[:, None].expand(3, 40, 64).mul(6).byte()
    names = ("frame_1", "frame_t", "frame_2")
    losses = model([{**dict.fromkeys(names, still), "t": 0.5, "file_name": "still"}])
    # Charbonnier of 0 is epsilon = 1e-3, for colour, x and y, on each of three levels.
    weight = tiny_cfg.MODEL.LOSS_WEIGHTS.LEVELS * 255
    assert losses["loss_levels"].item() == pytest.approx(3 * 3 * 1e-3 * weight, rel=1e-3)


def _norm_of_adversarial_gradient(model, batch):
    """Of the final frame: the synthesis step hands it out, and only the GAN loss uses it there."""
    step = model._outside["synthesis_step"]
    kept = []

    def keep(*arguments):
        frame, outputs, losses = step(*arguments)
        frame.retain_grad()
        kept.append(frame)
        return frame, outputs, losses

    model._outside["synthesis_step"] = keep
    model(batch)["loss_gan_g"].backward()
    model._outside["synthesis_step"] = step
    return kept[0].grad.norm()


@pytest.mark.parametrize("teacher", [None, Teacher(WeightedAverage, 0.5)])
@pytest.mark.parametrize(("name", "psnr"), [("image", 0), ("roi", 0), ("roi", 6)])
def test_share_of_the_photometric_gradient(model, small_cfg, make_batch, name, psnr, teacher):
    _lend(model, small_cfg, name)
    model.teacher = teacher
    model.gan_g_share, model.loss_weights["psnr"] = 0.1, psnr
    batch = make_batch(2, 64, 64)
    norm = _norm_of_adversarial_gradient(model, batch)
    record = model.step_record
    frame = record.outputs.pred_frame.clone().requires_grad_()
    target = record.frame_t
    if teacher:
        target = 0.5 * target + 0.25 * (record.frame_1 + record.frame_2)
    loss = psnr * psnr_loss(frame, target)
    if not psnr:
        loss = 2 * 255 * photometric_loss(frame, target)
    loss.backward()
    assert norm.item() == pytest.approx(0.1 * frame.grad.norm().item(), rel=1e-4)
    # The weight that does it is what the log shows.
    model.gan_g_share = 0.0
    model.loss_weights["gan_g"] = float(record.gan_weight)
    assert _norm_of_adversarial_gradient(model, batch).item() == pytest.approx(
        norm.item(), rel=1e-3
    )


def test_share_without_proposals_is_zero(model, small_cfg, make_batch):
    _lend(model, small_cfg, "roi")
    model.gan_g_share = 0.1
    model.frozen_rpn.proposal_generator.min_box_size = 1e6
    losses = model(make_batch(2, 64, 64))
    losses["loss_gan_g"].backward()
    assert losses["loss_gan_g"].item() == float(model.step_record.gan_weight) == 0


def test_scales_verdicts_and_context(small_cfg, make_batch):
    small_cfg.MODEL.PROPOSALS.PATCH_SCALES = ["zoomed", "native"]
    small_cfg.MODEL.DISCRIMINATOR.VERDICT = "both"
    small_cfg.MODEL.DISCRIMINATOR.CONDITIONAL = True
    model = build_model(small_cfg)
    _lend(model, small_cfg, "roi")
    model(make_batch(2, 64, 64, hr_scale=2))["loss_gan_g"].backward()
    record = model.step_record
    assert record.real.shape == record.fake.shape == (2 * 8, 3, 64, 64)
    assert record.context.shape == (2 * 8, 6, 64, 64)
    assert record.valid.shape == (2, 8 * 16)
    # Frames of 64 x 64 are their own native patch.
    native = record.fake.view(2, 8, 3, 64, 64)[:, 4:]
    fakes = record.outputs.pred_frame.clamp(0, 1)[:, None].expand_as(native)
    assert torch.allclose(native, fakes, atol=1e-5)
    inputs = torch.cat((record.frame_1, record.frame_2), 1)[:, None]
    contexts = record.context.view(2, 8, 6, 64, 64)[:, 4:]
    assert torch.allclose(contexts, inputs.expand_as(contexts), atol=1e-5)
