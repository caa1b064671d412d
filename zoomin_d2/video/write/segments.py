"""The unfinished output: finished segments in a folder beside the file, and a journal of them.

Every SEGMENT_FRAMES output frames are encoded to a separate file, closed, synced and noted in
`journal.json` (`segment_writer.py`). A run that is killed loses the segment that it writes, and
perhaps the one before, which is closed meanwhile. A new run with the same settings resumes there
and gives the same frames as an unbroken one, because a segment depends on nothing before it.
`assemble.py` joins the segments.
"""

import errno
import json
import os
import shutil
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from zoomin_d2.files import lock_file, write_json
from zoomin_d2.video.errors import DiskFullError, OutputBusyError, OutputError
from zoomin_d2.video.read.source import DamageEvent, Source
from zoomin_d2.video.time.pipeline import OutputFrame
from zoomin_d2.video.write.encoder import KEYFRAME_INTERVAL

SEGMENT_FRAMES = KEYFRAME_INTERVAL
JOURNAL = "journal.json"
LOCK = "lock"
SEGMENTS_SUFFIX = ".segments"
MIN_FREE_BYTES = 64 * 2**20
VERSION = 2  # of the settings; runs of zoomin_d2 0.1.0 have version 1


@dataclass
class SegmentReport:
    """Counts of one segment; `last_source` is the index of the last source frame in it, `end` the
    time at which its last frame ends (seconds, as a fraction).

    `damage` is what was found since the segment before in the part of the source that a resumed run
    does not read again, `first_alpha` the time of a frame there that is not opaque; "": none.
    `overlays` and `unsure` count frames, `unsure_area` adds up the shares of their pixels."""

    frames: int = 0
    made: int = 0
    repeats: int = 0
    blended: int = 0
    cuts: list[float] = field(default_factory=list)
    last_source: int = -1
    end: str = ""
    damage: list[DamageEvent] = field(default_factory=list)
    first_alpha: str = ""
    overlays: int = 0
    unsure: int = 0
    unsure_area: float = 0.0

    def count(self, frame: OutputFrame) -> None:
        """Add one frame of the output."""
        self.frames += 1
        self.made += frame.kind == "made"
        self.repeats += frame.repeats
        self.overlays += frame.has_overlay
        self.unsure += frame.unsure > 0
        self.unsure_area += frame.unsure
        self.blended += frame.kind == "blended"
        self.cuts.extend(frame.cuts)
        self.last_source = frame.source_index
        if frame.duration:
            self.end = str(frame.time + frame.duration)

    def note_source(self, source: Source, start: Fraction | None, end: Fraction) -> None:
        """Keep what was found in the source from `start` (None: its start) to `end` (seconds)."""
        self.damage = source.damage.between(start, end)
        if source.first_alpha is not None and source.first_alpha < end:
            self.first_alpha = str(source.first_alpha)


def segments_path(output: Path) -> Path:
    """Where the segments of an unfinished run lie."""
    return Path(f"{output}{SEGMENTS_SUFFIX}")


