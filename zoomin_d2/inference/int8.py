"""Convolutions of 8-bit numbers, for CPUs that multiply them faster than floating-point ones; with
AMX, bfloat16 is as fast.

The input of a convolution is rounded to 256 steps of a range measured beforehand, its weights to
127 steps of each output channel's largest one. Warps, the cost volume, and everything else stay in
floating point, and so do the convolutions that `is_rounded` leaves out, and, with AMX, dilated ones
(openvino_runtime.py). The rounding is PyTorch's own, so that an export holds it as QuantizeLinear
and DequantizeLinear, which a runtime turns into products of integers.

Ranges belong to weights: fast.int8.json lies beside fast.safetensors.
"""

import copy
import hashlib
import json
from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoomin_d2.generators.fast import LightSynthesis
from zoomin_d2.generators.motion_decoder import MotionDecoder
from zoomin_d2.model_zoo.catalog import ROOT

# The least and the largest input of a convolution; of `RoundedEntry`, of each channel.
Ranges = dict[str, tuple[float, float] | tuple[list[float], list[float]]]

# 64 instead of 128: without VNNI, a CPU adds two products in 16 bits, which must not overflow.
_MAX_WEIGHT = 63


class RoundedConv(nn.Module):
    """A convolution on rounded inputs and weights.

    Args:
        conv: is kept.
        low, high: of its inputs; values beyond are cut off.
    """

    steps: Tensor
    zeros: Tensor

    def __init__(self, conv: nn.Conv2d, low: float, high: float):
        super().__init__()
        self.conv = conv
        low, high = min(low, 0.0), max(high, 1e-6)
        self.step = (high - low) / 255
        self.zero = round(-low / self.step)
        steps = conv.weight.detach().abs().amax((1, 2, 3)).clamp(min=1e-8) / _MAX_WEIGHT
        self.register_buffer("steps", steps)
        self.register_buffer("zeros", torch.zeros(len(steps), dtype=torch.int32))

    def forward(self, x: Tensor) -> Tensor:
        conv = self.conv
        x = torch.fake_quantize_per_tensor_affine(x, self.step, self.zero, 0, 255)
        weight = torch.fake_quantize_per_channel_affine(
            conv.weight, self.steps, self.zeros, 0, -128, 127
        )
        return F.conv2d(x, weight, conv.bias, conv.stride, conv.padding, conv.dilation)


class RoundedEntry(nn.Module):
    """A convolution that enters a level: one step cannot suit features, costs, colors, and motion.

    Each channel is divided by a scale, by which its weights are multiplied (SmoothQuant, Xiao et
    al., ICML 2023, eq. 4), so that channels of large values do not set the step of all others. The
    last channels, for which there are no ranges, stay in floating point.

    Args:
        conv: 3 x 3, of stride 1.
        low, high: of its first input channels.
    """

    # How much of the difference between channels goes to the weights.
    SMOOTHING = 0.6
    inverse: Tensor

    def __init__(self, conv: nn.Conv2d, low: list[float], high: list[float]):
        super().__init__()
        self.count = len(low)
        lows, highs = torch.tensor(low), torch.tensor(high)
        weight = conv.weight.detach()[:, : self.count]
        inputs = torch.maximum(-lows, highs).clamp(min=1e-6)
        weights = weight.abs().amax((0, 2, 3)).clamp(min=1e-8)
        scale = inputs**self.SMOOTHING / weights ** (1 - self.SMOOTHING)
        self.register_buffer("inverse", (1 / scale).view(1, -1, 1, 1))
        first = nn.Conv2d(self.count, conv.out_channels, 3, padding=1)
        first.weight.data, first.bias = weight * scale.view(1, -1, 1, 1), conv.bias
        self.rounded = RoundedConv(first, (lows / scale).min().item(), (highs / scale).max().item())
        self.exact = None
        if self.count < conv.in_channels:
            self.exact = nn.Conv2d(
                conv.in_channels - self.count, conv.out_channels, 3, padding=1, bias=False
            )
            self.exact.weight.data = conv.weight.detach()[:, self.count :].clone()

    def forward(self, x: Tensor) -> Tensor:
        made = self.rounded(x[:, : self.count] * self.inverse)
        return made if self.exact is None else made + self.exact(x[:, self.count :])


