"""Learning-rate schedules: the paper's numbers."""

import pytest
import torch

from zoomin_d2.engine.solver import PaperExponentialLR, build_lr_scheduler, build_optimizer


def _paper(cfg):
    cfg.SOLVER.BASE_LR = 1e-4
    cfg.SOLVER.LR_SCHEDULER_NAME = "PaperExponentialLR"
    cfg.SOLVER.PAPER_DECAY_ITERS = 10
    cfg.SOLVER.PAPER_LR_FLOOR = 1e-8
    cfg.SOLVER.MAX_ITER = 100
    return cfg


def test_the_papers_schedule(small_cfg):
    cfg = _paper(small_cfg)
    optimizer = build_optimizer(cfg, [torch.nn.Parameter(torch.zeros(1))])
    scheduler = build_lr_scheduler(cfg, optimizer)
    rates = []
    for _ in range(60):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    assert rates[0] == pytest.approx(1e-4)
    assert rates[5] == pytest.approx(1e-4 * 10**-0.5)
    assert rates[10] == pytest.approx(1e-5)  # x 0.1 per 10 epochs
    assert rates[40] == pytest.approx(1e-8)
    assert rates[59] == pytest.approx(1e-8)  # clipped


def test_the_schedule_stays_at_its_floor():
    schedule = PaperExponentialLR(max_iter=1000, decay_iters=2, floor=1e-3)
    assert schedule(0) == 1
    assert schedule(0.001) == pytest.approx(10**-0.5)  # after one iteration
    assert schedule(0.005) == pytest.approx(10**-2.5)
    assert schedule(0.007) == schedule(0.5) == schedule(1) == 1e-3  # 0.1 ** 500 is no number


def test_adam_leaves_out_frozen_weights(small_cfg):
    small_cfg.SOLVER.BASE_LR = 2e-4
    trained, frozen = torch.nn.Parameter(torch.zeros(2)), torch.nn.Parameter(torch.zeros(3))
    frozen.requires_grad_(False)
    optimizer = build_optimizer(small_cfg, [trained, frozen], lr_factor=0.5)
    assert isinstance(optimizer, torch.optim.Adam)
    (group,) = optimizer.param_groups
    assert group["params"] == [trained]
    assert group["lr"] == pytest.approx(1e-4)
    assert group["betas"] == (0.9, 0.999)


def test_clipping_bounds_the_whole_norm(small_cfg):
    small_cfg.SOLVER.CLIP_GRADIENTS.ENABLED = True
    small_cfg.SOLVER.CLIP_GRADIENTS.CLIP_TYPE = "full_model"
    small_cfg.SOLVER.CLIP_GRADIENTS.CLIP_VALUE = 1.0
    one, two = torch.nn.Parameter(torch.zeros(1)), torch.nn.Parameter(torch.zeros(1))
    optimizer = build_optimizer(small_cfg, [one, two])
    one.grad, two.grad = torch.tensor([3.0]), torch.tensor([4.0])
    optimizer.step()
    assert one.grad.item() == pytest.approx(0.6, rel=1e-4)
    assert two.grad.item() == pytest.approx(0.8, rel=1e-4)


def test_clipping_without_gradients(small_cfg):
    small_cfg.SOLVER.CLIP_GRADIENTS.ENABLED = True
    small_cfg.SOLVER.CLIP_GRADIENTS.CLIP_TYPE = "full_model"
    weight = torch.nn.Parameter(torch.ones(2))
    build_optimizer(small_cfg, [weight]).step()  # of an iteration that was skipped
    assert weight.tolist() == [1, 1]
