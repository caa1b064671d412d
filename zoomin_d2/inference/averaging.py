"""Better frames for twice the work: a frame averaged with that of the mirrored pair."""

from torch import Tensor

from zoomin_d2.interpolate import Interpolate


class Averaged:
    """An `Interpolate` that calls a model twice: for the pair, and for the pair in reverse order,
    rotated by 180 degrees, at time 1 - t. Errors that depend on direction partly cancel out.

    Args:
        interpolate: takes float frames.
    """

    def __init__(self, interpolate: Interpolate):
        self._interpolate = interpolate

    def __call__(self, frame_1: Tensor, frame_2: Tensor, ts: list[float], /) -> list[Tensor]:
        """Frames (N, 3, H, W) float in [0, 1]; one (N, 3, H, W) per time."""
        plain = self._interpolate(frame_1, frame_2, ts)
        turned = self._interpolate(_turned(frame_2), _turned(frame_1), [1 - t for t in ts])
        return [(a + _turned(b)) / 2 for a, b in zip(plain, turned, strict=True)]


def _turned(frame: Tensor) -> Tensor:
    return frame.flip(-2, -1)
