"""The losses of section 3.4 as pure functions: tensors in, an unweighted scalar out.

Frames are (N, 3, H, W) in [0, 1]; the functions average, so a value does not depend on the size.
The caller applies the weights (lambda_0 to lambda_4), once.
"""

from collections.abc import Mapping

import torch
import torch.nn.functional as F

# The paper's images are on 0..255 and its lambdas are balanced for that; ours are on [0, 1].
PHOTOMETRIC_SCALE = 255.0
EPSILON = 1e-3  # of eq. 6, on [0, 1]


def charbonnier(x: torch.Tensor, epsilon: float = EPSILON) -> torch.Tensor:
    """Robust l1 norm, ``sqrt(x^2 + epsilon^2)``, element by element (eq. 6)."""
    return torch.sqrt(x * x + epsilon * epsilon)


def _dx(x: torch.Tensor) -> torch.Tensor:
    return x[..., :, 1:] - x[..., :, :-1]


def _dy(x: torch.Tensor) -> torch.Tensor:
    return x[..., 1:, :] - x[..., :-1, :]


def photometric_loss(frame: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Charbonnier difference of color and of its first x and y gradients (eq. 5), on [0, 1]."""
    difference = frame.float() - target.float()
    return (
        charbonnier(difference).mean()
        + charbonnier(_dx(difference)).mean()
        + charbonnier(_dy(difference)).mean()
    )


def psnr_loss(frame: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Minus the frames' mean PSNR in dB; a frame counts as at most 50 dB.

    Each frame's squared error is weighted by its inverse, so that a still frame and one with large
    motion count the same, as they do in a benchmark's mean.

    Args:
        frame, target: (N, C, H, W) in [0, 1].
    """
    errors = (frame.float() - target.float()).square().mean(dim=(1, 2, 3))
    return 10 * torch.log10(errors + 1e-5).mean()


def laplacian_loss(frame: torch.Tensor, target: torch.Tensor, levels: int = 5) -> torch.Tensor:
    """L1 distance of Laplacian pyramids (Niklaus & Liu, CVPR 2018), per value of the frame.

    Each level's sum counts twice the next finer one's; the last level is the remaining low-pass.

    Args:
        frame, target: (N, C, H, W), any size.
    """
    # The pyramid is linear: the pyramid of the difference is the difference of the pyramids.
    rest = frame.float() - target.float()
    kernel = _binomial(rest)
    total = rest.new_zeros(())
    num_values = rest.numel()
    with torch.autocast(rest.device.type, enabled=False):
        for level in range(levels - 1):
            smaller = _halved(rest, kernel)
            total = total + 2**level * (rest - _doubled(smaller, kernel, rest)).abs().sum()
            rest = smaller
    return (total + 2 ** (levels - 1) * rest.abs().sum()) / num_values


def _binomial(x: torch.Tensor) -> torch.Tensor:
    """(C, 1, 5, 5): (1, 4, 6, 4, 1) / 16 in both directions, for each of x's channels.

    Computed by arithmetic, because a CUDA graph cannot record a copy of numbers to the device.
    """
    distance = (torch.arange(5, device=x.device, dtype=x.dtype) - 2).abs()
    row = (6 - 1.5 * distance - 0.5 * distance * distance) / 16
    return (row * row[:, None]).repeat(x.shape[1], 1, 1, 1)


def _replicated(x: torch.Tensor, pixels: int) -> torch.Tensor:
    """x with its border repeated. (F.pad's gradient fails in compiled training, torch 2.11.)"""
    for dim in (-1, -2):
        first, last = x.narrow(dim, 0, 1), x.narrow(dim, -1, 1)
        x = torch.cat((*[first] * pixels, x, *[last] * pixels), dim)
    return x


def _halved(x: torch.Tensor, kernel: torch.Tensor) -> torch.Tensor:
    """Every second pixel of x, smoothed; the border is replicated."""
    # Convolutions, because torch.compile would take minutes to inline nested pools.
    return F.conv2d(_replicated(x, 2), kernel, stride=2, groups=len(kernel))


def _doubled(x: torch.Tensor, kernel: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """Back to the size of ``like``: zeros between the pixels, smoothed."""
    x = F.conv_transpose2d(_replicated(x, 1), 4 * kernel, stride=2, groups=len(kernel))
    return x[..., 4 : 4 + like.shape[-2], 4 : 4 + like.shape[-1]]


def perceptual_loss(
    features: Mapping[str, torch.Tensor], target_features: Mapping[str, torch.Tensor]
) -> torch.Tensor:
    """Mean absolute difference of named features (eq. 7), averaged over the names.

    Raises:
        ValueError: if the two do not hold the same names.
    """
    if features.keys() != target_features.keys():
        raise ValueError(
            f"features {set(features)} differ from the target's {set(target_features)}"
        )
    distances = [(x.float() - target_features[k].float()).abs().mean() for k, x in features.items()]
    return torch.stack(distances).mean()


def smoothness_loss(*maps: torch.Tensor) -> torch.Tensor:
    """Sum over maps of the mean absolute first-order x and y gradient (L_s of section 3.4).

    Args:
        maps: flows (N, 2, H, W) in pixels and the blend mask (N, 1, H, W).
    """
    return torch.stack([_dx(x).abs().mean() + _dy(x).abs().mean() for x in maps]).sum()


def mean_over_valid(values: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
    """Mean over an image's valid slots, then over images: ``E[1/N sum_i ...]`` of eq. 9 and 10.

    An image without a valid slot counts as zero. So the mean over images is the same however they
    are spread over processes, and without any proposals it is 0, still connected to the graph.

    Args:
        values: (N, M).
        valid: (N, M) bool.
    """
    weights = valid / valid.sum(dim=1, keepdim=True).clamp(min=1)
    return (torch.where(valid, values.float(), 0) * weights).sum(dim=1).mean()


def hinge_d_losses(
    logits_real: torch.Tensor, logits_fake: torch.Tensor, valid: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """The discriminator's hinge loss, its real and its fake half (eq. 9).

    As printed, eq. 9 has a bracket inside D and a sign wrong. It means the hinge loss of spectral
    normalization GANs: ``relu(1 - D(P))`` for real and ``relu(1 + D(P~))`` for synthesized patches.

    Args:
        logits_real, logits_fake: (N, M).
        valid: (N, M) bool.
    """
    loss_real = mean_over_valid(torch.relu(1 - logits_real.float()), valid)
    loss_fake = mean_over_valid(torch.relu(1 + logits_fake.float()), valid)
    return loss_real, loss_fake


def hinge_g_loss(logits_fake: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
    """``-D(P~)``, the generator's adversarial loss (eq. 10); arguments as `hinge_d_losses`."""
    return -mean_over_valid(logits_fake, valid)


def with_gradient(
    value: torch.Tensor, gradient: torch.Tensor, source: torch.Tensor
) -> torch.Tensor:
    """The scalar ``value``, whose gradient with respect to ``source`` is ``gradient``."""
    return value + (gradient * (source - source.detach())).sum()
