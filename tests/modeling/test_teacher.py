"""zoomin_d2.modeling.teacher: what it mixes into the true frame, what a training makes of it."""

import pytest
import torch
from detectron2.modeling import build_model

from tests.helpers.weighted_average import WeightedAverage
from zoomin_d2 import Interpolator
from zoomin_d2.model_zoo.generator_file import load_generator
from zoomin_d2.modeling import build_discriminator
from zoomin_d2.modeling.losses import psnr_loss
from zoomin_d2.modeling.teacher import Teacher

TIMES = torch.tensor([0.25, 0.5])
DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.needs_gpu)]


@pytest.fixture
def taught_cfg(small_cfg):
    small_cfg.MODEL.TEACHER.WEIGHTS = "zoo:fast"
    small_cfg.MODEL.TEACHER.SHARE = 1.0
    small_cfg.MODEL.PERCEPTUAL.FEATURES = []
    return small_cfg


@pytest.mark.parametrize(
    ("share", "expected"), [(0.0, (0.9, 0.9)), (0.5, (0.6, 0.7)), (1.0, (0.3, 0.5))]
)
def test_share_of_the_teacher(share, expected):
    frame_1, frame_2, truth = (torch.full((2, 3, 8, 8), x) for x in (0.1, 0.9, 0.9))
    # The teacher's at 0.25: 0.75 * 0.1 + 0.25 * 0.9 = 0.3.
    target = Teacher(WeightedAverage, share).mix(frame_1, frame_2, truth, TIMES)
    torch.testing.assert_close(target, torch.tensor(expected).view(2, 1, 1, 1).expand(2, 3, 8, 8))


@pytest.mark.parametrize("device", DEVICES)
def test_teacher_averages_mirror_images(device):
    frames = torch.rand(3, 2, 3, 32, 40, generator=torch.Generator().manual_seed(0))
    best = Interpolator.from_pretrained("fast", "cpu", torch.float32, quality="best")
    teacher = Teacher(lambda: load_generator("fast").generator, 1.0)
    frame_1, frame_2, truth = frames.to(device)
    with torch.autocast(device, dtype=torch.bfloat16):  # as in training: it must not reach in
        target = teacher.mix(frame_1, frame_2, truth, TIMES.to(device))
    assert target.dtype == torch.float32
    for i, t in enumerate(TIMES.tolist()):
        expected = best(frames[0, i : i + 1], frames[1, i : i + 1], t)
        difference = (target[i : i + 1].cpu() - expected).abs()
        assert difference.mean() < 4e-3  # half precision, of noise


def test_teacher_is_loaded_for_training(taught_cfg, make_batch, tmp_path):
    taught_cfg.MODEL.TEACHER.WEIGHTS = str(tmp_path / "gone.safetensors")
    model = build_model(taught_cfg)
    with torch.no_grad():
        assert len(model.eval()(make_batch(1, 64, 64))) == 1
    with pytest.raises(FileNotFoundError, match="gone"):
        model.train()(make_batch(1, 64, 64))


def test_loading_it_draws_no_random_numbers():
    def load():
        torch.rand(9)
        return WeightedAverage()

    before = torch.get_rng_state()
    Teacher(load, 1.0).mix(*torch.zeros(3, 2, 3, 8, 8), TIMES)
    assert torch.equal(torch.get_rng_state(), before)


def test_losses_compare_with_the_target(taught_cfg, make_batch):
    taught_cfg.MODEL.LOSS_WEIGHTS.PSNR = 1.0
    model = build_model(taught_cfg)
    batch = make_batch(2, 64, 64)
    losses = model(batch)
    record = model.step_record
    frames = record.frame_1, record.frame_2, record.frame_t
    target = model.teacher.mix(*frames, torch.full((2,), 0.5))
    assert not torch.equal(target, record.frame_t)
    expected = psnr_loss(record.outputs.pred_frame, target)
    torch.testing.assert_close(losses["loss_psnr"], expected, rtol=1e-4, atol=1e-4)


def test_teacher_is_not_trained_or_saved(taught_cfg, make_batch):
    model = build_model(taught_cfg)
    teacher = load_generator("fast").generator
    model.teacher._load = lambda: teacher
    model(make_batch(1, 64, 64))  # converts it
    before = [x.clone() for x in teacher.parameters()]
    sum(model(make_batch(1, 64, 64)).values()).backward()
    assert all(x.grad is None for x in teacher.parameters())
    assert all(map(torch.equal, before, teacher.parameters()))
    known = dict(model.generator.named_parameters())
    assert {x.removeprefix("generator.") for x, _ in model.named_parameters()} == known.keys()


def test_discriminator_sees_the_true_frame(taught_cfg, make_batch):
    taught_cfg.MODEL.DISCRIMINATOR.NAME = "image"
    model = build_model(taught_cfg)
    model.set_discriminator(build_discriminator(taught_cfg))
    batch = make_batch(1, 64, 64)
    model(batch)
    torch.testing.assert_close(model.step_record.real[0], batch[0]["frame_t"] / 255)


def test_evaluation_has_no_teacher(taught_cfg, make_batch):
    taught, alone = build_model(taught_cfg).eval(), taught_cfg.clone()
    alone.MODEL.TEACHER.WEIGHTS = ""
    alone = build_model(alone).eval()
    alone.load_state_dict(taught.state_dict())
    batch = make_batch(1, 64, 64)
    assert torch.equal(alone(batch)[0]["pred_frame"], taught(batch)[0]["pred_frame"])
