"""Images as a source of frames: a folder, or two images. A rate gives them their times."""

import os
import re
from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
from natsort import natsorted

from zoomin_d2 import frames
from zoomin_d2.frames import CorruptFrameError, read_image
from zoomin_d2.video.errors import BadInputError
from zoomin_d2.video.read.color import path_for_images
from zoomin_d2.video.read.color_profile import color_profile
from zoomin_d2.video.read.exr import EXR_SUFFIX, ExrFormat, read_exr
from zoomin_d2.video.read.half_floats import to_samples
from zoomin_d2.video.read.source import ClosedOnExit, Damage, SourceFrame, SourceInfo, is_opaque

DEFAULT_RATE = Fraction(24)
IMAGE_SUFFIXES = (*frames.IMAGE_SUFFIXES, EXR_SUFFIX)
NUMBERED = re.compile(r"(.*?)(\d+)")  # the name of an image of a sequence, without its suffix
PATTERN = re.compile(r"%0?(\d*)d|#+")  # the number in the name of a whole sequence


class ImageReader(ClosedOnExit):
    """Images of one size, in order, at a rate. 16-bit images stay 16-bit; EXIF rotation is applied.

    A picture is (H, W, 3) RGB, or (H, W, 4) with alpha where an image is not opaque. Those of EXR
    are float16 as in the file (exr.py); `to_rgb` clips them to [0, 1], as sRGB of 16 bits.

    Raises:
        BadInputError: there are no images, or one cannot be read or has another size.
    """

    def __init__(self, files: list[Path], rate: Fraction | None = None, name: str | None = None):
        if not files:
            raise BadInputError(f"{name}: holds no images ({', '.join(IMAGE_SUFFIXES)})")
        self.files: Sequence[Path] = files
        self._rate, self._name = rate, name
        self.damage = Damage()
        first, exr = _read(files[0])
        self._shape, self._dtype = first.shape[:2], first.dtype
        rate = rate or DEFAULT_RATE
        deep = first.dtype != np.uint8
        stats = [_stat(file) for file in files]
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
            warnings=(*_number_gaps(files), *_mixed_sequences(files)),
            fingerprint=[
                len(files),
                sum(s.st_size for s in stats),
                max(s.st_mtime_ns for s in stats),
                files[0].name,
                files[-1].name,
                str(rate),
            ],
            sample_aspect_ratio=None if exr is None else exr.aspect,
            is_images=True,
            has_alpha=first.shape[2] == 4,
            exr=exr,
            lost=_lost(files[0]) if exr is None else exr.lost,
        )
        self.first_alpha: Fraction | None = None
        self.end, self.count = Fraction(0), 0

    def to_rgb(self, picture: np.ndarray) -> np.ndarray:
        return to_samples(picture)[0] if picture.dtype == np.float16 else picture[..., :3]

    def to_alpha(self, picture: np.ndarray) -> np.ndarray | None:
        if picture.shape[2] == 3:
            return None
        return to_samples(picture)[1] if picture.dtype == np.float16 else picture[..., 3]

    def again(self) -> "ImageReader":
        return ImageReader(list(self.files), self._rate, self._name)

    def frames(self, start: Fraction | None = None, index: int = 0) -> Iterator[SourceFrame]:
        duration = 1 / self.info.rate
        for i in range(index, len(self.files)):
            image, _ = _read(self.files[i])
            if image.shape[:2] != self._shape or image.dtype != self._dtype:
                sizes = [f"{s[1]}x{s[0]}" for s in (image.shape, self._shape)]
                raise BadInputError(
                    f"{self.files[i]}: {sizes[0]} {image.dtype}, but the first image is "
                    f"{sizes[1]} {self._dtype}: all images must have the same size and type"
                )
            if self.first_alpha is None and not is_opaque(image):
                self.first_alpha = i * duration
            self.end, self.count = (i + 1) * duration, i + 1
            yield SourceFrame(i, i * duration, duration, image)


def list_images(folder: Path) -> list[Path]:
    """The images of a folder, numbers in names compared as numbers.

    Hidden files are skipped: macOS leaves a `._name.png` beside every `name.png`."""
    files = [
        f
        for f in folder.iterdir()
        if f.suffix.lower() in IMAGE_SUFFIXES and not f.name.startswith(".") and f.is_file()
    ]
    return natsorted(files, key=lambda file: file.name)


