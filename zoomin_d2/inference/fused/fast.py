"""`fast` in some 45 kernels: two frames and times in, the frames at these times out.

Equal to `FastGenerator.forward_many`, which is the definition, up to rounding; inference on a GPU
only. Every convolution includes its bias, activation and residual sum; every concatenation is a
buffer that its parts are written into. Flows and sampling positions are not stored, but for
`maps_of`; full-size activations only exist if the motion is refined.

Shape shorthand: see motion_decoder.py. Activations are (N, h, w, C), C padded to multiples of 16.
"""

import os
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from zoomin_d2.generators.fast import FastGenerator, LightSynthesis, maps_of
from zoomin_d2.generators.motion_decoder import MotionDecoder, finer_motion
from zoomin_d2.inference.detail import PairDetail
from zoomin_d2.inference.fused.results import FusedFrame
from zoomin_d2.layers.kernels.compose import compose
from zoomin_d2.layers.kernels.conv import FusedConv, padded
from zoomin_d2.layers.kernels.correlation import correlate_into
from zoomin_d2.layers.kernels.frame_conv import FrameConv
from zoomin_d2.layers.kernels.gather_frames import HIDDEN_SLOT, gather_frames
from zoomin_d2.layers.kernels.launch import compile_ahead, compiling
from zoomin_d2.layers.kernels.warp import gather_level
from zoomin_d2.layers.kernels.warp_frames import FRAME_CHANNELS, warp_frames

_SLOPE = 0.1  # of every leaky ReLU


class _Blocks:
    """Residual blocks, the last of which writes to a given place."""

    def __init__(self, blocks: nn.Sequential):
        self.pairs = [
            (FusedConv(block.convs[0][0], _SLOPE), FusedConv(block.last, block.slope))
            for block in blocks
        ]

    def __call__(self, x: Tensor, out: Tensor, tune: bool) -> Tensor:
        for i, (first, last) in enumerate(self.pairs):
            y = first(x, torch.empty_like(x), tune=tune)
            target = out if i == len(self.pairs) - 1 else torch.empty_like(x)
            x = last(y, target, residual=x, tune=tune)
        return x


class _Decoder:
    """`MotionDecoder` with what precedes it: upsampling, warps and concatenation."""

    def __init__(self, decoder: MotionDecoder, features: int, hidden: int):
        costs = (2 * decoder.radius + 1) ** 2 if decoder.radius else 0
        self.radius, self.features, self.hidden = decoder.radius, features, hidden
        self.slot = padded(features, 8)  # 16 bytes
        self.end = 2 * self.slot + costs
        # On 16 bytes, too: narrower stores make the compiler keep eight pixels in the registers of
        # a thread, which leaves most of a GPU's threads without any.
        self.tail = padded(self.end, 8)
        self.channels = padded(self.tail + hidden + 6)
        second = range(self.slot, self.slot + features)
        rest = [*range(2 * self.slot, self.end), *range(self.tail, self.tail + hidden + 6)]
        self.enter = FusedConv(
            decoder.enter[0],
            _SLOPE,
            slots=[*range(features), *second, *rest],
            channels=self.channels,
        )
        self.width = padded(decoder.enter[0].out_channels)
        self.blocks = _Blocks(decoder.blocks)
        self.head = FusedConv(decoder.head)

    def __call__(
        self,
        features: Tensor,
        motion: Tensor | None,
        hidden: Tensor | None,
        t: Tensor,
        out: Tensor | None,
        tune: bool,
    ) -> tuple[Tensor, Tensor]:
        """Motion (N, 5, h, w) and hidden (N, h, w, C), which is ``out`` if given."""
        n, (height, width) = len(t), features.shape[1:3]
        x = features.new_empty(n, height, width, self.channels)
        if hidden is not None:
            hidden = hidden[..., : 4 * self.hidden]
        finer = gather_level(features, motion, hidden, t, x, self.slot, self.tail)
        if self.radius:
            planes = x.permute(0, 3, 1, 2)
            correlate_into(
                planes[:, : self.features],
                planes[:, self.slot : self.slot + self.features],
                planes[:, 2 * self.slot : self.end],
                self.radius,
            )
        y = self.enter(x, x.new_empty(n, height, width, self.width), tune=tune)
        hidden = self.blocks(y, torch.empty_like(y) if out is None else out, tune)
        motion = torch.empty(n, 5, height, width, dtype=torch.float32, device=x.device)
        residual = None if finer is None else finer.permute(0, 2, 3, 1)
        self.head(hidden, motion.permute(0, 2, 3, 1), residual, tune=tune)
        return motion, hidden


