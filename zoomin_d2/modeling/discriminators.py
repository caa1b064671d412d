"""Images or zoomed ROI patches in [0, 1] go in, logits come out; spectrally normalized.

There is no batch normalization: the number of ROIs varies per process, and the paper names spectral
normalization [17].
"""

from itertools import pairwise

import torch
from detectron2.config import CfgNode
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

VERDICTS = ("whole", "local", "both")


class Discriminator(nn.Module):
    """Four halving convolutions, then one verdict on all they saw, or one for each place, or both.

    The verdict on the whole is a linear layer of the sum over places, as in SN-GAN's networks for
    64 x 64 images. One place sees 46 x 46 pixels (a PatchGAN). With "both", each place's verdict is
    the sum of the two: every part must be right, and all of it together.

    Args:
        channels: width of the first convolution.
        verdict: one of VERDICTS.
        conditional: the same places of the two input frames are judged together with the image.
    """

    is_patch_based: bool

    def __init__(self, channels: int = 64, *, verdict: str = "whole", conditional: bool = False):
        super().__init__()
        self.trunk = _trunk(channels, 9 if conditional else 3)
        is_whole, is_local = verdict != "local", verdict != "whole"
        self.whole_score = spectral_norm(nn.Linear(8 * channels, 1)) if is_whole else None
        self.local_score = spectral_norm(nn.Conv2d(8 * channels, 1, 1)) if is_local else None
        self.conditional = conditional
        self.register_load_state_dict_pre_hook(_rename_score)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(R, 3, H, W), or (R, 9, H, W) if conditional -> logits, no sigmoid: (R, 1) or (R, K)."""
        features = self.trunk(images * 2 - 1)
        verdicts = []
        if self.whole_score is not None:
            # The sum over the 4 x 4 places of a 64 x 64 patch, not the mean: spectral normalization
            # bounds every layer's gain, and a mean would keep all logits so close to 0 that both
            # hinge losses stay at 1. Larger images get the same range.
            verdicts.append(self.whole_score(16 * features.mean(dim=(2, 3))))
        if self.local_score is not None:
            verdicts.append(self.local_score(features).flatten(1))
        return sum(verdicts[1:], start=verdicts[0])


class ROIDiscriminator(Discriminator):
    """Judges zoomed patches of proposals (section 3.3); by default each patch as a whole."""

    is_patch_based = True


class ImageDiscriminator(Discriminator):
    """Judges the whole image; built with "local", because the recipe does not lack a wide view.

    What it lacks is the choice of where to look, and the zoom.
    """

    is_patch_based = False


_KINDS = {"roi": (ROIDiscriminator, "whole"), "image": (ImageDiscriminator, "local")}


def build_discriminator(cfg: CfgNode) -> Discriminator | None:
    """``cfg.MODEL.DISCRIMINATOR.NAME``: "roi", "image", or None for "none".

    Raises:
        ValueError: for any other name.
    """
    options = cfg.MODEL.DISCRIMINATOR
    if options.NAME == "none":
        return None
    if options.NAME not in _KINDS:
        raise ValueError(
            f"MODEL.DISCRIMINATOR.NAME must be none, image or roi, got '{options.NAME}'"
        )
    kind, usual = _KINDS[options.NAME]
    verdict = usual if options.VERDICT == "auto" else options.VERDICT
    discriminator = kind(options.CHANNELS, verdict=verdict, conditional=options.CONDITIONAL)
    return discriminator.to(cfg.MODEL.DEVICE)


def _rename_score(module: Discriminator, state: dict, prefix: str, *_) -> None:
    """Checkpoints of version 0.1 call either score "score"."""
    now = "whole_score" if module.whole_score is not None else "local_score"
    for key in [x for x in state if x.startswith(f"{prefix}score.")]:
        state[f"{prefix}{now}{key.removeprefix(f'{prefix}score')}"] = state.pop(key)


def _trunk(channels: int, channels_in: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    widths = (channels_in, channels, 2 * channels, 4 * channels, 8 * channels)
    for c_in, c_out in pairwise(widths):
        conv = nn.Conv2d(c_in, c_out, kernel_size=4, stride=2, padding=1)
        layers += [spectral_norm(conv), nn.LeakyReLU(0.1, inplace=True)]
    return nn.Sequential(*layers)
