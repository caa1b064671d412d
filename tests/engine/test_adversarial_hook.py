"""The discriminator's step: what it changes, when it starts, what it survives."""

from types import SimpleNamespace

import pytest
import torch
from detectron2.modeling import build_model
from detectron2.utils.events import EventStorage

from zoomin_d2.engine import AdversarialHook
from zoomin_d2.engine.solver import build_lr_scheduler, build_optimizer
from zoomin_d2.modeling import build_discriminator


@pytest.fixture(params=["roi", "image"])
def hook(request, small_cfg):
    torch.manual_seed(0)
    small_cfg.MODEL.DISCRIMINATOR.NAME = request.param
    return _build(small_cfg)


def _build(cfg, start_iter=0):
    discriminator = build_discriminator(cfg)
    optimizer = build_optimizer(cfg, discriminator.parameters())
    hook = AdversarialHook(
        build_model(cfg),
        discriminator,
        optimizer,
        build_lr_scheduler(cfg, optimizer),
        loss_weight=0.3,
        start_iter=start_iter,
        metric_period=1,
    )
    hook.trainer = SimpleNamespace(iter=0, storage=None)
    return hook


def _iterate(hook, batch):
    with EventStorage(hook.trainer.iter) as storage:
        hook.trainer.storage = storage
        hook.before_step()
        losses = hook.model(batch)
        hook.after_step()
    hook.trainer.iter += 1
    return losses, {k: v for k, (v, _) in storage.latest().items()}


def test_it_steps_the_discriminator_alone(hook, make_batch):
    generator = {k: v.clone() for k, v in hook.model.state_dict().items()}
    before = [p.clone() for p in hook.discriminator.parameters()]
    losses, logged = _iterate(hook, make_batch(2, 64, 64, hr_scale=2))
    assert "loss_gan_g" in losses
    assert {"loss_d_real", "loss_d_fake", "lr_discriminator"} <= logged.keys()
    assert any(not torch.equal(p, b) for p, b in zip(hook.discriminator.parameters(), before))
    assert all(torch.equal(v, generator[k]) for k, v in hook.model.state_dict().items())
    assert all(p.grad is None for p in hook.model.generator.parameters())


def test_logged_losses_are_weighted(hook, make_batch):
    # A discriminator that always says 1: real costs relu(1 - 1) = 0, fake relu(1 + 1) = 2.
    score = hook.discriminator.whole_score or hook.discriminator.local_score
    torch.nn.utils.parametrize.remove_parametrizations(score, "weight")
    torch.nn.init.zeros_(score.weight)
    torch.nn.init.ones_(score.bias)
    _, logged = _iterate(hook, make_batch(1, 64, 64))
    assert logged["loss_d_real"] == pytest.approx(0.0)
    assert logged["loss_d_fake"] == pytest.approx(0.3 * 2)


def test_it_learns_to_tell_real_from_fake(hook, make_batch):
    hook.optimizer.param_groups[0]["lr"] = hook.scheduler.base_lrs[0] = 1e-2
    hook.scheduler.step = lambda: None
    batch = make_batch(1, 64, 64)
    batch[0]["frame_t"] = torch.full_like(batch[0]["frame_t"], 30)  # unlike noise
    first = _iterate(hook, batch)[1]
    for _ in range(15):
        last = _iterate(hook, batch)[1]
    assert last["[metric]logit_real"] > last["[metric]logit_fake"] + 0.5
    assert last["loss_d_real"] + last["loss_d_fake"] < first["loss_d_real"] + first["loss_d_fake"]


def test_start_iter(small_cfg, make_batch):
    small_cfg.MODEL.DISCRIMINATOR.NAME = "roi"
    hook = _build(small_cfg, start_iter=1)
    losses, logged = _iterate(hook, make_batch(1, 64, 64))
    assert "loss_gan_g" not in losses and not logged
    losses, logged = _iterate(hook, make_batch(1, 64, 64))
    assert "loss_gan_g" in losses and "loss_d_real" in logged


def test_no_proposals_break_nothing(small_cfg, make_batch):
    small_cfg.MODEL.DISCRIMINATOR.NAME = "roi"
    hook = _build(small_cfg)
    hook.model.frozen_rpn.proposal_generator.min_box_size = 1e6
    before = [p.clone() for p in hook.discriminator.parameters()]
    _, logged = _iterate(hook, make_batch(2, 64, 64))
    assert logged["loss_d_real"] == logged["loss_d_fake"] == 0
    assert logged["[metric]regions_per_image"] == 0
    assert all(torch.equal(p, b) for p, b in zip(hook.discriminator.parameters(), before))


def test_state_survives(small_cfg, make_batch):
    small_cfg.MODEL.DISCRIMINATOR.NAME = "roi"
    hook = _build(small_cfg)
    _iterate(hook, make_batch(1, 64, 64))
    again = _build(small_cfg)
    again.load_state_dict(hook.state_dict())
    theirs, ours = hook.discriminator.state_dict(), again.discriminator.state_dict()
    assert all(torch.equal(v, ours[k]) for k, v in theirs.items())
    assert again.scheduler.last_epoch == 1
    steps = [x["step"].item() for x in again.optimizer.state_dict()["state"].values()]
    assert steps == [1.0] * len(list(hook.discriminator.parameters()))


def test_nonfinite_loss_stops_by_iteration(small_cfg, make_batch):
    small_cfg.MODEL.DISCRIMINATOR.NAME = "roi"
    hook = _build(small_cfg)
    with torch.no_grad():
        hook.discriminator.trunk[0].bias.fill_(float("nan"))
    with pytest.raises(FloatingPointError, match="iteration=0"):
        _iterate(hook, make_batch(1, 64, 64))