class SegmentFolder:
    """The folder `<output>.segments`, held by one run at a time.

    Args:
        output: the file that it will become.
        settings: whatever decides the frames, as JSON; a run with other settings is not continued.
        resume: continue the run in the folder. Without it, such a run is an error or, with
            `overwrite`, deleted.

    Raises:
        OutputError: another run holds it, it belongs to other settings, or it exists.
    """

    def __init__(self, output: Path, settings: dict[str, Any], resume: bool, overwrite: bool):
        self.path = segments_path(output)
        self.segments: list[dict[str, Any]] = []
        self.settings = settings
        existed = self.path.exists()
        try:
            self.path.mkdir(exist_ok=True)
            lock = lock_file(self.path / LOCK)
        except OSError as error:
            raise os_error(error, f"Cannot write beside {output}") from error
        if lock is None:
            raise OutputBusyError(f"Another run is writing {output} (it holds {self.path})")
        self._lock = lock
        try:
            self._take_over(existed, resume, overwrite)
        except BaseException:
            self._lock.release()
            raise

    def _take_over(self, existed: bool, resume: bool, overwrite: bool) -> None:
        journal = self.path / JOURNAL
        if existed and journal.exists() and not resume and not overwrite:
            raise OutputError(
                f"{self.path} holds an unfinished run: --resume continues it, --overwrite starts "
                "over"
            )
        if resume and journal.exists():
            content = json.loads(journal.read_text())
            if content.get("version") != VERSION:
                raise OutputError(
                    f"{self.path} is of another version of zoomin_d2: continue it with that one, "
                    "or give --overwrite to start over"
                )
            if content["settings"] != _plain(self.settings):
                different = _differences(content.get("settings", {}), _plain(self.settings))
                raise OutputError(
                    f"{self.path} belongs to other settings or another input ({different}): use "
                    "the same ones, or --overwrite to start over"
                )
            self.segments = content["segments"]
        known = {s["file"] for s in self.segments} | {LOCK, JOURNAL}
        for file in self.path.iterdir():
            if file.name not in known:
                file.unlink()
        absent = [s["file"] for s in self.segments if not (self.path / s["file"]).is_file()]
        if absent:
            raise OutputError(f"{self.path} lacks {absent[0]}: --overwrite starts over")
        if not self.segments:
            self._write()

    @property
    def next_frame(self) -> int:
        """Index of the first unfinished output frame."""
        return self.segments[-1]["end"] if self.segments else 0

    @property
    def resume_at(self) -> tuple[Fraction, int] | None:
        """(time, index) of the source frame to read from; None: the first."""
        if not self.segments:
            return None
        time, index = self.segments[-1]["read_on"]
        return Fraction(time), index

    def add(
        self, file: Path, first: int, end: int, read_on: tuple[Fraction, int], report: SegmentReport
    ) -> None:
        """Note a finished segment: frames [first, end), and where to resume reading after it."""
        place = [str(read_on[0]), read_on[1]]
        entry = {"file": file.name, "first": first, "end": end, "read_on": place}
        self.segments.append({**entry, "report": asdict(report)})
        self._write()

    def restore(self, source: Source) -> None:
        """Tell a source that was just opened what earlier runs found before `resume_at`."""
        reports = self.reports()
        source.damage.earlier = [DamageEvent(*event) for r in reports for event in r.damage]
        found = next((r.first_alpha for r in reports if r.first_alpha), None)
        source.first_alpha = None if found is None else Fraction(found)

    def reports(self) -> list[SegmentReport]:
        """The report of every finished segment, in order."""
        return [SegmentReport(**segment["report"]) for segment in self.segments]

    def files(self) -> list[Path]:
        """The file of every finished segment, in order."""
        return [self.path / segment["file"] for segment in self.segments]

    def release(self, remove: bool) -> None:
        """Release the folder, and delete it if its segments are no longer needed."""
        if remove:
            shutil.rmtree(self.path, ignore_errors=True)
        self._lock.release()
        if remove and os.name == "nt":  # Windows cannot delete an open file
            shutil.rmtree(self.path, ignore_errors=True)

    def _write(self) -> None:
        content = {"version": VERSION, "settings": self.settings, "segments": self.segments}
        try:
            write_json(self.path / JOURNAL, content)
        except OSError as error:
            raise os_error(error, f"Cannot write {self.path / JOURNAL}") from error


def is_disk_full(error: Exception) -> bool:
    """Whether an error means that the disk is full, whatever raised it."""
    return getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def os_error(
    error: OSError | av.FFmpegError, what: str, kept: bool = True
) -> OutputError | DiskFullError:
    """The named error of a failed write; `kept`: what was written before can be used."""
    if is_disk_full(error):
        work = ". Finished work is kept" if kept else ""
        return DiskFullError(f"{what}: the disk is full ({error}){work}")
    return OutputError(f"{what}: {error}")


def _plain(value: Any) -> Any:
    return json.loads(json.dumps(value))


def _differences(old: dict, new: dict) -> str:
    """What differs, in words; of a setting that is made of several, only those that differ."""
    words = []
    for key in [k for k in {**old, **new} if old.get(k) != new.get(k)]:
        a, b = old.get(key), new.get(key)
        if isinstance(a, dict) and isinstance(b, dict):
            words.append(_differences(a, b))
        else:
            words.append(f"{key}: {a} then, {b} now")
    return ", ".join(words)