def is_rounded(name: str, conv: nn.Conv2d) -> bool:
    """Whether a convolution of `FastGenerator` loses little by rounding.

    The first one reads the frames. The heads write motion and colors.
    """
    return conv.in_channels != 3 and "head" not in name


def _entry_channels(generator: nn.Module, name: str) -> int | None:
    """How many channels `RoundedEntry` rounds: all but motion and time. None: `RoundedConv`."""
    owner, found, _ = name.rpartition(".enter.")
    if not found:
        return None
    level = generator.get_submodule(owner)
    if isinstance(level, MotionDecoder):
        return sum(level.enter_parts[:-2])
    assert isinstance(level, LightSynthesis)
    return sum(level.enter_parts)


def measure_ranges(generator: nn.Module, pairs: Iterable[tuple[Tensor, Tensor]]) -> Ranges:
    """The least and the largest input of every convolution that `is_rounded`.

    Args:
        pairs: of frames (N, 3, H, W) in [0, 1].
    """
    lows: dict[str, Tensor] = {}
    highs: dict[str, Tensor] = {}

    def hook(name: str, x: Tensor) -> None:
        channels = _entry_channels(generator, name)
        if channels is None:
            low, high = x.min(), x.max()
        else:
            x = x[:, :channels]
            low, high = x.amin((0, 2, 3)), x.amax((0, 2, 3))
        lows[name] = torch.minimum(lows.get(name, torch.zeros(())), low)
        highs[name] = torch.maximum(highs.get(name, torch.zeros(())), high)

    convs = {n: m for n, m in generator.named_modules() if isinstance(m, nn.Conv2d)}
    handles = [
        conv.register_forward_pre_hook(lambda _, inputs, name=name: hook(name, inputs[0]))
        for name, conv in convs.items()
        if is_rounded(name, conv)
    ]
    try:
        with torch.no_grad():
            for frame_1, frame_2 in pairs:
                generator(frame_1, frame_2, frame_1.new_full((len(frame_1),), 0.5))
    finally:
        for handle in handles:
            handle.remove()
    return {name: (lows[name].tolist(), highs[name].tolist()) for name in lows}


def rounded(generator: nn.Module, ranges: Ranges) -> nn.Module:
    """A copy of a float32 network on the CPU, with convolutions rounded where there is a range."""
    copied = copy.deepcopy(generator)
    for name, (low, high) in ranges.items():
        conv = copied.get_submodule(name)
        assert isinstance(conv, nn.Conv2d)
        parent, _, leaf = name.rpartition(".")
        made: nn.Module
        if isinstance(low, list) and isinstance(high, list):
            made = RoundedEntry(conv, low, high)
        else:
            assert not isinstance(low, list) and not isinstance(high, list)
            made = RoundedConv(conv, low, high)
        setattr(copied.get_submodule(parent), leaf, made)
    return copied.eval()


def weights_digest(generator: nn.Module) -> str:
    """Changes with any weight."""
    digest = hashlib.sha256()
    for name, tensor in sorted(generator.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().float().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _checked(generator: nn.Module, inputs: dict) -> Ranges:
    """Raises an error of some kind for what does not belong to the generator's convolutions."""
    for name, pair in inputs.items():
        if not isinstance(generator.get_submodule(name), nn.Conv2d):
            raise ValueError(f"'{name}' is no convolution")
        channels = _entry_channels(generator, name)
        shape = (2,) if channels is None else (2, channels)
        values = torch.tensor(pair, dtype=torch.float64)
        if values.shape != shape or not values.isfinite().all():
            raise ValueError(f"'{name}' needs finite numbers of the shape {shape}")
    return {name: (low, high) for name, (low, high) in inputs.items()}


def shipped_ranges(generator: nn.Module) -> Ranges:
    """The ranges that ship for these weights.

    Raises:
        ValueError: there are none, or their file is damaged.
    """
    digest, known = weights_digest(generator), []
    for path in sorted((ROOT / "weights").glob("*.int8.json")):
        text = path.read_text()
        if digest in text:
            try:
                return _checked(generator, json.loads(text)["inputs"])
            except (ValueError, LookupError, TypeError, AttributeError) as error:
                raise ValueError(f"{path} is damaged: {error}") from error
        known.append(path.name.removesuffix(".int8.json"))
    names = ", ".join(sorted(known))
    raise ValueError(
        f"backend 'openvino:int8': there are 8-bit ranges only for {names}, not for these weights; "
        "use the backend openvino"
    )