class _Refinement:
    """The decoder at full size, with what precedes it; returns what it adds to the motion."""

    def __init__(self, decoder: MotionDecoder, hidden: int):
        self.hidden = hidden
        # The slots in which `gather_frames` puts the colors, hidden, motion and time.
        slots = [*range(6), *range(HIDDEN_SLOT, HIDDEN_SLOT + hidden), *range(6, 12)]
        self.channels = padded(HIDDEN_SLOT + hidden)
        self.enter = FusedConv(decoder.enter[0], _SLOPE, slots=slots, channels=self.channels)
        self.width = padded(decoder.enter[0].out_channels)
        self.blocks = _Blocks(decoder.blocks)
        self.head = FusedConv(decoder.head)

    def __call__(
        self,
        pixels: Tensor,
        motion: Tensor,
        hidden: Tensor,
        t: Tensor,
        tune: bool,
    ) -> Tensor:
        """(N, 5, 2 h, 2 w) float32, from the motion (N, 5, h, w) and hidden (N, h, w, C)."""
        n, _, height, width = motion.shape
        size = (n, 2 * height, 2 * width)
        x = hidden.new_empty(*size, self.channels)
        gather_frames(pixels, motion, hidden[..., : 4 * self.hidden], t, x)
        y = self.enter(x, x.new_empty(*size, self.width), tune=tune)
        del x  # full-size buffers: keep as few at a time as possible
        y = self.blocks(y, torch.empty_like(y), tune)
        added = torch.empty(n, 5, *size[1:], dtype=torch.float32, device=y.device)
        self.head(y, added.permute(0, 2, 3, 1), tune=tune)
        return added


class _Synthesis:
    """`LightSynthesis`; its inputs are written where its convolutions read."""

    def __init__(self, net: LightSynthesis, context: int, coarse_context: int):
        self.context = padded(context)
        self.channels = self.context + FRAME_CHANNELS
        frames = range(self.context, self.context + 25)  # 24 channels and the mask's logit
        self.enter = FusedConv(
            net.enter[0], _SLOPE, slots=[*frames, *range(context)], channels=self.channels
        )
        self.fine, self.coarse = (padded(x[0].out_channels) for x in (net.enter, net.down))
        self.down = FusedConv(net.down[0], _SLOPE)
        own = range(net.down[0].out_channels)
        below = range(self.coarse, self.coarse + coarse_context)
        self.merge_channels = self.coarse + padded(coarse_context)
        self.merge = FusedConv(
            net.merge[0], _SLOPE, slots=[*own, *below], channels=self.merge_channels
        )
        self.blocks = _Blocks(net.blocks)
        self.up = FusedConv(net.up, shuffle=True)
        quarter = net.up.out_channels // 4
        self.leave_channels = self.fine + padded(quarter)
        fine = range(net.enter[0].out_channels)
        self.leave = FusedConv(
            net.leave[0],
            _SLOPE,
            slots=[*fine, *range(self.fine, self.fine + quarter)],
            channels=self.leave_channels,
        )
        self.quarter = quarter
        self.head = FusedConv(net.head)
        self.outputs = padded(net.head.out_channels)

    def __call__(self, x: Tensor, merged: Tensor, tune: bool) -> Tensor:
        """
        Args:
            x: (N, h, w, channels), context and warped frames.
            merged: (N, h / 2, w / 2, merge_channels); already contains the coarse context.

        Returns:
            correction (N, h, w, outputs).
        """
        n, height, width, _ = x.shape
        # Channels without a slot must not hold NaN.
        wanted = self.fine + self.quarter
        new = x.new_empty if wanted == self.leave_channels else x.new_zeros
        both = new(n, height, width, self.leave_channels)
        self.enter(x, both[..., : self.fine], tune=tune)
        self.down(both[..., : self.fine], merged[..., : self.coarse], tune=tune)
        y = x.new_empty(n, *merged.shape[1:3], self.coarse)
        y = self.blocks(self.merge(merged, y, tune=tune), torch.empty_like(y), tune)
        self.up(y, both[..., self.fine : wanted], tune=tune)
        y = self.leave(both, x.new_empty(n, height, width, self.fine), tune=tune)
        return self.head(y, x.new_empty(n, height, width, self.outputs), tune=tune)


