"""Images or zoomed ROI patches in [0, 1] go in, logits come out; spectrally normalized.

There is no batch normalization: the number of ROIs varies per process, and the paper names spectral
normalization [17].
"""

from itertools import pairwise

import torch
from detectron2.config import CfgNode
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm


class ROIDiscriminator(nn.Module):
    """Judges each patch as a whole: (R, 3, S, S) -> (R, 1) logits, no sigmoid.

    Four halving convolutions, then a sum over positions and a linear layer, as in SN-GAN's
    networks for 64 x 64 images.
    """

    is_patch_based = True

    def __init__(self, channels: int = 64):
        super().__init__()
        self.trunk = _trunk(channels)
        self.score = spectral_norm(nn.Linear(8 * channels, 1))

    def forward(self, patches: torch.Tensor) -> torch.Tensor:
        # The sum, not the mean: spectral normalization bounds every layer's gain, and a mean would
        # keep all logits so close to 0 that both hinge losses stay at 1.
        return self.score(self.trunk(patches * 2 - 1).sum(dim=(2, 3)))


class ImageDiscriminator(nn.Module):
    """Judges the whole image evenly: (N, 3, H, W) -> (N, M) logits of M overlapping regions.

    Each logit sees 46 x 46 pixels (a PatchGAN): the whole-image recipe does not lack a wide view,
    but the choice of where to look, and the zoom.
    """

    is_patch_based = False

    def __init__(self, channels: int = 64):
        super().__init__()
        self.trunk = _trunk(channels)
        self.score = spectral_norm(nn.Conv2d(8 * channels, 1, 1))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.score(self.trunk(images * 2 - 1)).flatten(1)


def build_discriminator(cfg: CfgNode) -> nn.Module | None:
    """``cfg.MODEL.DISCRIMINATOR.NAME``: "roi", "image", or None for "none".

    Raises:
        ValueError: for any other name.
    """
    name, channels = cfg.MODEL.DISCRIMINATOR.NAME, cfg.MODEL.DISCRIMINATOR.CHANNELS
    if name == "none":
        return None
    if name not in ("roi", "image"):
        raise ValueError(f"MODEL.DISCRIMINATOR.NAME must be none, image or roi, got '{name}'")
    discriminator = (ROIDiscriminator if name == "roi" else ImageDiscriminator)(channels)
    return discriminator.to(cfg.MODEL.DEVICE)


def _trunk(channels: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    widths = (3, channels, 2 * channels, 4 * channels, 8 * channels)
    for c_in, c_out in pairwise(widths):
        conv = nn.Conv2d(c_in, c_out, kernel_size=4, stride=2, padding=1)
        layers += [spectral_norm(conv), nn.LeakyReLU(0.1, inplace=True)]
    return nn.Sequential(*layers)
