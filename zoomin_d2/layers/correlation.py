"""How alike are two frames' features, for every small displacement: a local cost volume."""

import os

import torch
import torch.nn.functional as F

# One kernel instead of 2 (2 r + 1)^2 where there are GPU, Triton and a C compiler.
_USE_TRITON = os.environ.get("ZOOMIN_TRITON") == "1"


def bilateral_correlation(
    features_1: torch.Tensor, features_2: torch.Tensor, radius: int
) -> torch.Tensor:
    """Likeness of ``features_1(x - d)`` and ``features_2(x + d)`` for all |d| <= radius.

    An object seen at x in the middle of its way from frame_1 to frame_2 came from x - d and goes to
    x + d: the volume sits on the frame between the two, not on one of them (the bilateral cost
    volume of BMBC, Park et al., ECCV 2020). Outside the frame features are zero.

    Args:
        features_1, features_2: (N, C, H, W), of frames already warped to the same time, or of the
            frames themselves.
        radius: largest displacement in either direction, in pixels of this grid.

    Returns:
        (N, (2 * radius + 1)**2, H, W), the dot product over C divided by sqrt(C); displacements
        d = (dx, dy) in row-major order, dy first.
    """
    if _USE_TRITON and features_1.is_cuda:
        from zoomin_d2.layers import triton_correlation

        return triton_correlation.bilateral_correlation(features_1, features_2, radius)
    channels, height, width = features_1.shape[1:]
    diameter = 2 * radius + 1
    padded_1, padded_2 = (F.pad(x, (radius,) * 4) for x in (features_1, features_2))
    if torch.is_grad_enabled():
        # Few, large kernels that are cheap to differentiate, on views (N, C, dy, dx, H, W).
        windows_1, windows_2 = (
            x.unfold(2, height, 1).unfold(3, width, 1) for x in (padded_1, padded_2)
        )
        volume = (windows_1.flip(2, 3) * windows_2).sum(dim=1).flatten(1, 2)
        return volume * channels**-0.5
    # The same without (2 r + 1)^2 copies of the features, which are gigabytes for a 4K frame: a row
    # of displacements at a time, from 2 r + 1 copies of one frame's (views cannot run backwards).
    shifted_1 = padded_1.unfold(3, width, 1).flip(3)
    shifted_2 = padded_2.unfold(3, width, 1)
    rows = [
        (shifted_1.narrow(2, 2 * radius - y, height) * shifted_2.narrow(2, y, height)).sum(dim=1)
        for y in range(diameter)
    ]
    return torch.cat([row.transpose(1, 2) for row in rows], dim=1) * channels**-0.5