class FastTriton:
    """A `FastGenerator`, packed for the kernels: its weights are copied.

    Args:
        generator: in eval mode, its weights in the dtype for the kernels.
        tune: also time other tiles, at a convolution's first call with a size.
    """

    def __init__(self, generator: FastGenerator, tune: bool = False):
        self.tune = tune
        levels = generator.pyramid.levels
        self.first = FrameConv(levels[0][0][0], _SLOPE)
        convs = [block[0] for level in levels for block in level][1:]
        self.pyramid = [FusedConv(conv, _SLOPE) for conv in convs]
        self.widths = [padded(level[0][0].out_channels) for level in levels]
        decoders = list(generator.decoders)
        hidden = [d.enter[0].out_channels // 4 for d in decoders[1:]] + [0]
        features = [level[0][0].out_channels for level in levels]
        self.decoders = [_Decoder(*x) for x in zip(decoders, features, hidden)]
        outputs = [d.enter[0].out_channels for d in decoders[:2]]
        self.refine = None
        if generator.refine is not None:
            self.refine = _Refinement(generator.refine, outputs[0] // 4)
        self.synthesis = _Synthesis(generator.synthesis, *outputs)
        self.mixed, self.detail = generator.last_warp == "mixed", generator.detail
        self._grid = generator.size_divisibility
        self._compiled: set[tuple] = set()

    def __call__(self, frame_1: Tensor, frame_2: Tensor, ts: Sequence[Tensor]) -> list[Tensor]:
        """
        Args:
            frame_1, frame_2: (N, 3, H, W) on the GPU of the weights, uint8 or float in [0, 1].
            ts: (N,) float32 in (0, 1), each.

        Returns:
            one (N, 3, H, W) per t, of the frames' dtype and memory format.
        """
        return [made.frame for made in self.made(frame_1, frame_2, ts)]

    def made(self, frame_1: Tensor, frame_2: Tensor, ts: Sequence[Tensor]) -> list[FusedFrame]:
        """As the call, with the motion that each frame was made with."""
        key = (frame_1.shape, frame_1.dtype, frame_1.stride(), frame_2.stride())
        if frame_1.is_cuda and not compiling() and key not in self._compiled:
            self._compiled.add(key)
            compile_ahead(lambda: self(frame_1, frame_2, ts[:1]), min(os.cpu_count() or 1, 16))
        features, pixels = self._pyramid(frame_1, frame_2)
        detail = PairDetail(frame_1, frame_2, self.detail, fused=True) if self.detail else None
        frames = []
        for t in ts:
            pred, motion, refinement = self._interpolate(frame_1, pixels, features, t)
            if detail is not None:
                pred = detail.restored_along(pred, motion, t, frame_1.dtype)
            frames.append(FusedFrame(pred, motion, refinement))
        return frames

    def maps_of(
        self,
        frame_1: Tensor,
        frame_2: Tensor,
        motion: Tensor,
        refinement: Tensor | None = None,
        *,
        t: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """`generators.fast.maps_of` for a frame that was made here; in PyTorch's kernels.

        Args:
            frame_1, frame_2: (N, 3, H, W) float in [0, 1].
            motion, refinement: as in the `FusedFrame`.
            t: (N,), its time.
        """
        if refinement is not None:
            motion = finer_motion(motion) + refinement
        return maps_of(frame_1, frame_2, motion, t, self._grid)

    def _pyramid(self, frame_1: Tensor, frame_2: Tensor) -> tuple[list[Tensor], Tensor]:
        """Features of both frames, finest first, and their pixels."""
        n, _, height, width = frame_1.shape
        height, width = (-(-x // self._grid) * self._grid for x in (height, width))
        features: list[Tensor] = []
        for level, channels in enumerate(self.widths):
            size = (2 * n, height >> (level + 1), width >> (level + 1), channels)
            out = self.first.weight.new_empty(size)
            if level == 0:
                pixels, x = self.first(frame_1, frame_2, out), out
            else:
                x = self.pyramid[2 * level - 1](x, out, tune=self.tune)
            x = self.pyramid[2 * level](x, torch.empty_like(x), tune=self.tune)
            features.append(x)
        return features, pixels

    def _interpolate(
        self, frame_1: Tensor, pixels: Tensor, features: list[Tensor], t: Tensor
    ) -> FusedFrame:
        """A frame, in float32 and without its detail if there will be some."""
        n = len(t)
        synthesis = self.synthesis
        # The hidden of the two finest levels is the context: it is written where synthesis reads.
        x = features[0].new_empty(n, *features[0].shape[1:3], synthesis.channels)
        merged = features[0].new_empty(n, *features[1].shape[1:3], synthesis.merge_channels)
        targets = {0: x[..., : synthesis.context], 1: merged[..., synthesis.coarse :]}
        motion = hidden = None
        for level in reversed(range(len(self.decoders))):
            motion, hidden = self.decoders[level](
                features[level], motion, hidden, t, targets.get(level), self.tune
            )
        refinement = None
        if self.refine is not None:
            refinement = self.refine(pixels, motion, hidden, t, self.tune)
        warp_frames(pixels, motion, refinement, t, x[..., synthesis.context :])
        correction = synthesis(x, merged, self.tune)
        dtype = torch.float32 if self.detail else frame_1.dtype  # rounded once, at the end
        pred = torch.empty_like(frame_1, dtype=dtype)
        compose(pixels, motion, refinement, correction, t, pred, mixed=self.mixed)
        return FusedFrame(pred, motion, refinement)
