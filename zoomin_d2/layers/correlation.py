"""How similar two frames' features are, for every small displacement: a local cost volume."""

import os

import torch
import torch.nn.functional as F

# One kernel instead of 2 (2 r + 1)^2, if there are a GPU, Triton and a C compiler.
_USE_TRITON = os.environ.get("ZOOMIN_TRITON") == "1"


def bilateral_correlation(
    features_1: torch.Tensor, features_2: torch.Tensor, radius: int
) -> torch.Tensor:
    """Similarity of ``features_1(x - d)`` and ``features_2(x + d)`` for all |d| <= radius.

    An object seen at x in the middle of its way from frame_1 to frame_2 came from x - d and goes to
    x + d: the volume sits on the frame between the two, not on one of them (the bilateral cost
    volume of BMBC, Park et al., ECCV 2020). Outside the frame, features are zero.

    Args:
        features_1, features_2: (N, C, H, W), of frames already warped to the same time, or of the
            original frames.
        radius: largest displacement in either direction, in pixels of this grid.

    Returns:
        (N, (2 * radius + 1)**2, H, W), the dot product over C divided by sqrt(C); displacements
        d = (dx, dy) in row-major order, dy first.
    """
    if _USE_TRITON and features_1.is_cuda:
        from zoomin_d2.layers.kernels import correlation as triton_correlation

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
    # The same without (2 r + 1)^2 copies of the features, which take gigabytes for a 4K frame.
    padded_1, padded_2 = (x.permute(0, 2, 3, 1) for x in (padded_1, padded_2))
    steps = range(diameter)
    if features_1.device.type == "cpu" and features_1.dtype != torch.float16:
        # One displacement at a time stays in a CPU's cache: up to three times as fast there.
        # float16 stands for a GPU's work, which tools/analyze_model.py counts on a CPU.
        costs = [
            (
                padded_1[:, 2 * radius - y :, 2 * radius - x :][:, :height, :width]
                * padded_2[:, y : y + height, x : x + width]
            ).sum(dim=-1)
            for y in steps
            for x in steps
        ]
        return torch.stack(costs, dim=1) * channels**-0.5
    # A row of displacements at a time, from 2 r + 1 copies of the features, (N, H', dx, W, C): far
    # fewer kernels. Slices, because ONNX has no views of windows.
    shifted_1 = torch.stack([padded_1[:, :, 2 * radius - x :][:, :, :width] for x in steps], dim=2)
    shifted_2 = torch.stack([padded_2[:, :, x : x + width] for x in steps], dim=2)
    rows = [
        (shifted_1[:, 2 * radius - y :][:, :height] * shifted_2[:, y : y + height]).sum(dim=-1)
        for y in steps
    ]
    return torch.cat([row.transpose(1, 2) for row in rows], dim=1) * channels**-0.5
