"""Two frames in, the frames between them out: the one call that everything that makes frames has.

inference/ turns networks, methods without learning and other people's models into such calls. A
wrapper (tiles, a flow scale, several devices) is such a call again. Videos take any of them.
"""

from typing import Protocol

from torch import Tensor


class Interpolate(Protocol):
    """A function is enough. Two attributes are optional: ``device``, where it gets its frames (the
    CPU without it), and ``workers``, how many threads may call it at a time (one without it).
    """

    def __call__(self, frame_1: Tensor, frame_2: Tensor, ts: list[float], /) -> list[Tensor]:
        """
        Args:
            frame_1, frame_2: (N, 3, H, W) RGB in [0, 1].
            ts: times in (0, 1); 0 is frame_1 and 1 is frame_2.

        Returns:
            one (N, 3, H, W) per time, in [0, 1].
        """
        ...
