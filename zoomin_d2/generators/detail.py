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
_CELL = 4  # pixels, of energies
_MAX_GAIN = 2.5
_EPSILON = 1e-6  # a quarter of a level of 255, squared: in flat areas the gain is 1
_LUMA = (0.299, 0.587, 0.114)


def detail_energy(frame: Tensor) -> Tensor:
    """E of frames (N, 3, H, W), uint8 or float in [0, 1]: (N, 1, h, w) float32."""
    return _energy(_detail(frame))


def restore_detail(
    frame: Tensor, energies: Tensor, motion: Tensor, time: Time, strength: float
) -> Tensor:
    """The frame with stronger detail, (N, 3, H, W) float32, clipped to [0, 1].

    Args:
        frame: (N, 3, H, W), uint8 or float in [0, 1].
        energies: (2N, 1, h, w), of every frame_1, then of every frame_2.
        motion: (N, 5, H' / 2, W' / 2) float32, of the finest decoder; H', W': H and W, padded.
        strength: 0 changes nothing, 1 gives full strength.
    """
    size = tuple(energies.shape[-2:])
    flows = crop(F.avg_pool2d(both_flows(motion, time), 2) / 2, size)
    mask = torch.sigmoid(motion[:, 4:] + time.mask_shift)
    mask = crop(F.avg_pool2d(mask, 2), size)
    wanted_1, wanted_2 = backward_warp(energies, flows).chunk(2)
    wanted = mask * wanted_1 + (1 - mask) * wanted_2
    detail = _detail(frame)
    gain = ((wanted + _EPSILON) / (_energy(detail) + _EPSILON)).sqrt().clamp(1, _MAX_GAIN) - 1
    gain = F.interpolate(gain, scale_factor=float(_CELL), mode="bilinear")
    gain = crop(gain, tuple(frame.shape[-2:]))
    return (_unit(frame) + strength * gain * detail).clamp(0, 1)


def _unit(frame: Tensor) -> Tensor:
    return frame.float() / 255 if frame.dtype == torch.uint8 else frame.float()


def _detail(frame: Tensor) -> Tensor:
    """D: (N, 1, H, W) float32."""
    red, green, blue = _unit(frame).split(1, dim=1)
    luma = _LUMA[0] * red + _LUMA[1] * green + _LUMA[2] * blue
    return luma - _smooth(_smooth(luma))


def _energy(detail: Tensor) -> Tensor:
    return _smooth(F.avg_pool2d(pad_to_multiple(detail.square(), _CELL), _CELL))


def _smooth(x: Tensor) -> Tensor:
    """The mean of 3 x 3 pixels, of fewer at a border."""
    return F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)
