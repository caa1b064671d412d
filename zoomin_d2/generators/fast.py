"""A generator for practical use: coarse-to-fine flow up to 1/2 of the size, light synthesis.

The parts have the same roles as in the paper (section 3.1, 3.2): flows and a blend mask are found
first, frames and context features are warped by them, and a small network with a large receptive
field makes the frame. Unlike the paper, the flow is found by matching features of the two frames (a
feature pyramid, a cost volume, residual corrections), and at full size only the last warp runs and,
optionally, a small decoder that refines the motion.

Shape shorthand and the terms motion and hidden: see motion_decoder.py.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn

from zoomin_d2.generators.detail import (
    MAX_STRENGTH,
    detail_energies,
    motion_of_energies,
    restore_detail,
)
from zoomin_d2.generators.motion_decoder import (
    FeaturePyramid,
    MotionDecoder,
    Time,
    blend_along,
    both_flows,
    finer_motion,
)
from zoomin_d2.generators.output import GeneratorOutput
from zoomin_d2.layers import (
    ResidualBlock,
    backward_warp,
    blend,
    conv_lrelu,
    crop,
    pad_to_multiple,
    sample,
    sampling_grid,
    small_head,
)


class LightSynthesis(nn.Module):
    """Warped frames and context in, the frame out: a two-level U-Net on half the grid.

    Full-size pixels enter as channels (pixel unshuffling), so that every convolution works on a
    grid of half the size or less: 2 x 2 times the receptive field at a quarter of the cost.

    Args:
        context_channels, coarse_channels: of the decoders' hidden at 1/2 and 1/4.
        channels: width at 1/2 and 1/4.
        outputs: channels at full size.
    """

    def __init__(
        self,
        context_channels: int,
        coarse_channels: int,
        channels: Sequence[int],
        outputs: int = 4,
    ):
        super().__init__()
        fine, coarse = channels
        self.enter_parts = (4 * 6, 1, context_channels)  # pixels, mask, context
        self.enter = conv_lrelu(sum(self.enter_parts), fine)
        self.down = conv_lrelu(fine, coarse, stride=2)
        self.merge_parts = (coarse, coarse_channels)
        self.merge = conv_lrelu(sum(self.merge_parts), coarse)
        self.blocks = nn.Sequential(ResidualBlock(coarse, dilation=2))
        self.up = nn.Conv2d(coarse, 2 * coarse, 1)
        self.leave_parts = (fine, coarse // 2)
        self.leave = conv_lrelu(sum(self.leave_parts), fine)
        self.head = small_head(fine, 4 * outputs)

    def forward(
        self,
        warped_1: torch.Tensor,
        warped_2: torch.Tensor,
        mask_logit: torch.Tensor,
        context: torch.Tensor,
        coarse_context: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """
        Args:
            warped_1, warped_2: (N, 3, H, W) in [0, 1].
            mask_logit: (N, 1, H / 2, W / 2).
            context: (N, C, H / 2, W / 2); coarse_context: (N, C', H / 4, W / 4).

        Returns:
            (N, 3, H, W) and (N, outputs - 3, H, W) float32: corrections of the three colors, and of
            the mask's logit and, with a fifth output, the logit of how bicubic the last warp is.
        """
        frames = F.pixel_unshuffle(torch.cat((warped_1, warped_2), dim=1) - 0.5, 2)
        dtype = context.dtype
        x = self.enter(torch.cat((frames.to(dtype), mask_logit.to(dtype), context), dim=1))
        y = self.merge(torch.cat((self.down(x), coarse_context), dim=1))
        y = F.pixel_shuffle(self.up(self.blocks(y)), 2)
        outputs = self.head(self.leave(torch.cat((x, y), dim=1))).float()
        # Apart: shuffled together, channels-last, they would be copied once more to separate them.
        return F.pixel_shuffle(outputs[:, :12], 2), F.pixel_shuffle(outputs[:, 12:], 2)


class FastGenerator(nn.Module):
    """Coarse-to-fine flow between learned features, one warp at full size, a light synthesis.

    The context features F1, F2 of eq. 2 are the pyramid's finest ones: a detector's 7 x 7
    convolution at full size would cost a third of the whole network.

    Args:
        pyramid_channels: of the features at 1/2, 1/4, 1/8, 1/16 and, with a fifth value, 1/32.
        decoder_channels: width of the motion decoders there.
        decoder_blocks: number of their residual blocks.
        linear_blocks: number of further blocks, without an activation of their sum.
        correlation_radii: of their cost volumes; 0 = none.
        synthesis_channels: width of the synthesis at 1/2 and 1/4.
        last_warp: "bilinear", or "mixed": the synthesis chooses, for each pixel, a mix of the
            bilinear and the bicubic one.
        refine_channels: width of a decoder at full size; 0 = none.
        detail: how far frames made after training get the fine structure of the frames around them
            (generators/detail.py): 0 not at all, 1 fully, at most 2.
    """

    context = None  # no convolution to copy from a detector

    def __init__(
        self,
        *,
        pyramid_channels: Sequence[int] = (24, 40, 64, 96),
        decoder_channels: Sequence[int] = (32, 64, 96, 128),
        decoder_blocks: Sequence[int] = (1, 1, 2, 2),
        correlation_radii: Sequence[int] = (0, 0, 3, 4),
        synthesis_channels: Sequence[int] = (32, 64),
        linear_blocks: Sequence[int] = (0, 0, 0, 0),
        last_warp: str = "bilinear",
        refine_channels: int = 0,
        detail: float = 0.0,
    ):
        super().__init__()
        per_level = (
            *(pyramid_channels, decoder_channels, decoder_blocks, linear_blocks),
            correlation_radii,
        )
        if {len(x) for x in per_level} not in ({4}, {5}) or len(synthesis_channels) != 2:
            raise ValueError(
                "MODEL.GENERATOR.FAST.* needs a value for each of four or five levels (two for "
                "SYNTHESIS_CHANNELS), got "
                f"{', '.join(str(x) for x in (*per_level, synthesis_channels))}"
            )
        if last_warp not in ("bilinear", "mixed"):
            raise ValueError(
                f"MODEL.GENERATOR.FAST.LAST_WARP must be bilinear or mixed, got '{last_warp}'"
            )
        self.last_warp, self.detail = last_warp, detail
        self.size_divisibility = 2 ** len(pyramid_channels)
        self.pyramid = FeaturePyramid(pyramid_channels)
        # A level passes a quarter of its hidden channels, pixel shuffled, to the next finer one.
        hidden_channels = [c // 4 for c in decoder_channels[1:]] + [0]
        self.decoders = nn.ModuleList(
            MotionDecoder(*options)
            for options in zip(
                pyramid_channels,
                hidden_channels,
                decoder_channels,
                decoder_blocks,
                linear_blocks,
                correlation_radii,
            )
        )
        # At full size a frame's features are its colors.
        self.refine = (
            MotionDecoder(3, decoder_channels[0] // 4, refine_channels, 1, 0, 0)
            if refine_channels
            else None
        )
        self.synthesis = LightSynthesis(
            decoder_channels[0],
            decoder_channels[1],
            synthesis_channels,
            outputs=5 if last_warp == "mixed" else 4,
        )

    @property
    def detail(self) -> float:
        """Strength of generators/detail.py; fused kernels and CUDA graphs keep the one of their
        first call. The setter raises ValueError."""
        return self._detail

    @detail.setter
    def detail(self, strength: float) -> None:
        if not 0 <= strength <= MAX_STRENGTH:
            raise ValueError(f"detail must be between 0 and {MAX_STRENGTH:g}, got {strength:g}")
        self._detail = float(strength)

    def forward(
        self, frame_1: torch.Tensor, frame_2: torch.Tensor, t: torch.Tensor
    ) -> GeneratorOutput:
        """
        Args:
            frame_1, frame_2: (N, 3, H, W) RGB in [0, 1], any H and W.
            t: (N,) in (0, 1).
        """
        return self.forward_many(frame_1, frame_2, [t])[0]

    def forward_many(
        self, frame_1: torch.Tensor, frame_2: torch.Tensor, ts: Sequence[torch.Tensor]
    ) -> list[GeneratorOutput]:
        """Several frames of one pair: the features of the two frames are computed once.

        Args:
            ts: one (N,) tensor per output frame.
        """
        size = tuple(frame_1.shape[-2:])
        energies = None
        if self.detail and not self.training:
            energies = detail_energies(frame_1, frame_2)
        frame_1 = pad_to_multiple(frame_1, self.size_divisibility)
        frame_2 = pad_to_multiple(frame_2, self.size_divisibility)
        frames = torch.cat((frame_1, frame_2))
        features = self.pyramid(frames)
        times = [Time.of(t) for t in ts]
        return [self._interpolate(frames, features, time, size, energies) for time in times]

    def _interpolate(
        self,
        frames: torch.Tensor,
        features: list[torch.Tensor],
        time: Time,
        size: tuple[int, int],
        energies: torch.Tensor | None,
    ) -> GeneratorOutput:
        # Both frames of all pairs go through one warp, (2N, C, h, w), frame_1 of all pairs first.
        motion = hidden = coarse_hidden = None
        level_frames = []
        for level in reversed(range(len(self.decoders))):
            if motion is not None:
                motion, coarse_hidden = finer_motion(motion), hidden
                hidden = F.pixel_shuffle(hidden, 2)
            motion, hidden = self.decoders[level](features[level], motion, hidden, time)
            if self.training and level > 0:
                small = F.avg_pool2d(frames, 2 ** (level + 1))
                level_frames.append(blend_along(motion, small, time))
        finest_motion = motion
        full_motion = finer_motion(motion)
        if self.refine is not None:
            finest = F.pixel_shuffle(hidden, 2)
            colors = (frames - 0.5).to(hidden.dtype)
            full_motion, _ = self.refine(colors, full_motion, finest, time)
            finest_motion = full_motion
        flows = both_flows(full_motion, time)
        grid = sampling_grid(flows, (frames.shape[2], frames.shape[3]))
        warped = sample(frames, grid)
        mask_logit = full_motion[:, 4:] + time.mask_shift
        colors, logits = self.synthesis(*warped.chunk(2), motion[:, 4:], hidden, coarse_hidden)
        blend_mask = torch.sigmoid(mask_logit)
        coarse_frame = blend(*warped.chunk(2), blend_mask)
        if self.last_warp == "mixed":
            bicubic = sample(frames, grid, "bicubic")
            warped = blend(bicubic, warped, torch.sigmoid(logits[:, 1:]).repeat(2, 1, 1, 1))
        pred_frame = blend(*warped.chunk(2), torch.sigmoid(mask_logit + logits[:, :1]))
        pred_frame = pred_frame + colors
        if not self.training:  # while training, clipping would cut the gradient of saturated pixels
            pred_frame = pred_frame.clamp(0, 1)
        outputs = (pred_frame, coarse_frame, *flows.chunk(2), blend_mask)
        pred_frame, *rest = (crop(x, size) for x in outputs)
        if energies is not None:
            at_energies = motion_of_energies(motion, time, (energies.shape[2], energies.shape[3]))
            pred_frame = restore_detail(pred_frame, energies, *at_energies, self.detail)
        if self.training:
            return GeneratorOutput(pred_frame, *rest, tuple(level_frames))
        return GeneratorOutput(pred_frame, *rest, motion=finest_motion)


def maps_of(
    frame_1: torch.Tensor, frame_2: torch.Tensor, motion: torch.Tensor, t: torch.Tensor, grid: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """What a `FastGenerator` returns beside a frame (`GeneratorOutput`): coarse frame, flows, and
    blend mask.

    Args:
        frame_1, frame_2: (N, 3, H, W) float in [0, 1].
        motion: (N, 5, h, w), its `motion`: of the padded frames, at their size or half of it.
        t: (N,), its time.
        grid: what the generator pads frames to a multiple of.
    """
    size, time = (frame_1.shape[2], frame_1.shape[3]), Time.of(t)
    frames = torch.cat([pad_to_multiple(x, grid) for x in (frame_1, frame_2)])
    if motion.shape[2] < frames.shape[2]:
        motion = finer_motion(motion)
    flows, mask = both_flows(motion, time), torch.sigmoid(motion[:, 4:] + time.mask_shift)
    coarse_frame = blend(*backward_warp(frames, flows).chunk(2), mask)
    flow_1t, flow_2t = flows.chunk(2)
    coarse_frame, flow_1t, flow_2t, mask = (
        crop(x, size) for x in (coarse_frame, flow_1t, flow_2t, mask)
    )
    return coarse_frame, flow_1t, flow_2t, mask
