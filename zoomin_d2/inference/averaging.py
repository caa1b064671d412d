"""Better frames for four times the work: the mean of a model's frames of a pair's mirror images."""

from torch import Tensor

from zoomin_d2.interpolate import Interpolate

# Axes along which both frames are flipped, and whether their order is reversed.
_VARIANTS: tuple[tuple[tuple[int, ...], bool], ...] = (
    ((), False),
    ((-2, -1), True),
    ((-1,), True),
    ((-2,), False),
)


class Averaged:
    """An `Interpolate` that asks a model four times: for the pair, for the pair turned by 180
    degrees or flipped horizontally, both in reverse order at time 1 - t, and for the pair flipped
    vertically. Errors that depend on direction cancel out in part.

    Args:
        interpolate: takes float frames.
    """

    def __init__(self, interpolate: Interpolate):
        self._interpolate = interpolate

    def __call__(self, frame_1: Tensor, frame_2: Tensor, ts: list[float], /) -> list[Tensor]:
        """Frames (N, 3, H, W) float in [0, 1]; one (N, 3, H, W) per time."""
        totals: list[Tensor] = []
        for axes, reverse in _VARIANTS:
            pair = (frame_2, frame_1) if reverse else (frame_1, frame_2)
            flipped_1, flipped_2 = (frame.flip(axes) for frame in pair)
            times = [1 - t for t in ts] if reverse else ts
            made = [x.flip(axes) for x in self._interpolate(flipped_1, flipped_2, times)]
            totals = [a + b for a, b in zip(totals, made, strict=True)] if totals else made
        return [total / len(_VARIANTS) for total in totals]
