"""Motion estimated on smaller frames, applied to the full ones."""

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from zoomin_d2.frames import to_8bit, to_float
from zoomin_d2.generators.output import GeneratorOutput, motion_of
from zoomin_d2.inference.detail import PairDetail
from zoomin_d2.inference.doubt import add_doubt
from zoomin_d2.inference.engine import InferenceEngine, warped
from zoomin_d2.layers import backward_warp, blend, resize_flow

MIN_SIDE = 32
# Found on clips of fast motion (docs/lab): below, in pixels of the frames where it was found, half
# their size is no better.
LARGE_MOTION = 24.0
# Scale -> how much worse than the next larger one it may fit: motion found at half the size is
# smoother, but better, so its warped frames may differ more.
SMALLER = {0.5: 1.15, 0.25: 1.0}


class WarpedFrame(NamedTuple):
    """A made frame (N, 3 or 4, H, W), both frames warped to its time (N, 3, H, W), the blend mask,
    and the mean length of the way from frame_1 to frame_2, in pixels of the frames it was found on
    (a scalar)."""

    frame: Tensor
    warped_1: Tensor
    warped_2: Tensor
    mask: Tensor
    motion: Tensor

    def with_doubt(self) -> Tensor:
        """The frame with doubt (doubt.py) as one more channel."""
        return add_doubt(self.frame, self.warped_1, self.warped_2, self.mask)


class ScaledPair(NamedTuple):
    """The frames of a pair, and a tensor of two values: the largest of their `WarpedFrame.motion`
    and how much their warped frames disagree."""

    frames: list[Tensor]
    scores: Tensor


class FlowScaled:
    """An `interpolate` that runs a generator on frames of `scale` times the size.

    Its flows and blend mask are enlarged and warp the full-size frames (eq. 1). The change that
    synthesis made to the small frame, its difference from the small blend, is enlarged and added.
    The generator finds motion of up to 1 / scale times more pixels, in scale^2 of the time and
    memory. Detail (generators/detail.py) is restored once more, at full size.

    Raises:
        ValueError: scale is not in (0, 1].
    """

    def __init__(self, engine: InferenceEngine, scale: float):
        if not 0 < scale <= 1:
            raise ValueError(f"the flow scale must be above 0 and at most 1, got {scale}")
        self._engine, self._scale = engine, scale

    def __call__(
        self, frame_1: Tensor, frame_2: Tensor, ts: Sequence[float | Tensor], /
    ) -> list[Tensor]:
        """Frames (N, 3 or 4, H, W) as the engine takes and gives them; results are on its
        device."""
        return self.made(frame_1, frame_2, ts).frames

    def with_doubt(self, frame_1: Tensor, frame_2: Tensor, ts: list[float], /) -> list[Tensor]:
        """As the call, in float32; each result has doubt (doubt.py) as one more channel."""
        return self.made(frame_1, frame_2, ts, doubtful=True).frames

    def made(
        self,
        frame_1: Tensor,
        frame_2: Tensor,
        ts: Sequence[float | Tensor],
        *,
        doubtful: bool = False,
    ) -> ScaledPair:
        """As the call or `with_doubt`; on a GPU in one CUDA graph, which does not wait."""
        if not ts:
            return ScaledPair([], torch.zeros(2))
        run = self._doubtful_frames if doubtful else self._frames
        scores, *frames = self._engine.recorded(run, frame_1, frame_2, ts)
        return ScaledPair(frames, scores)

    def _frames(self, frame_1: Tensor, frame_2: Tensor, ts: list[Tensor]) -> list[Tensor]:
        """The scores, and the frames."""
        scores, made = self._scored_frames(frame_1, frame_2, ts)
        as_8bit = frame_1.dtype == torch.uint8
        return [scores, *(to_8bit(x.frame) if as_8bit else x.frame for x in made)]

    def _doubtful_frames(self, frame_1: Tensor, frame_2: Tensor, ts: list[Tensor]) -> list[Tensor]:
        scores, made = self._scored_frames(frame_1, frame_2, ts)
        return [scores, *(x.with_doubt() for x in made)]

    def _scored_frames(
        self, frame_1: Tensor, frame_2: Tensor, ts: list[Tensor]
    ) -> tuple[Tensor, list[WarpedFrame]]:
        frame_1, frame_2 = to_float(frame_1), to_float(frame_2)
        small = tuple(min(n, max(MIN_SIDE, round(n * self._scale))) for n in frame_1.shape[-2:])
        small_1, small_2 = (
            F.interpolate(f, small, mode="bilinear", antialias=True) for f in (frame_1, frame_2)
        )
        outputs = self._engine.with_outputs(small_1[:, :3], small_2[:, :3], ts, recorded=False)
        strength, detail = getattr(self._engine.generator, "detail", 0.0), None
        if strength:
            colors = frame_1[:, :3], frame_2[:, :3]
            detail = PairDetail(*colors, strength, fused=self._engine.is_fused)
        made = [self._enlarged(frame_1, frame_2, detail, out) for _, out in outputs]
        motion = torch.stack([x.motion for x in made]).max()
        return torch.stack((motion, _disagreement(made))), made

    def _enlarged(
        self, frame_1: Tensor, frame_2: Tensor, detail: PairDetail | None, out: GeneratorOutput
    ) -> WarpedFrame:
        """The full-size frame by what the generator gave for the small ones."""
        size = (frame_1.shape[2], frame_1.shape[3])
        warped_1, warped_2 = (
            backward_warp(frame, resize_flow(flow.float(), size))
            for frame, flow in ((frame_1, out.flow_1t), (frame_2, out.flow_2t))
        )
        mask = F.interpolate(out.blend_mask.float(), size, mode="bilinear")
        change = (out.pred_frame - out.coarse_frame).float()
        change = F.interpolate(change, size, mode="bilinear")
        if frame_1.shape[1] == 4:  # synthesis only makes colors
            change = F.pad(change, (0, 0, 0, 0, 0, 1))
        made = (blend(warped_1, warped_2, mask) + change).clamp(0, 1)
        if detail is not None:
            flows = [resize_flow(f.float(), detail.grid) for f in (out.flow_1t, out.flow_2t)]
            coarse_mask = F.interpolate(mask, detail.grid, mode="area")
            colors = made[:, :3]
            colors = detail.restored(colors, torch.cat(flows), coarse_mask, colors.dtype)
            made = torch.cat((colors, made[:, 3:]), 1)
        return WarpedFrame(made, warped_1[:, :3], warped_2[:, :3], mask, motion_of(out))


