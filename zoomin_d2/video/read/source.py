"""What a source of frames is, whatever it is read from: a file, a pipe, a folder of images."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar

import av
import cv2
import numpy as np

from zoomin_d2.video.read.color import UNSPECIFIED, ColorPath, is_rgb, small_yuv
from zoomin_d2.video.read.exr import ExrFormat
from zoomin_d2.video.read.half_floats import to_samples
from zoomin_d2.video.read.hdr import HdrMetadata
from zoomin_d2.video.read.light import SRGB

THUMBNAIL_WIDTH = 160  # pixels of the thumbnails that are compared to find cuts
# a warning of a source whose first frame is interlaced
INTERLACED = "the video is interlaced: --deinterlace it, or edges will show combing"


@dataclass
class SourceFrame:
    """One frame of a source.

    Attributes:
        index: its place among the frames of the source, from 0.
        time: when it is shown, in seconds after the container's start; exact.
        duration: how long it is shown if nothing follows.
        picture: the frame as decoded: av.VideoFrame, or (H, W, 3) RGB.
        gap_before: frames between the previous one and this one are damaged or missing.
        closes_loop: it is the first frame once more, after the last one (time/loop.py).
    """

    index: int
    time: Fraction
    duration: Fraction
    picture: Any
    gap_before: bool = False
    closes_loop: bool = False


@dataclass(frozen=True)
class SourceInfo:
    """What is known before decoding.

    Attributes:
        name: for messages.
        height, width: upright, in pixels.
        rate: nominal frames per second (the average for a variable rate).
        start: time of the first frame. time_base: resolution of the source's clock.
        duration: of the video, None if unknown (pipes). num_frames: an estimate, 0 if unknown.
        color: the conversion to and from RGB.
        pix_fmt: of the samples. sample_aspect_ratio: of an upright pixel; None if unknown.
        hdr: HDR10's static metadata.
        warnings: what the user should know (interlaced, one of several video streams, ...).
        fingerprint: changes when the source does; None for a pipe.
        file: the file that sound and other streams come from; None: there is none.
        stream_index: of the video stream in `file`.
        beside: (type, name) of what else comes out of a pipe, which is read once, for its pictures.
        is_images: frames are separate images, which get their times from a rate.
        has_alpha: the pixel format or the container has an alpha channel. It may be opaque
            everywhere: Source.first_alpha says when it is not.
        exr: of EXR images, what they have in common.
        lost: what no output keeps of it, as messages.
    """

    name: str
    height: int
    width: int
    rate: Fraction
    start: Fraction
    time_base: Fraction
    duration: Fraction | None
    num_frames: int
    color: ColorPath
    pix_fmt: str
    sample_aspect_ratio: Fraction | None = None
    hdr: HdrMetadata | None = None
    warnings: tuple[str, ...] = ()
    fingerprint: Any = None
    file: Path | None = None
    stream_index: int = 0
    beside: tuple[tuple[str, str], ...] = ()
    is_images: bool = False
    has_alpha: bool = False
    exr: ExrFormat | None = None
    lost: tuple[str, ...] = ()

    @property
    def transfer(self) -> int:
        """H.273 code point of the transfer characteristics of RGB: sRGB for untagged pictures."""
        tagged = self.color.tags.transfer
        is_picture = self.is_images or (is_rgb(self.pix_fmt) and tagged == UNSPECIFIED)
        return SRGB if is_picture else tagged


class DamageEvent(NamedTuple):
    """What happened at a time (seconds): `number` is added to the count `kind`. Without a kind it
    is where the file ends too early, which every reading comes to."""

    time: Fraction | float
    what: str
    kind: str = ""
    number: int = 1


@dataclass
class Damage:
    """What could not be decoded, counted while reading.

    Attributes:
        missing_seconds: how much earlier the video ends than its container says.
        read_error: why reading stopped early, if it did.
        events: in the order in which they were found.
        earlier: events before the place where a resumed run begins to read, of the runs before.
    """

    missing_seconds: float = 0.0
    read_error: str | None = None
    events: list[DamageEvent] = field(default_factory=list)
    earlier: list[DamageEvent] = field(default_factory=list)
    _start: Fraction | None = None

    def __bool__(self) -> bool:
        counted = any(event.kind for event in (*self.earlier, *self.events))
        return bool(counted or self.missing_seconds or self.read_error)

    @property
    def lost_frames(self) -> int:
        """Frames that the file lists, or that a gap shows, and that did not come out."""
        return self._count("lost_frames")

    @property
    def corrupt_frames(self) -> int:
        """Came out damaged, and were left out."""
        return self._count("corrupt_frames")

    @property
    def decode_errors(self) -> int:
        """Packets that the decoder refused."""
        return self._count("decode_errors")

    @property
    def damaged_packets(self) -> int:
        """Of the video, that lack data which was lost in transit (MPEG-TS)."""
        return self._count("damaged_packets")

    def note(self, time: Fraction | float, what: str, kind: str = "", number: int = 1) -> None:
        """Remember what happened at a time (seconds), and count it."""
        if not kind or self._start is None or time >= self._start:
            self.events.append(DamageEvent(time, what, kind, number))

    def begin_at(self, start: Fraction) -> None:
        """Count anew, and only from `start` on: what comes before is `earlier`."""
        self.events, self.missing_seconds, self.read_error = [], 0.0, None
        self._start = start

    def between(self, start: Fraction | None, end: Fraction) -> list[DamageEvent]:
        """The counted events from `start` (None: the beginning) to before `end`, for a journal."""
        return [
            event._replace(time=float(event.time))
            for event in list(self.events)  # grows meanwhile, in the thread that reads
            if event.kind and (start is None or event.time >= start) and event.time < end
        ]

    def _count(self, kind: str) -> int:
        return sum(e.number for e in (*self.earlier, *self.events) if e.kind == kind)

    def describe(self) -> str:
        """All damage as one line of text."""
        parts = []
        if self.lost_frames or self.corrupt_frames:
            lost, corrupt = self.lost_frames, self.corrupt_frames
            parts.append(f"{lost + corrupt} frames lost ({corrupt} of them were decoded damaged)")
        elif self.decode_errors:
            parts.append(f"{_packets(self.decode_errors)} could not be decoded")
        if self.damaged_packets:
            verb = "lacks" if self.damaged_packets == 1 else "lack"
            parts.append(f"{_packets(self.damaged_packets)} {verb} data")
        if self.missing_seconds:
            parts.append(f"the video ends {self.missing_seconds:.2f} s before its container says")
        if self.read_error:
            parts.append(f"reading stopped: {self.read_error}")
        if self.earlier or self.events:
            places = sorted(float(event.time) for event in (*self.earlier, *self.events))
            parts.append("first at " + ", ".join(f"{place:.2f} s" for place in places[:5]))
        return "; ".join(parts)


def _packets(number: int) -> str:
    return f"{number} packet" + "s" * (number != 1)


class Source(Protocol):
    """An opened source of frames; use as a context manager."""

    info: SourceInfo
    files: Sequence[Path]  # the files that it reads
    damage: Damage
    end: Fraction  # when the last frame read so far ends
    count: int  # of frames read so far, including those before `start`
    first_alpha: Fraction | None  # time of the first frame so far that is not opaque

    def frames(self, start: Fraction | None = None, index: int = 0) -> Iterator[SourceFrame]:
        """All frames, or those from time `start` on, of which the first has place `index`. Damage
        is then counted from `start` on."""
        ...

    def to_rgb(self, picture: Any) -> np.ndarray:
        """(H, W, 3) RGB, uint8 or uint16, upright."""
        ...

    def to_alpha(self, picture: Any) -> np.ndarray | None:
        """(H, W), of to_rgb's type and upright: 0 is transparent; None: opaque everywhere."""
        ...

    def again(self) -> "Source | None":
        """The same source opened once more, to be read from its start; None: it is a pipe."""
        ...

    def close(self) -> None: ...

    def __enter__(self) -> "Source": ...

    def __exit__(self, *_) -> None: ...


