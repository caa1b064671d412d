"""Shapes and the spectral bound of the discriminators."""

import pytest
import torch

from zoomin_d2.modeling import ImageDiscriminator, ROIDiscriminator, build_discriminator


def test_logits_per_patch_and_per_region():
    assert ROIDiscriminator(4)(torch.rand(5, 3, 64, 64)).shape == (5, 1)
    assert ROIDiscriminator(4)(torch.rand(0, 3, 64, 64)).shape == (0, 1)
    assert ImageDiscriminator(4, verdict="local")(torch.rand(2, 3, 64, 96)).shape == (2, 4 * 6)


@pytest.mark.parametrize("kind", [ROIDiscriminator, ImageDiscriminator])
def test_every_weight_has_spectral_norm_one(kind):
    torch.manual_seed(0)
    network = kind(8, verdict="both").train()
    for _ in range(50):  # power iterations converge
        network(torch.rand(2, 3, 64, 64))
    network.eval()
    layers = [*network.trunk, network.whole_score, network.local_score]
    weights = [m.weight for m in layers if hasattr(m, "weight")]
    assert len(weights) == 6
    for weight in weights:
        norm = torch.linalg.matrix_norm(weight.flatten(1).detach(), ord=2)
        assert norm.item() == pytest.approx(1, rel=0.02)


def test_config_names(small_cfg):
    for name, kind in (
        ("none", type(None)),
        ("roi", ROIDiscriminator),
        ("image", ImageDiscriminator),
    ):
        small_cfg.MODEL.DISCRIMINATOR.NAME = name
        assert isinstance(build_discriminator(small_cfg), kind)
    small_cfg.MODEL.DISCRIMINATOR.NAME = "patch"
    with pytest.raises(ValueError, match="'patch'"):
        build_discriminator(small_cfg)


def test_local_verdicts_add_to_the_whole():
    torch.manual_seed(0)
    discriminator = ROIDiscriminator(4, verdict="both").eval()
    patches = torch.rand(3, 3, 64, 64)
    logits = discriminator(patches)
    assert logits.shape == (3, 16)
    features = discriminator.trunk(patches * 2 - 1)
    whole = discriminator.whole_score(features.sum((2, 3)))
    place = discriminator.local_score(features)[1, 0, 2, 3]
    assert torch.allclose(logits[1, 4 * 2 + 3], whole[1, 0] + place)


@pytest.mark.parametrize("name", ["roi", "image"])
def test_conditional_reads_nine_channels(name, small_cfg):
    small_cfg.MODEL.DISCRIMINATOR.NAME = name
    small_cfg.MODEL.DISCRIMINATOR.CONDITIONAL = True
    discriminator = build_discriminator(small_cfg)
    assert discriminator.conditional
    assert len(discriminator(torch.rand(2, 9, 64, 64))) == 2


@pytest.mark.parametrize("name, now", [("roi", "whole_score"), ("image", "local_score")])
def test_score_of_older_checkpoints(name, now, small_cfg):
    small_cfg.MODEL.DISCRIMINATOR.NAME = name
    older, newer = build_discriminator(small_cfg), build_discriminator(small_cfg)
    state = {k.replace(now, "score"): v for k, v in older.state_dict().items()}
    assert any(k.startswith("score.") for k in state)
    newer.load_state_dict(state)
    assert all(torch.equal(v, older.state_dict()[k]) for k, v in newer.state_dict().items())


def test_whole_image_is_one_judgement(small_cfg):
    small_cfg.MODEL.DISCRIMINATOR.NAME = "image"
    small_cfg.MODEL.DISCRIMINATOR.VERDICT = "whole"
    assert build_discriminator(small_cfg)(torch.rand(2, 3, 64, 96)).shape == (2, 1)
