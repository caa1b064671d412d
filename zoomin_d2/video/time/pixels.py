"""One frame in the forms in which it is at hand: RGB, or YUV as a codec has it."""

import threading
from collections.abc import Callable
from typing import NamedTuple

import cv2
import numpy as np

from zoomin_d2.video.read.planes import Planes, luma_of


class Still(NamedTuple):
    """The pixels of a made frame that have not changed: `mask` (H, W) uint8 is 255 where the
    samples of the source frame, `planes`, are shown."""

    mask: np.ndarray
    planes: Planes


class Pixels:
    """A frame that is converted to RGB when somebody first asks for it.

    Args:
        image: (H, W, 3) RGB, uint8 or uint16; (H, W, 4) straight RGBA, or float16 light; or a
            function that returns it.
        planes: the same frame in YUV, upright; None: there is no such form.
        still: where it shows a source frame; None: nowhere, or not known.
    """

    def __init__(
        self,
        image: np.ndarray | Callable[[], np.ndarray],
        planes: Planes | None = None,
        still: Still | None = None,
    ):
        self.planes, self.still = planes, still
        self._image = image
        self._lock = threading.Lock()

    @property
    def image(self) -> np.ndarray:
        with self._lock:
            if callable(self._image):
                self._image = self._image()
            return self._image

    @property
    def luma(self) -> np.ndarray:
        """(H, W) uint8, from black at 0 to white at 255."""
        if self.planes is not None:
            return luma_of(self.planes)
        code = cv2.COLOR_RGBA2GRAY if self.image.shape[2] == 4 else cv2.COLOR_RGB2GRAY
        luma = cv2.cvtColor(self.image, code)
        return luma if luma.dtype == np.uint8 else cv2.convertScaleAbs(luma, alpha=1 / 257)
