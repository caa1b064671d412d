"""THE definition of optical flow in this project, and what follows from it.

``flow_1t`` and ``flow_2t`` are (N, 2, H, W) tensors of (dx, dy), in pixels of the frame they sit
on, x to the right and y down. Pixel x of frame t is sampled from frame_1 at ``x + flow_1t(x)`` and
from frame_2 at ``x + flow_2t(x)``. Zero flow is the identity. The blend mask b is the weight of
warped_1.
"""

import torch
import torch.nn.functional as F

# Padding for pixels outside the frame, at clamped positions. A bilinear kernel gives them no
# weight; a bicubic one does, and reads the border's values.
_PADDING = {"bilinear": "zeros", "bicubic": "border"}


def backward_warp(frame: torch.Tensor, flow: torch.Tensor, mode: str = "bilinear") -> torch.Tensor:
    """Sample a frame, or a feature map of the same size, where a flow points (eq. 3).

    The paper prints eq. 3 without its "1 -"; it means bilinear sampling,
    ``g(I, f)(x) = sum_i I_i max(0, 1 - |x + f(x) - i|_u) max(0, 1 - |x + f(x) - i|_v)``.
    Positions outside the frame take the value of the nearest border pixel.

    Mode "bicubic" is the convolution kernel of Keys with a = -0.75, 4 x 4 pixels around the
    position. It is sharper, and may leave the range of the frame by a few percent. The border rule,
    in either mode and in each direction: first the position is clamped to [0, size - 1], then each
    pixel that the kernel reads, floor(position) - 1 to floor(position) + 2, is clamped to the same
    interval.

    Args:
        frame: (N, C, H, W), any range.
        flow: (N, 2, H, W), (dx, dy) in pixels.
        mode: "bilinear" or "bicubic".

    Returns:
        (N, C, H, W) in the dtype of ``frame``. Differentiable in both arguments.

    Raises:
        ValueError: the two differ in N, H or W, the flow does not have two channels, or the mode is
            unknown.
    """
    if mode not in _PADDING:
        raise ValueError(f"mode must be bilinear or bicubic, got '{mode}'")
    n, _, height, width = frame.shape
    if flow.shape != (n, 2, height, width):
        raise ValueError(
            f"flow must be {(n, 2, height, width)} for a frame of {tuple(frame.shape)}, "
            f"got {tuple(flow.shape)}"
        )
    return sample(frame, sampling_grid(flow, (height, width)), mode)


