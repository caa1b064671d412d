"""Detail for made frames: fine structure as strong as in the frames around them.

A network trained on a photometric loss gives the mean of what it thinks possible, and a mean is
smooth: made frames have some 0.8 of the fine structure of real ones, and a video pulses between the
two. Where the structure is right and only too weak, it can be amplified to the strength that it has
in the two input frames, moved along the flows. Nothing is learned. With

    Y luma, B the mean of 3 x 3 pixels, D(I) = Y - B(B(Y)), E(I) = B(mean of D(I)^2 over 4 x 4)

the energy that frame t should have is E_t = m w(E(I_1), F_t1) + (1 - m) w(E(I_2), F_t2), with the
blend mask m and the backward warp w of eq. 1, and

    I_t <- I_t + strength (g - 1) D(I_t),   g = sqrt(E_t / E(I_t)), limited to [1, 2.5].

Shape shorthand: N pairs; H, W: a frame; h, w: a quarter of it, rounded up; see motion_decoder.py.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from zoomin_d2.generators.motion_decoder import Time, both_flows
from zoomin_d2.layers import backward_warp, crop, pad_to_multiple

MAX_STRENGTH = 2.0
# Also what the CUDA kernels of this definition get: see inference/detail.py.
CELL = 4  # pixels, of energies
MAX_GAIN = 2.5
EPSILON = 1e-6  # a quarter of a level of 255, squared: in flat areas the gain is 1
LUMA = (0.299, 0.587, 0.114)


def detail_energies(frame_1: Tensor, frame_2: Tensor) -> Tensor:
    """E of frames (N, 3, H, W), uint8 or float in [0, 1]: (2N, 1, h, w) float32, of every frame_1,
    then of every frame_2."""
    return torch.cat([_energy(_detail(frame)) for frame in (frame_1, frame_2)])


def motion_of_energies(motion: Tensor, time: Time, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Flows (2N, 2, h, w), every flow_1t first, and the blend mask (N, 1, h, w), on a grid of
    `size` (h, w).

    Args:
        motion: (N, 5, H' / 2, W' / 2) float32, of the finest decoder; H', W': H and W, padded.
    """
    flows = F.avg_pool2d(both_flows(motion, time), 2) / 2
    mask = F.avg_pool2d(torch.sigmoid(motion[:, 4:] + time.mask_shift), 2)
    return crop(flows, size), crop(mask, size)


def restore_detail(
    frame: Tensor, energies: Tensor, flows: Tensor, mask: Tensor, strength: float
) -> Tensor:
    """The frame with stronger detail, (N, 3, H, W) float32, clipped to [0, 1].

    Args:
        frame: (N, 3, H, W), uint8 or float in [0, 1].
        energies: (2N, 1, h, w), of detail_energies.
        flows, mask: as motion_of_energies gives them.
        strength: 0 changes nothing, 1 gives full strength.
    """
    wanted_1, wanted_2 = backward_warp(energies, flows).chunk(2)
    wanted = mask * wanted_1 + (1 - mask) * wanted_2
    detail = _detail(frame)
    gain = ((wanted + EPSILON) / (_energy(detail) + EPSILON)).sqrt().clamp(1, MAX_GAIN) - 1
    gain = F.interpolate(gain, scale_factor=float(CELL), mode="bilinear")
    gain = crop(gain, (frame.shape[2], frame.shape[3]))
    return (_unit(frame) + strength * gain * detail).clamp(0, 1)


def _unit(frame: Tensor) -> Tensor:
    return frame.float() / 255 if frame.dtype == torch.uint8 else frame.float()


def _detail(frame: Tensor) -> Tensor:
    """D: (N, 1, H, W) float32."""
    red, green, blue = _unit(frame).split(1, dim=1)
    luma = LUMA[0] * red + LUMA[1] * green + LUMA[2] * blue
    return luma - _smooth(_smooth(luma))


def _energy(detail: Tensor) -> Tensor:
    return _smooth(F.avg_pool2d(pad_to_multiple(detail.square(), CELL), CELL))


def _smooth(x: Tensor) -> Tensor:
    """The mean of 3 x 3 pixels, of fewer at a border."""
    return F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)
