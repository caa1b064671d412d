"""How similar two frames' features are, for every small displacement: a local cost volume."""

import os

import torch
import torch.nn.functional as F

from zoomin_d2.layers.warp import is_exporting

_WISH = os.environ.get("ZOOMIN_TRITON")


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
    if features_1.is_cuda and _uses_triton():
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
    # float16 stands for a GPU's work, which tools/analyze_model.py counts on a CPU. torch.export
    # would keep whether a row has one piece or more.
    is_cpu = features_1.device.type == "cpu" and features_1.dtype != torch.float16
    if is_cpu and not is_exporting():
        return _by_products(padded_1, padded_2, radius, (height, width)) * channels**-0.5
    # The same without (2 r + 1)^2 copies of the features, which take gigabytes for a 4K frame: a
    # row of displacements at a time, from 2 r + 1 copies of them, (N, H', dx, W, C).
    padded_1, padded_2 = (x.permute(0, 2, 3, 1) for x in (padded_1, padded_2))
    steps = range(diameter)
    shifted_1 = torch.stack([padded_1[:, :, 2 * radius - x :][:, :, :width] for x in steps], dim=2)
    shifted_2 = torch.stack([padded_2[:, :, x : x + width] for x in steps], dim=2)
    rows = [
        (shifted_1[:, 2 * radius - y :][:, :height] * shifted_2[:, y : y + height]).sum(dim=-1)
        for y in steps
    ]
    return torch.cat([row.transpose(1, 2) for row in rows], dim=1) * channels**-0.5


def _uses_triton() -> bool:
    """Whether a GPU's volume is one kernel instead of 2 (2 r + 1)^2: where it is wanted, and in
    compiled training, which needs Triton and a C compiler anyway (and gains 10 %)."""
    if _WISH in ("0", "1"):
        return _WISH == "1"
    return torch.is_grad_enabled() and torch.compiler.is_dynamo_compiling()


def _by_products(
    padded_1: torch.Tensor, padded_2: torch.Tensor, radius: int, size: tuple[int, int]
) -> torch.Tensor:
    """A piece of a row of frame_2 times one of frame_1, as matrices: the displacements are parts
    of the diagonals of the product.

    A fifth of the dot products are used. A CPU multiplies matrices so much faster than it reads
    and writes single elements that the volume still takes a third of the time.

    Args:
        padded_1, padded_2: (N, C, H + 2 r, W + 2 r).
        size: H, W.

    Returns:
        (N, (2 r + 1)**2, H, W), not yet divided.
    """
    height, width = size
    steps = range(2 * radius + 1)
    length = max(28, 4 * radius)  # of a piece, in pixels; neighbors overlap by 2 r
    advance = length - 2 * radius
    count = (width + advance - 1) // advance
    columns = (torch.arange(count)[:, None] * advance + torch.arange(length)).flatten()

    def pieces(padded: torch.Tensor) -> torch.Tensor:  # (N, H + 2 r, count, length, C)
        rows = F.pad(padded, (0, advance - 1)).permute(0, 2, 3, 1)
        return rows.index_select(2, columns).unflatten(2, (count, length))

    def products(piece_1: torch.Tensor, piece_2: torch.Tensor) -> torch.Tensor:
        return torch.matmul(piece_2, piece_1.transpose(-2, -1)).flatten(-2)

    pieces_1, pieces_2 = pieces(padded_1), pieces(padded_2)
    # Pixel p of a piece and displacement x: row p + x, column p + 2 r - x.
    if torch.onnx.is_in_onnx_export():  # ONNX has no views: few, large operations
        p, x = torch.arange(advance), torch.arange(len(steps))[:, None]
        places = ((p + x) * length + p + 2 * radius - x).flatten()
        rows_1, rows_2 = (first + torch.arange(height) for first in (2 * radius - x, x))
        found = products(
            pieces_1.index_select(1, rows_1.flatten()), pieces_2.index_select(1, rows_2.flatten())
        ).index_select(-1, places)
        found = found.view(len(found), len(steps), height, count, len(steps), advance)
        return found.permute(0, 1, 4, 2, 3, 5).flatten(1, 2).flatten(3)[..., :width]
    shape = (len(padded_1), len(steps), len(steps), height, count, advance)
    costs = padded_1.new_empty(shape)
    for y in steps:
        rows_1, rows_2 = pieces_1[:, 2 * radius - y :][:, :height], pieces_2[:, y : y + height]
        found = products(rows_1, rows_2)[..., 2 * radius :]
        found = found.unfold(-1, (advance - 1) * (length + 1) + 1, length - 1)
        costs[:, y] = found[..., :: length + 1].permute(0, 3, 1, 2, 4)
    return costs.flatten(1, 2).flatten(3)[..., :width]
