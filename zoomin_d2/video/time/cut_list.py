"""A list of scene cuts, fades and dissolves as a CSV file that people may edit."""

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal

from zoomin_d2.files import write_atomically
from zoomin_d2.video.read.source import SourceFrame
from zoomin_d2.video.time.transitions import Kind

COLUMNS = ("frame", "time", "kind", "frames", "score")
CutKind = Literal["cut", "fade", "dissolve"]


@dataclass(frozen=True)
class Cut:
    """A place where one shot ends and the next begins.

    Attributes:
        frame: index of the first frame that is not of the old shot alone; None: see `time`.
        time: of that frame, in seconds of the source; without `frame` the nearest one is meant.
        kind: a "cut", or a "fade" or "dissolve", in which frames are mixed.
        frames: steps from the old shot to the new one: 1 of a cut.
        score: mean change, on the scale of the cut threshold; None: unknown.
    """

    frame: int | None = None
    time: float | None = None
    kind: CutKind = "cut"
    frames: int = 1
    score: float | None = None


class GivenCuts:
    """Cuts that a user gave, by the frames that they lead to."""

    def __init__(self, cuts: Sequence[Cut]):
        self._cuts = {cut.frame for cut in cuts if cut.frame is not None and cut.kind == "cut"}
        self._times = [cut.time for cut in cuts if cut.frame is None and cut.time is not None]
        self._mixed: dict[int, Kind] = {
            cut.frame + i: "dissolve"
            for cut in cuts
            if cut.frame is not None and cut.kind != "cut"
            for i in range(cut.frames)
        }

    def step_to(
        self, frame: SourceFrame, before: Fraction, after: Fraction | None
    ) -> tuple[bool, Kind | None]:
        """Whether a cut leads to a frame, and the transition that it is a part of.

        Args:
            before, after: times of its neighbors; None: it is the last.
        """
        low = (frame.time + before) / 2
        high = frame.time + frame.duration if after is None else (frame.time + after) / 2
        near = any(low <= time < high for time in self._times)
        return near or frame.index in self._cuts, self._mixed.get(frame.index)


def write_cuts(path: Path, cuts: Sequence[Cut]) -> None:
    """Write a list; the file is whole or absent. Raises OSError."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(cut) for cut in cuts)
    write_atomically(path, lambda file: file.write(text.getvalue().encode()))


def read_cuts(path: Path) -> tuple[Cut, ...]:
    """Read a list. Of its columns only "frame" or "time" is needed; empty lines are skipped.

    Raises:
        ValueError: it cannot be read, or a line makes no sense; the message names it.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "is not a text file"
        raise ValueError(f"{path}: {reason}") from error
    head = text.lstrip().partition("\n")[0]
    lines = csv.reader(io.StringIO(text), delimiter=";" if ";" in head else ",")
    names: list[str] = []
    cuts: list[Cut] = []
    for values in lines:
        values = [value.strip() for value in values]
        if not any(values):
            continue
        if not names:
            names = [value.lower() for value in values]
            if not {"frame", "time"} & set(names):
                raise ValueError(
                    f"{path}, line {lines.line_num}: names no column frame or time "
                    f"(columns: {', '.join(COLUMNS)})"
                )
            continue
        try:
            cuts.append(_parse(dict(zip(names, values))))
        except ValueError as error:
            raise ValueError(f"{path}, line {lines.line_num}: {error}") from None
    return tuple(cuts)


def _parse(row: dict[str, str]) -> Cut:
    """Raises ValueError, which says what is wrong with the row."""
    frame = _number(row, "frame", int, 1)
    time = _number(row, "time", float, 0.0)
    if frame is None and time is None:
        raise ValueError("needs a frame or a time")
    kind = row.get("kind", "").lower() or "cut"
    if kind not in ("cut", "fade", "dissolve"):
        raise ValueError(f"the kind {kind!r} is none of cut, fade, dissolve")
    frames = _number(row, "frames", int, 1) or 1
    if kind != "cut" and frame is None:
        raise ValueError(f"a {kind} needs its frame")
    return Cut(frame, time, kind, frames if kind != "cut" else 1)  # type: ignore[arg-type]


def _number(row: dict[str, str], name: str, kind: type, least: float):
    text = row.get(name, "")
    if not text:
        return None
    try:
        value = kind(text)
    except ValueError:
        number = "a whole number" if kind is int else "a number"
        raise ValueError(f"{name} {text!r} is not {number}") from None
    if not least <= value < float("inf"):
        raise ValueError(f"{name} must be at least {least}, not {text}")
    return value
