"""Animated WebP as a source of frames, each shown for as long as the file says.

FFmpeg decodes single WebP images only, so Pillow reads these.
"""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from zoomin_d2.frames import why_too_large
from zoomin_d2.video.errors import BadInputError
from zoomin_d2.video.read.color import path_for_images
from zoomin_d2.video.read.containers import file_state
from zoomin_d2.video.read.source import ClosedOnExit, Damage, SourceFrame, SourceInfo

_TICK = Fraction(1, 1000)
_LEAST = 10  # ms; browsers take shorter ones as 100
_INSTEAD = 100


class AnimationReader(ClosedOnExit):
    """An animated WebP. A picture is (H, W, 3) RGB, or (H, W, 4) with alpha where a frame is not
    opaque.

    Raises:
        BadInputError: it cannot be read.
    """

    def __init__(self, file: Path):
        self.files: Sequence[Path] = [file]
        self.damage = Damage()
        self._image = _open(file)
        durations = [duration for _, duration in self._read()]
        total = sum(durations, Fraction(0))
        if not durations:
            raise BadInputError(f"{file}: no frame can be decoded")
        self.info = SourceInfo(
            name=str(file),
            height=self._image.height,
            width=self._image.width,
            rate=len(durations) / total,
            start=Fraction(0),
            time_base=_TICK,
            duration=total,
            num_frames=len(durations),
            color=path_for_images(self._image.height, False),
            pix_fmt="rgb24",
            fingerprint=file_state(file),
            has_alpha=self._image.mode == "RGBA",
        )
        self.first_alpha: Fraction | None = None
        self.end, self.count = Fraction(0), 0

    def close(self) -> None:
        self._image.close()

    def to_rgb(self, picture: np.ndarray) -> np.ndarray:
        return picture[..., :3]

    def to_alpha(self, picture: np.ndarray) -> np.ndarray | None:
        return picture[..., 3] if picture.shape[2] == 4 else None

    def again(self) -> "AnimationReader":
        return AnimationReader(self.files[0])

    def frames(self, start: Fraction | None = None, index: int = 0) -> Iterator[SourceFrame]:
        time = Fraction(0)
        for i, (picture, duration) in enumerate(self._read()):
            if i >= index:
                if self.first_alpha is None and picture.shape[2] == 4:
                    self.first_alpha = time
                self.end, self.count = time + duration, i + 1
                yield SourceFrame(i, time, duration, picture)
            time += duration

    def _read(self) -> Iterator[tuple[np.ndarray, Fraction]]:
        for i in range(getattr(self._image, "n_frames", 1)):
            try:
                self._image.seek(i)
                picture = np.asarray(self._image.convert("RGBA"))
            except (OSError, EOFError, ValueError) as error:
                self.damage.read_error = str(error)
                return
            if (picture[..., 3] == 255).all():
                picture = picture[..., :3]
            yield picture, _duration(self._image)


def is_animated(file: Path) -> bool:
    """Whether an image file holds more than one frame (False if it cannot be read)."""
    try:
        with Image.open(file) as image:
            return image.format != "TIFF" and getattr(image, "n_frames", 1) > 1  # pages
    except (OSError, ValueError, UnidentifiedImageError):
        return False


def _open(file: Path) -> Image.Image:
    try:
        image = Image.open(file)
    except (OSError, ValueError, UnidentifiedImageError) as error:
        raise BadInputError(f"{file}: is not an image, or is damaged ({error})") from error
    if reason := why_too_large(image.width, image.height):
        raise BadInputError(f"{file}: {reason}")
    return image


def _duration(image: Image.Image) -> Fraction:
    milliseconds = round(image.info.get("duration") or 0)
    return (milliseconds if milliseconds >= _LEAST else _INSTEAD) * _TICK
