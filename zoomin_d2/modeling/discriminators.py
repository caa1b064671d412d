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
    """Judges each patch as a whole, or, with ``local``, place by place as well.

    Four halving convolutions, then a sum over positions and a linear layer, as in SN-GAN's
    networks for 64 x 64 images.

    Args:
        channels: width of the first convolution.
        local: one verdict for each of the (S / 16)^2 places of the trunk's last map: the verdict on
            the whole patch plus one on that place, so that every part of a patch must be right.
        conditional: the patches of the two input frames are judged together with the patch.
    """

    is_patch_based = True

    def __init__(self, channels: int = 64, *, local: bool = False, conditional: bool = False):
        super().__init__()
        self.trunk = _trunk(channels, 9 if conditional else 3)
        self.score = spectral_norm(nn.Linear(8 * channels, 1))
        self.local_score = spectral_norm(nn.Conv2d(8 * channels, 1, 1)) if local else None
        self.conditional = conditional

    def forward(self, patches: torch.Tensor) -> torch.Tensor:
        """(R, 3, S, S) patches, (R, 9, S, S) if conditional -> (R, K) logits, no sigmoid."""
        features = self.trunk(patches * 2 - 1)
        # The sum, not the mean: spectral normalization bounds every layer's gain, and a mean would
        # keep all logits so close to 0 that both hinge losses stay at 1.
        whole = self.score(features.sum(dim=(2, 3)))
        return whole if self.local_score is None else whole + self.local_score(features).flatten(1)


class ImageDiscriminator(nn.Module):
    """Judges the whole image evenly: logits of M overlapping regions.

    Each logit sees 46 x 46 pixels (a PatchGAN): the whole-image recipe does not lack a wide view,
    but the choice of where to look, and the zoom.

    Args:
        channels: width of the first convolution.
        conditional: the two input frames are judged together with the image.
    """

    is_patch_based = False

    def __init__(self, channels: int = 64, *, conditional: bool = False):
        super().__init__()
        self.trunk = _trunk(channels, 9 if conditional else 3)
        self.score = spectral_norm(nn.Conv2d(8 * channels, 1, 1))
        self.conditional = conditional

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(N, 3, H, W) images, (N, 9, H, W) if conditional -> (N, M) logits, no sigmoid."""
        return self.score(self.trunk(images * 2 - 1)).flatten(1)


def build_discriminator(cfg: CfgNode) -> nn.Module | None:
    """``cfg.MODEL.DISCRIMINATOR.NAME``: "roi", "image", or None for "none".

    Raises:
        ValueError: for any other name.
    """
    options = cfg.MODEL.DISCRIMINATOR
    discriminator: nn.Module
    if options.NAME == "none":
        return None
    if options.NAME == "roi":
        discriminator = ROIDiscriminator(
            options.CHANNELS, local=options.LOCAL, conditional=options.CONDITIONAL
        )
    elif options.NAME == "image":
        discriminator = ImageDiscriminator(options.CHANNELS, conditional=options.CONDITIONAL)
    else:
        raise ValueError(
            f"MODEL.DISCRIMINATOR.NAME must be none, image or roi, got '{options.NAME}'"
        )
    return discriminator.to(cfg.MODEL.DEVICE)


def _trunk(channels: int, channels_in: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    widths = (channels_in, channels, 2 * channels, 4 * channels, 8 * channels)
    for c_in, c_out in pairwise(widths):
        conv = nn.Conv2d(c_in, c_out, kernel_size=4, stride=2, padding=1)
        layers += [spectral_norm(conv), nn.LeakyReLU(0.1, inplace=True)]
    return nn.Sequential(*layers)
