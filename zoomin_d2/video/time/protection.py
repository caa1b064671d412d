"""What is changed in a made frame: doubtful pixels, still ones, overlays, and the user's mask."""

import functools
import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Literal, NamedTuple

import cv2
import torch
from torch import Tensor

from zoomin_d2.frames import CorruptFrameError, read_image
from zoomin_d2.video.errors import OptionError
from zoomin_d2.video.time.alpha import mix_colors

Unsure = Literal["keep", "nearest", "blend"]

# Doubt (inference/doubt.py) from which a pixel begins to be replaced, and wholly is.
DOUBT_FROM, DOUBT_TO = 0.08, 0.12
WHOLE_FRAME = 0.5  # a larger share of unsure pixels replaces the whole frame
MIN_SHARE = 0.001  # a frame with a smaller share of unsure pixels does not count
# Pixels that are equal in both frames are kept where the made frame is at most so many levels of
# 255 off: a larger difference may be something that passes between the two.
_EQUAL_WITHIN = 16.5 / 255


class Mask:
    """A picture that is white where frames must not be interpolated.

    Args:
        file: an image; gray levels are weights.
        size: (height, width) of the frames.

    Attributes:
        weights: (H, W) uint8; 255 shows the nearer frame.

    Raises:
        OptionError: the file is not an image of that size.
    """

    def __init__(self, file: str | os.PathLike, size: tuple[int, int]):
        try:
            image = read_image(Path(file))
        except CorruptFrameError as error:
            raise OptionError(f"mask {error.file_name}: {error.reason}") from error
        self.weights = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        self._copies: dict[torch.device, Tensor] = {}
        if image.shape[:2] != size:
            raise OptionError(
                f"mask {file} has {image.shape[1]}x{image.shape[0]} pixels, but the frames have "
                f"{size[1]}x{size[0]}: make it that size"
            )

    def on(self, device: torch.device) -> Tensor:
        """(1, 1, H, W) float32 in [0, 1], copied once: a copy waits for what a GPU computes."""
        if device not in self._copies:
            self._copies[device] = _weights(torch.from_numpy(self.weights).to(device))
        return self._copies[device]


def fingerprint(mask: str | os.PathLike | None) -> str | None:
    """Of the content of a mask, for resuming; None for none or one that cannot be read."""
    try:
        return None if mask is None else hashlib.sha256(Path(mask).read_bytes()).hexdigest()[:16]
    except OSError:
        return None


class Protected(NamedTuple):
    """A made frame as changed here, (1, 3 or 4, H, W).

    Attributes:
        unsure: the share of its pixels that were unsure, (), 0 to 1; None: no doubt was given.
        still: (1, 1, H, W) bool, the pixels that are those of both frames; None: not looked for.
    """

    frame: Tensor
    unsure: Tensor | None
    still: Tensor | None


class Protection:
    """Changes the made frames of one video, on the device on which they are made.

    Args:
        keep_still: equal pixels and overlays stay as they are.
        unsure: what stands in for doubtful pixels; "keep": what was made.
        mask: None: no mask.
    """

    def __init__(self, keep_still: bool, unsure: Unsure, mask: Mask | None):
        self._keep_still, self._unsure, self._mask = keep_still, unsure, mask

    @property
    def needs_doubt(self) -> bool:
        return self._unsure != "keep"

    def between(
        self, a: Tensor, b: Tensor, overlay: Tensor | None
    ) -> Callable[[Tensor, float, Tensor | None], Protected]:
        """What changes the frames between two: called with a made frame, its time in (0, 1), and
        its doubt, (1, 1, H, W) in [0, 1] or None.

        Args:
            a, b: (1, 3, H, W) RGB or (1, 4, H, W) straight RGBA in [0, 1], the frames before and
                after.
            overlay: (H, W) uint8 weights from overlays.py; None: no overlay.
        """
        equal = equal_pixels(a, b) if self._keep_still else None
        kept = None if overlay is None else _weights(overlay)
        mask = None if self._mask is None else self._mask.on(a.device)

        def protect(made: Tensor, t: float, doubt: Tensor | None) -> Protected:
            nearer, share, still = a if t <= 0.5 else b, None, None
            if doubt is not None:
                weights, share = _unsure_weights(doubt)
                other = nearer if self._unsure == "nearest" else mix_colors(a, b, t)
                made = mix_colors(made, other, weights)
            if equal is not None:
                still = equal & ((made - a).abs().amax(1, keepdim=True) <= _EQUAL_WITHIN)
                made = torch.where(still, a, made)
            if kept is not None:
                made = mix_colors(made, mix_colors(a, b, t), kept)
            if mask is not None:  # what changes in it, like a counter, must not fade
                made = mix_colors(made, nearer, mask)
            return Protected(made, share, still)

        return protect


def equal_pixels(a: Tensor, b: Tensor) -> Tensor:
    """(1, 1, H, W) bool of two frames (1, C, H, W): where 3 x 3 pixels are equal in them.

    A single equal pixel in something that moves is chance.
    """
    # `any` over the channels takes a CPU five times as long.
    apart = functools.reduce(torch.logical_or, (a != b).split(1, dim=1))
    return _dilated(~_dilated(apart))


def _dilated(mask: Tensor) -> Tensor:
    """(1, 1, H, W) bool: where any of 3 x 3 pixels is set."""
    for dim in (2, 3):
        rest = mask.shape[dim] - 1
        wide = mask.clone()
        wide.narrow(dim, 1, rest).logical_or_(mask.narrow(dim, 0, rest))
        wide.narrow(dim, 0, rest).logical_or_(mask.narrow(dim, 1, rest))
        mask = wide
    return mask


def _weights(levels: Tensor) -> Tensor:
    """(H, W) uint8 -> (1, 1, H, W) float32 in [0, 1]."""
    return levels[None, None].float() / 255


def _unsure_weights(doubt: Tensor) -> tuple[Tensor, Tensor]:
    """How much of every pixel to replace, (1, 1, H, W), and the share of unsure pixels, ()."""
    weights = ((doubt.float() - DOUBT_FROM) / (DOUBT_TO - DOUBT_FROM)).clamp(0, 1)
    share = (weights > 0.5).float().mean()
    return torch.where(share > WHOLE_FRAME, torch.ones_like(weights), weights), share