def sampling_grid(flow: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Where `backward_warp` samples, for `sample`: one grid is enough for two warps by one flow.

    Args:
        flow: (N, 2, H, W), (dx, dy) in pixels.
        size: (H, W) of the frame. (For ONNX's exporter, a flow's own size can be a constant.)

    Returns:
        (N, H, W, 2) float32: x and y, of which -1 and 1 are the first and last pixels' centers.
    """
    height, width = size
    # Half precision cannot hold pixel coordinates above 256 exactly: positions are float32.
    flow = flow.float()
    x = torch.arange(width, device=flow.device, dtype=flow.dtype)
    y = torch.arange(height, device=flow.device, dtype=flow.dtype)
    # Clamping acts as "border" padding, and also runs where grid_sample only has "zeros" (MPS).
    sample_x = (x + flow[:, 0]).clamp(0, width - 1)
    sample_y = (y[:, None] + flow[:, 1]).clamp(0, height - 1)
    # Size 1 only has 0; a sum handles it, not a branch, so that a trace with one size runs with
    # any.
    span_x, span_y = width - 1 + (width == 1), height - 1 + (height == 1)
    positions = sample_x * (2 / span_x) - 1, sample_y * (2 / span_y) - 1
    if flow.device.type == "cpu":  # OpenVINO writes x and y in turn ten times as slowly as planes
        return torch.stack(positions, dim=1).permute(0, 2, 3, 1)
    return torch.stack(positions, dim=-1)


def sample(frame: torch.Tensor, grid: torch.Tensor, mode: str = "bilinear") -> torch.Tensor:
    """A frame where a `sampling_grid` points; see `backward_warp`."""
    with torch.autocast(frame.device.type, enabled=False):
        warped = F.grid_sample(
            frame.float(), grid, mode=mode, padding_mode=_PADDING[mode], align_corners=True
        )
    # ONNX's exporter would record the sizes of the sampled frame as constants.
    return warped.to(frame.dtype).view(frame.shape)


def blend(warped_1: torch.Tensor, warped_2: torch.Tensor, blend_mask: torch.Tensor) -> torch.Tensor:
    """``b * warped_1 + (1 - b) * warped_2`` (eq. 1 for frames, eq. 2 for features).

    Args:
        warped_1, warped_2: (N, C, H, W).
        blend_mask: (N, 1, H, W) in [0, 1], the weight of ``warped_1``.
    """
    if torch.onnx.is_in_onnx_export():  # lerp would become both of its two formulas, and a choice
        return warped_2 + blend_mask.to(warped_1.dtype) * (warped_1 - warped_2)
    return torch.lerp(warped_2, warped_1, blend_mask.to(warped_1.dtype).expand_as(warped_1))


def resize_flow(flow: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Resize a flow to ``size`` (height, width) pixels; its values are rescaled with it.

    Args:
        flow: (N, 2, H, W) in pixels of its own grid.

    Returns:
        (N, 2, *size) in pixels of the new grid.
    """
    height, width = flow.shape[-2:]
    if (height, width) == tuple(size):
        return flow
    flow = F.interpolate(flow, size=size, mode="bilinear", align_corners=False)
    scale_x, scale_y = size[1] / width, size[0] / height
    if scale_x == scale_y:
        return flow * scale_x
    # The factors are numbers: copying a tensor of them to the device would wait for the device, and
    # could not be recorded in a CUDA graph.
    return torch.cat((flow[:, :1] * scale_x, flow[:, 1:] * scale_y), dim=1)


def pad_to_multiple(frame: torch.Tensor, multiple: int) -> torch.Tensor:
    """Replicate the right and bottom border until H and W are multiples of ``multiple``.

    Args:
        frame: (N, C, H, W), any size from 1 x 1 up.

    Returns:
        (N, C, H', W'); ``crop(result, (H, W))`` restores the frame.
    """
    height, width = frame.shape[-2:]
    if is_exporting():
        sides = ((n, (n + multiple - 1) // multiple * multiple) for n in (height, width))
        return _take(frame, *(_arange(to, frame).clamp(max=n - 1) for n, to in sides))
    pad_y, pad_x = -height % multiple, -width % multiple
    if pad_x == 0 and pad_y == 0:
        return frame
    return F.pad(frame, (0, pad_x, 0, pad_y), mode="replicate")


def crop(frame: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """The upper left (height, width) pixels of (N, C, H, W): undoes `pad_to_multiple`."""
    height, width = size
    if is_exporting():
        return _take(frame, _arange(height, frame), _arange(width, frame))
    return frame[..., :height, :width]


# torch.export keeps every condition that Python checks on a size. Padding checks whether there is
# any, slicing whether there is enough; indexing rows and columns checks nothing, so that the
# exported program takes any size. From torch 2.7 on.
_exports = getattr(torch.compiler, "is_exporting", lambda: False)


def is_exporting() -> bool:
    """Whether torch.export runs the code. (PyTorch says so within torch.compile, too, where
    slices are free and the gradient of indexing is not.)"""
    return not torch.compiler.is_dynamo_compiling() and _exports()


def _arange(length: int, like: torch.Tensor) -> torch.Tensor:
    return torch.arange(length, device=like.device)


def _take(frame: torch.Tensor, rows: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
    return frame.index_select(-2, rows).index_select(-1, columns)
