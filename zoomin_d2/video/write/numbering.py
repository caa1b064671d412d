"""The names of the images of a sequence: what stands before the number, its first value and its
number of digits."""

import itertools
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from zoomin_d2.video.errors import OutputError
from zoomin_d2.video.read.exr import EXR_SUFFIX
from zoomin_d2.video.read.images import NUMBERED, PATTERN

KEPT_SUFFIXES = (".png", ".tif", ".tiff", EXR_SUFFIX)  # lossless, and 16 bits deep


class Numbering(NamedTuple):
    """Image k of a sequence has the name `prefix`, `first` + k in at least `digits` digits,
    `suffix`."""

    folder: Path
    prefix: str = ""
    first: int = 0
    digits: int = 6
    suffix: str = ".png"

    def path(self, index: int) -> Path:
        """The file of image `index`, from 0."""
        name = f"{self.prefix}{self.first + index:0{self.digits}d}{self.suffix}"
        return self.folder / name

    def images_of_any_run(self) -> list[Path]:
        """The images in the folder that are named like this sequence, whatever their first
        number."""
        start, end = re.escape(self.prefix), re.escape(self.suffix)
        name = re.compile(f"{start}[0-9]{{{max(self.digits, 1)}}}{end}")
        named = {file for file in self.folder.iterdir() if name.fullmatch(file.name)}
        longer = itertools.takewhile(Path.exists, map(self.path, itertools.count()))
        return sorted(named.union(longer))


def numbering_for(output: str, images: Sequence[Path]) -> Numbering:
    """The numbering of an output.

    A folder takes over the names of the input's images: prefix, first number, digits, and suffix,
    if that is one of KEPT_SUFFIXES. Videos, and images without numbers of two digits or more, give
    000000.png, 000001.png, ... A pattern (shot.%04d.exr, shot.####.exr) says all but the first
    number.

    Args:
        output: a folder, or a pattern in a folder.
        images: the input's; none: it is a video.

    Raises:
        OutputError: a pattern has a suffix that cannot be written, or two numbers.
    """
    matches = [NUMBERED.fullmatch(file.stem) for file in images]
    numbers = [match for match in matches if match is not None]
    is_numbered = bool(images) and len(numbers) == len(images)
    first = int(numbers[0][2]) if is_numbered else 0
    pattern = PATTERN.search(Path(output).name)
    if pattern is not None:
        name = Path(output).name
        if PATTERN.search(name, pattern.end()):
            raise OutputError(f"{output}: has two numbers; a sequence has one")
        suffix = Path(output).suffix
        if suffix.lower() not in KEPT_SUFFIXES:
            raise OutputError(
                f"{output}: sequences are written as {', '.join(KEPT_SUFFIXES)}, not {suffix!r}"
            )
        digits = len(pattern[0]) if pattern[0][0] == "#" else int(pattern[1] or 1)
        prefix, rest = name[: pattern.start()], name[pattern.end() :]
        return Numbering(Path(output).parent, prefix, first, digits, rest)
    suffix = images[0].suffix if images else ".png"
    if suffix.lower() not in KEPT_SUFFIXES:
        suffix = ".png"
    digits = len(numbers[0][2]) if is_numbered else 0
    if digits < 2 or len({number[1] for number in numbers}) > 1:
        return Numbering(Path(output), suffix=suffix)
    return Numbering(Path(output), numbers[0][1], first, digits, suffix)