S = TypeVar("S", bound="ClosedOnExit")


class ClosedOnExit:
    """The part of a Source that all kinds share: a `with` block closes it at its end."""

    def close(self) -> None:
        """Let go of what is open; by default nothing is."""

    def __enter__(self: S) -> S:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def lost_alpha(source: Source) -> list[str]:
    """What an output without an alpha channel has lost so far, as messages."""
    if source.first_alpha is None:
        return []
    where = f", first at {float(source.first_alpha):.2f} s" if source.first_alpha else ""
    return [f"transparency: the output has no alpha channel{where}"]


def lost_of_images(source: Source, is_exr: bool) -> list[str]:
    """What an output lacks of images beside their transparency, as messages."""
    lost = list(source.info.lost)
    if source.info.exr is not None and not is_exr:
        lost.append("light below 0 and above 1, and half floats: the output is not EXR")
    return lost


def is_opaque(image: np.ndarray) -> bool:
    """Whether an image (H, W, 3 or 4) hides everything behind it."""
    if image.shape[2] == 3:
        return True
    full = 1.0 if image.dtype == np.float16 else np.iinfo(image.dtype).max
    return bool(image[..., 3].min() >= full)


def thumbnail(picture: Any) -> np.ndarray:
    """A small copy for finding cuts, (3, h, THUMBNAIL_WIDTH) float32: luma in 0..255 and two chroma
    planes in the same unit."""
    height, width = picture_size(picture)
    size = (THUMBNAIL_WIDTH, max(1, round(height * THUMBNAIL_WIDTH / width)))
    if isinstance(picture, av.VideoFrame):
        return small_yuv(picture, *size)
    if picture.dtype == np.float16:
        picture = to_samples(picture)[0]
    small = cv2.resize(picture[..., :3], size, interpolation=cv2.INTER_AREA).astype(np.float32)
    if picture.dtype == np.uint16:
        small /= 257.0
    return cv2.cvtColor(small, cv2.COLOR_RGB2YCrCb).transpose(2, 0, 1)


def picture_size(picture: Any) -> tuple[int, int]:
    """(height, width), before rotation."""
    if isinstance(picture, av.VideoFrame):
        return picture.height, picture.width
    return picture.shape[:2]