def is_pattern(name: str | Path) -> bool:
    """Whether a name stands for numbered images, such as shot.%04d.exr or shot.####.exr."""
    path = Path(name)
    return path.suffix.lower() in IMAGE_SUFFIXES and PATTERN.search(path.name) is not None


def list_sequence(pattern: Path) -> list[Path]:
    """The images of a pattern (`is_pattern`), in the order of their numbers."""
    place = PATTERN.search(pattern.name)
    if place is None or not pattern.parent.is_dir():
        return []
    before, after = re.escape(pattern.name[: place.start()]), re.escape(pattern.name[place.end() :])
    name = re.compile(rf"{before}\d+{after}")
    found = [file for file in pattern.parent.iterdir() if name.fullmatch(file.name)]
    return natsorted(found, key=lambda file: file.name)


def _number_gaps(files: list[Path]) -> list[str]:
    """A warning where the numbers that end the names leave some out: the gap is closed."""
    matches = [NUMBERED.fullmatch(file.stem) for file in files]
    found = [match for match in matches if match is not None]
    if len(found) < len(files) or len({match[1] for match in found}) > 1:
        return []
    numbers = [int(match[2]) for match in found]
    steps = [b - a for a, b in pairwise(numbers)]
    usual = min(steps, default=1)  # every tenth frame of a video is no gap
    wide = [i for i, step in enumerate(steps) if step != usual]
    if not wide or usual < 1:
        return []
    return [
        f"image numbers have {len(wide)} gap{'s' * (len(wide) > 1)}, the first after "
        f"{files[wide[0]].name}: the images are shown one after the other"
    ]


def _mixed_sequences(files: list[Path]) -> list[str]:
    """A warning where the names are those of several sequences, or of every image twice."""
    numbers: dict[str, list[tuple[Path, int]]] = {}
    for file in files:
        match = NUMBERED.fullmatch(file.stem)
        if match is not None:  # digits aside, as names of times (12-59-01) differ in them
            kind = re.sub(r"\d", "", match[1])
            numbers.setdefault(kind, []).append((file, int(match[2])))
    long = [found for found in numbers.values() if len(found) > 1]
    if len(long) > 1:
        names = ", ".join(found[0][0].name for found in long[:3])
        return [
            f"the images are {len(long)} sequences ({names}{', ...' if len(long) > 3 else ''}), "
            "shown one after the other: a pattern such as shot.%04d.png picks one"
        ]
    for file, other in pairwise(files):
        if file.stem == other.stem:
            return [f"{file.name} and {other.name} are both shown: a pattern picks one kind"]
    return []


def _stat(file: Path) -> os.stat_result:
    try:
        return file.stat()
    except OSError as error:
        raise BadInputError(f"{file}: {error.strerror}") from error


def _lost(path: Path) -> tuple[str, ...]:
    profile = color_profile(path)
    return () if profile is None else (f"color profile (ICC): {profile}",)


def _read(path: Path) -> tuple[np.ndarray, ExrFormat | None]:
    """(H, W, 3) RGB uint8 or uint16, or (H, W, 4) if it is not opaque; or float16 of an EXR."""
    if path.suffix.lower() == EXR_SUFFIX:
        return read_exr(path)
    try:
        rgb = read_image(path, keep_16_bits=True, turn=True)
    except CorruptFrameError as error:
        raise BadInputError(str(error)) from error
    alpha = _alpha(np.fromfile(path, np.uint8), rgb.shape[:2])
    return (rgb if alpha is None else np.dstack([rgb, alpha])), None


def _alpha(data: np.ndarray, shape: tuple[int, ...]) -> np.ndarray | None:
    """The alpha of an image that can be read, (H, W); None if it is opaque or has none."""
    image = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
    if image is None or image.ndim != 3 or image.shape[2] != 4 or image.shape[:2] != shape:
        return None
    alpha = image[..., 3]
    return alpha if (alpha < np.iinfo(image.dtype.name).max).any() else None
