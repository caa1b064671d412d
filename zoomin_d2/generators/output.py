"""What every generator returns, and how it is called for several times."""

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor, nn


class GeneratorOutput(NamedTuple):
    """What every generator returns for N pairs of H x W frames."""

    pred_frame: Tensor  # (N, 3, H, W), the result; in [0, 1] in eval mode
    coarse_frame: Tensor  # (N, 3, H, W) in [0, 1], warped and blended only (eq. 1)
    flow_1t: Tensor  # (N, 2, H, W) pixels, see layers/warp.py
    flow_2t: Tensor  # (N, 2, H, W) pixels
    blend_mask: Tensor  # (N, 1, H, W) in [0, 1], weight of frame_1
    # For training of coarse-to-fine generators: coarser blends (N, 3, h, w) of the padded frames.
    level_frames: tuple[Tensor, ...] = ()
    # For inference with `fast`: (N, 5, h, w) float32, which the maps above follow from (`maps_of`).
    motion: Tensor | None = None

    @property
    def maps(self) -> dict[str, Tensor]:
        """The five full-size tensors by name."""
        return dict(zip(self._fields, self[:5]))

    def detached(self) -> "GeneratorOutput":
        """The maps alone, without graph, for visualization."""
        return GeneratorOutput(*(x.detach() for x in self[:5]))


def motion_of(out: GeneratorOutput) -> Tensor:
    """Of the pair, in pixels: the mean length of the way from frame_1 to frame_2."""
    lengths = [flow.float().square().sum(1).sqrt() for flow in (out.flow_1t, out.flow_2t)]
    return (lengths[0] + lengths[1]).mean()


def forward_many(
    generator: nn.Module, frame_1: Tensor, frame_2: Tensor, ts: Sequence[Tensor]
) -> list:
    """GeneratorOutput for every t.

    A generator may have a method ``forward_many(frame_1, frame_2, ts)``, which computes once what
    does not depend on t; others are called once per t.

    Args:
        frame_1, frame_2: (N, 3, H, W).
        ts: (N,) each.

    Raises:
        TypeError: the generator returns something else.
    """
    many = getattr(generator, "forward_many", None)
    if callable(many):
        outputs = many(frame_1, frame_2, ts)
    else:
        outputs = [generator(frame_1, frame_2, t) for t in ts]
    for out in outputs:
        if not isinstance(out, GeneratorOutput):
            raise TypeError(
                f"{type(generator).__name__} returned {type(out).__name__}; a generator must "
                "return a GeneratorOutput (zoomin_d2/generators/output.py)"
            )
    return outputs
