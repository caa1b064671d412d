"""Two frames in, the frames between them out: the one call that everything has that makes frames.

Networks, methods without learning and other people's models are made such calls in inference/;
what wraps one (tiles, a flow scale, several devices) is one again. Videos take any of them.
"""

from typing import Protocol

from torch import Tensor


class Interpolate(Protocol):
    """A function is enough. What has an attribute ``device`` gets its frames there (else on the
    CPU), and with an attribute ``workers`` is called by so many threads at a time (else by one).
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