class AutoScaled:
    """An `interpolate` for small and large motion: where the flows of a pair are long, it is made
    once more with motion found at half the size, and where they still are, at a quarter. What fits
    better is taken, which is where the two warped frames agree more.

    One choice is made for all frames of a pair, for which it waits for a GPU.
    """

    def __init__(self, engine: InferenceEngine):
        self._engine = engine
        self._smaller = [(FlowScaled(engine, scale), m) for scale, m in SMALLER.items()]

    def __call__(
        self, frame_1: Tensor, frame_2: Tensor, ts: Sequence[float | Tensor], /
    ) -> list[Tensor]:
        """As `FlowScaled`."""
        return _each_pair(self._frames, frame_1, frame_2, ts)

    def with_doubt(self, frame_1: Tensor, frame_2: Tensor, ts: list[float], /) -> list[Tensor]:
        """As `FlowScaled`."""
        return _each_pair(self._frames_and_doubt, frame_1, frame_2, ts)

    def _frames(
        self, frame_1: Tensor, frame_2: Tensor, ts: Sequence[float | Tensor]
    ) -> list[Tensor]:
        frame_1, frame_2 = (frame.to(self._engine.device) for frame in (frame_1, frame_2))
        pair = self._engine.measured(frame_1, frame_2, ts, LARGE_MOTION)
        if pair is None:
            full = self._engine.with_outputs(frame_1, frame_2, ts)
        elif float(pair.length) <= LARGE_MOTION:
            return pair.frames
        else:
            full = pair.outputs()
        better = self._better(frame_1, frame_2, ts, full)
        if better:
            return better
        frames = [frame for frame, _ in full]
        return [to_8bit(x) for x in frames] if frame_1.dtype == torch.uint8 else frames

    def _frames_and_doubt(
        self, frame_1: Tensor, frame_2: Tensor, ts: Sequence[float | Tensor]
    ) -> list[Tensor]:
        frame_1, frame_2 = (frame.to(self._engine.device) for frame in (frame_1, frame_2))
        full = self._engine.with_outputs(frame_1, frame_2, ts)
        better = self._better(frame_1, frame_2, ts, full, doubtful=True)
        return better or [x.with_doubt() for x in _warped_frames(frame_1, frame_2, full)]

    def _better(
        self,
        frame_1: Tensor,
        frame_2: Tensor,
        ts: Sequence[float | Tensor],
        full: list[tuple[Tensor, GeneratorOutput]],
        *,
        doubtful: bool = False,
    ) -> list[Tensor]:
        """What a smaller size gives, if that fits better than what full size gave; else nothing."""
        best: list[Tensor] = []
        motion, disagreement = max(float(motion_of(out)) for _, out in full), 0.0
        for smaller, margin in self._smaller:
            if motion <= LARGE_MOTION:
                break
            if not best:
                disagreement = float(_disagreement(_warped_frames(frame_1, frame_2, full)))
            made = smaller.made(frame_1, frame_2, ts, doubtful=doubtful)
            limit = margin * disagreement
            motion, disagreement = made.scores.tolist()
            if disagreement >= limit:
                break
            best = made.frames
        return best


def scaled(
    engine: InferenceEngine, flow_scale: float | Literal["auto"]
) -> InferenceEngine | FlowScaled | AutoScaled:
    """An engine that estimates motion at a size of the frames."""
    if flow_scale == "auto":
        return AutoScaled(engine)
    return engine if flow_scale == 1 else FlowScaled(engine, flow_scale)


@torch.no_grad()
def _each_pair(
    run: Callable[[Tensor, Tensor, Sequence[float | Tensor]], list[Tensor]],
    frame_1: Tensor,
    frame_2: Tensor,
    ts: Sequence[float | Tensor],
) -> list[Tensor]:
    """A batch gives what its pairs give alone: each has a choice of its own."""
    if not ts:
        return []
    if len(frame_1) == 1:
        return run(frame_1, frame_2, ts)
    made = []
    for k in range(len(frame_1)):
        one = slice(k, k + 1)
        times = [t[one] if isinstance(t, Tensor) else t for t in ts]
        made.append(run(frame_1[one], frame_2[one], times))
    return [torch.cat(frames) for frames in zip(*made)]


def _warped_frames(
    frame_1: Tensor, frame_2: Tensor, made: list[tuple[Tensor, GeneratorOutput]]
) -> list[WarpedFrame]:
    color_1, color_2 = (to_float(frame[:, :3]) for frame in (frame_1, frame_2))
    return [
        WarpedFrame(frame, *warped(color_1, color_2, out), out.blend_mask.float(), motion_of(out))
        for frame, out in made
    ]


def _disagreement(made: list[WarpedFrame]) -> Tensor:
    return torch.stack([(x.warped_1 - x.warped_2).abs().mean() for x in made]).sum()
