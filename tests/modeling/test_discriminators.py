"""Shapes and the spectral bound of the discriminators."""

import pytest
import torch

from zoomin_d2.modeling import ImageDiscriminator, ROIDiscriminator, build_discriminator


def test_logits_per_patch_and_per_region():
    assert ROIDiscriminator(4)(torch.rand(5, 3, 64, 64)).shape == (5, 1)
    assert ROIDiscriminator(4)(torch.rand(0, 3, 64, 64)).shape == (0, 1)
    assert ImageDiscriminator(4)(torch.rand(2, 3, 64, 96)).shape == (2, 4 * 6)


@pytest.mark.parametrize("kind", [ROIDiscriminator, ImageDiscriminator])
def test_every_weight_has_spectral_norm_one(kind):
    torch.manual_seed(0)
    network = kind(8).train()
    for _ in range(50):  # power iterations converge
        network(torch.rand(2, 3, 64, 64))
    network.eval()
    layers = [*network.trunk, network.score]
    weights = [m.weight for m in layers if hasattr(m, "weight")]
    assert len(weights) == 5
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
    discriminator = ROIDiscriminator(4, local=True).eval()
    patches = torch.rand(3, 3, 64, 64)
    logits = discriminator(patches)
    assert logits.shape == (3, 16)
    features = discriminator.trunk(patches * 2 - 1)
    whole = discriminator.score(features.sum((2, 3)))
    place = discriminator.local_score(features)[1, 0, 2, 3]
    assert torch.allclose(logits[1, 4 * 2 + 3], whole[1, 0] + place)


@pytest.mark.parametrize("name", ["roi", "image"])
def test_conditional_reads_nine_channels(name, small_cfg):
    small_cfg.MODEL.DISCRIMINATOR.NAME = name
    small_cfg.MODEL.DISCRIMINATOR.CONDITIONAL = True
    discriminator = build_discriminator(small_cfg)
    assert discriminator.conditional
    assert len(discriminator(torch.rand(2, 9, 64, 64))) == 2
