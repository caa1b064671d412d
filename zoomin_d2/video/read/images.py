"""Images as a source of frames: a folder, or two images. They have no time: a rate gives it."""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
from natsort import natsorted

from zoomin_d2.frames import IMAGE_SUFFIXES, CorruptFrameError, read_image
from zoomin_d2.video.errors import BadInputError
from zoomin_d2.video.read.color import path_for_images
from zoomin_d2.video.read.source import Damage, SourceFrame, SourceInfo

DEFAULT_RATE = Fraction(24)


class ImageReader:
    """Images of one size, in order, at a rate. 16-bit images stay 16-bit; EXIF turns are applied.

    Raises:
        BadInputError: no images, one that cannot be read, or of another size.
    """

    def __init__(self, files: list[Path], rate: Fraction | None = None, name: str | None = None):
        if not files:
            raise BadInputError(f"{name}: holds no images ({', '.join(IMAGE_SUFFIXES)})")
        self.files = files
        self.damage = Damage()
        first = _read(files[0])
        self._shape, self._dtype = first.shape, first.dtype
        rate = rate or DEFAULT_RATE
        deep = first.dtype == np.uint16
        stats = [file.stat() for file in files]
        warnings = ("transparency is dropped: the output has no alpha channel",)
        self.info = SourceInfo(
            name=name or str(files[0].parent),
            height=first.shape[0],
            width=first.shape[1],
            rate=rate,
            start=Fraction(0),
            time_base=1 / rate,
            duration=len(files) / rate,
            num_frames=len(files),
            color=path_for_images(first.shape[0], deep),
            pix_fmt="rgb48le" if deep else "rgb24",
            warnings=warnings if _is_transparent(files[0]) else (),
            fingerprint=[
                len(files),
                sum(s.st_size for s in stats),
                max(s.st_mtime_ns for s in stats),
                files[0].name,
                files[-1].name,
                str(rate),
            ],
            is_images=True,
        )
        self.end, self.count = Fraction(0), 0

    def __enter__(self) -> "ImageReader":
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def close(self) -> None:
        pass

    def to_rgb(self, picture: np.ndarray) -> np.ndarray:
        return picture

    def frames(self, start: Fraction | None = None, index: int = 0) -> Iterator[SourceFrame]:
        duration = 1 / self.info.rate
        for i in range(index, len(self.files)):
            image = _read(self.files[i])
            if image.shape != self._shape or image.dtype != self._dtype:
                sizes = [f"{s[1]}x{s[0]}" for s in (image.shape, self._shape)]
                raise BadInputError(
                    f"{self.files[i]}: {sizes[0]} {image.dtype}, but the first image is "
                    f"{sizes[1]} {self._dtype}: all must be alike"
                )
            self.end, self.count = (i + 1) * duration, i + 1
            yield SourceFrame(i, i * duration, duration, image)


def list_images(folder: Path) -> list[Path]:
    """The images of a folder, numbers in names compared as numbers."""
    files = [f for f in folder.iterdir() if f.suffix.lower() in IMAGE_SUFFIXES and f.is_file()]
    return natsorted(files, key=lambda file: file.name)


def _read(path: Path) -> np.ndarray:
    """(H, W, 3) RGB uint8 or uint16."""
    try:
        return read_image(path, keep_16_bits=True, turn=True)
    except CorruptFrameError as error:
        raise BadInputError(str(error)) from error


def _is_transparent(path: Path) -> bool:
    """Whether an image that can be read has an alpha channel that says more than "opaque"."""
    image = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED)
    if image is None or image.ndim != 3 or image.shape[2] != 4:
        return False
    return bool((image[..., 3] < np.iinfo(image.dtype.name).max).any())
