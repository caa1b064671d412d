"""How long the last frame of an animated WebP or PNG lasts, written into the finished file.

FFmpeg gives it the duration of other frames, so an animation would not last as long as its frames.
"""

import struct
import zlib
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO, NamedTuple

_WEBP_DURATION = 12  # bytes into the content of ANMF
_PNG_DELAY = 20  # bytes into the content of fcTL


class _Chunk(NamedTuple):
    kind: bytes
    place: int  # of its content
    size: int


def set_length(file: Path, total: Fraction) -> None:
    """Let the last frame of a .webp or .apng end after `total` seconds.

    Raises:
        OSError: the file cannot be changed.
    """
    with open(file, "r+b") as opened:
        if opened.read(4) == b"RIFF":
            _set_webp(opened, total)
        else:
            _set_png(opened, total)


def _set_webp(file: BinaryIO, total: Fraction) -> None:
    """`total` is rounded to milliseconds."""
    places = [c.place + _WEBP_DURATION for c in _chunks(file, 12, "<4sI") if c.kind == b"ANMF"]
    if not places:  # a single frame
        return
    durations = [int.from_bytes(_read(file, place, 3), "little") for place in places]
    last = max(1, round(total * 1000) - sum(durations[:-1]))
    file.seek(places[-1])
    file.write(last.to_bytes(3, "little"))


def _set_png(file: BinaryIO, total: Fraction) -> None:
    chunks = [c for c in _chunks(file, 8, ">I4s") if c.kind == b"fcTL"]
    if not chunks:
        return
    delays = [struct.unpack(">HH", _read(file, c.place + _PNG_DELAY, 4)) for c in chunks]
    rest = total - sum((Fraction(num, den or 100) for num, den in delays[:-1]), Fraction(0))
    last = rest.limit_denominator(2**16 - 1)
    if not 0 < last.numerator < 2**16:
        return
    place, size = chunks[-1].place, chunks[-1].size
    content = bytearray(_read(file, place, size))
    content[_PNG_DELAY : _PNG_DELAY + 4] = struct.pack(">HH", last.numerator, last.denominator)
    file.seek(place)
    file.write(content + struct.pack(">I", zlib.crc32(b"fcTL" + content)))


def _chunks(file: BinaryIO, place: int, head: str) -> Iterator[_Chunk]:
    """The chunks of a RIFF file ("<4sI") or of a PNG (">I4s"), from `place` on."""
    while len(data := _read(file, place, 8)) == 8:
        fields = struct.unpack(head, data)
        kind, size = fields if head == "<4sI" else fields[::-1]
        yield _Chunk(kind, place + 8, size)
        place += 8 + size + (size % 2 if head == "<4sI" else 4)  # padding, or the checksum


def _read(file: BinaryIO, place: int, size: int) -> bytes:
    file.seek(place)
    return file.read(size)
