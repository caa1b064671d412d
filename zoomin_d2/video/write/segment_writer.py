"""Frames in, finished segments out: the encoder, the files, and the thread that closes them."""

import contextlib
import errno
import os
import shutil
import threading
from dataclasses import dataclass, field
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import NamedTuple

import av

from zoomin_d2.files import sync_file
from zoomin_d2.video.errors import OutputError
from zoomin_d2.video.read.containers import file_url
from zoomin_d2.video.read.source import Source
from zoomin_d2.video.time.pipeline import OutputFrame
from zoomin_d2.video.write.encoder import EncoderSettings
from zoomin_d2.video.write.encoder_input import encoder_input
from zoomin_d2.video.write.segments import (
    MIN_FREE_BYTES,
    SEGMENT_FRAMES,
    SegmentFolder,
    SegmentReport,
    os_error,
)

# Frames that no encoder reorders. x265 reads their decoding times from memory that it never set.
_UNORDERED = 2


class Picture(NamedTuple):
    """A frame of the output, and its form for the encoder."""

    frame: OutputFrame
    picture: av.VideoFrame


@dataclass
class _Segment:
    """One that is being written; `first` and `last` of its frames."""

    file: Path
    part: Path
    container: av.container.OutputContainer
    stream: av.VideoStream
    first: int
    last: OutputFrame | None = None
    report: SegmentReport = field(default_factory=SegmentReport)

    def drop(self) -> None:
        """Leave nothing of it."""
        with contextlib.suppress(OSError, av.FFmpegError):
            self.container.close()
        with contextlib.suppress(OSError):
            self.part.unlink(missing_ok=True)


class SegmentWriter:
    """Encodes frames into segments. `convert` is called by any number of threads, the rest by one
    at a time.

    A full segment is closed in a thread of its own: an encoder that is flushed keeps few cores
    busy, and meanwhile the next segment fills."""

    def __init__(self, folder: SegmentFolder, settings: EncoderSettings, source: Source):
        self._folder, self._settings, self._source = folder, settings, source
        self._segment: _Segment | None = None
        self._next = folder.next_frame
        self._last_time: Fraction | None = None
        self._closer: threading.Thread | None = None
        self._error: BaseException | None = None  # of the closer
        self._is_closed = False

    def convert(self, frame: OutputFrame) -> Picture:
        """The frame as the encoder takes it. Raises OutputError."""
        try:
            picture = encoder_input(frame.pixels, self._settings.color, self._settings.pix_fmt)
        except (OSError, av.FFmpegError) as error:
            raise os_error(error, f"Cannot convert frame {frame.index}") from error
        ticks = round(frame.time / self._settings.time_base)
        picture.pts, picture.time_base = ticks, self._settings.time_base
        return Picture(frame, picture)

    def write(self, converted: Picture) -> None:
        """Raises DiskFullError, OutputError."""
        frame, picture = converted
        if self._is_closed:
            raise OutputError("The job has ended")  # a thread that outlived it stops here
        if frame.index != self._next:
            raise AssertionError(f"expected frame {self._next}, got frame {frame.index}")
        self._check_clock(frame)
        try:
            if self._error is not None:
                self._wait_for_closer()  # raises it
            segment = self._segment or self._open()
            self._segment = segment
            segment.container.mux(segment.stream.encode(picture))
            self._next += 1
            segment.last = frame
            segment.report.count(frame)
            if self._next % SEGMENT_FRAMES == 0:
                self._close_beside(segment)
        except (OSError, av.FFmpegError) as error:
            if self._segment is not None:
                self._segment.drop()
            raise os_error(error, f"Cannot write {self._folder.path}") from error

    def _check_clock(self, frame: OutputFrame) -> None:
        """Raises OutputError if the output would show this frame and the last at the same time."""
        clock, last = self._settings.clock, self._last_time
        if clock and last is not None and _tick(frame.time / clock) <= _tick(last / clock):
            raise OutputError(
                f"Frames {frame.index - 1} and {frame.index} are {float(frame.time - last):.5f} s "
                f"apart (at {float(frame.time):.3f} s), less than a tick of the output's clock "
                f"({float(clock):g} s): write an .mp4 or .mov, or choose a lower rate"
            )
        self._last_time = frame.time

    def finish(self, complete: bool) -> tuple[Path, SegmentReport] | None:
        """Close the last segment. If the run is not `complete`, the segment is not noted (a later
        run makes it again) but returned, so that the partial result can be played."""
        try:
            self._wait_for_closer()
            segment, self._segment = self._segment, None
            if segment is None:
                return None
            self._finish_segment(segment, note=complete)
            return None if complete else (segment.part, segment.report)
        except (OSError, av.FFmpegError) as error:
            raise os_error(error, f"Cannot write {self._folder.path}") from error

    def close(self) -> None:
        """Wait until no segment is being closed. One that is interrupted, or fails, is not noted;
        a thread that still writes is not disturbed."""
        try:
            with contextlib.suppress(OSError, av.FFmpegError):
                self._wait_for_closer()
        finally:
            self._is_closed = True

    def _open(self) -> _Segment:
        free = shutil.disk_usage(self._folder.path).free
        if free < MIN_FREE_BYTES:
            raise OSError(errno.ENOSPC, f"only {free / 2**20:.0f} MiB are free")
        suffix = self._settings.segment_suffix
        file = self._folder.path / f"{self._next // SEGMENT_FRAMES:06d}{suffix}"
        part = file.with_name("part-" + file.name)
        options = self._settings.clock_options if suffix in (".mp4", ".mov") else {}
        container = av.open(file_url(part), "w", options=options)
        return _Segment(file, part, container, self._settings.add_stream(container), self._next)

    def _close_beside(self, segment: _Segment) -> None:
        """Finish a segment in a thread; at once, if two encoders would take too much memory."""
        self._wait_for_closer()
        self._segment = None
        # A daemon, because a second Ctrl-C must not wait for it.
        target = partial(self._keep_error, segment)
        self._closer = threading.Thread(target=target, name="close", daemon=True)
        self._closer.start()
        if not self._settings.can_overlap:
            self._wait_for_closer()

    def _keep_error(self, segment: _Segment) -> None:
        try:
            self._finish_segment(segment)
        except BaseException as error:  # raised again by the thread that writes
            self._error = error

    def _wait_for_closer(self) -> None:
        """Raises what stopped it."""
        if self._closer is not None:
            self._closer.join()
            self._closer = None
        error, self._error = self._error, None
        if error is not None:
            raise error

    def _finish_segment(self, segment: _Segment, note: bool = True) -> None:
        """Flush a segment's encoder, close its file, and note it in the journal, unless it is the
        last one of a run that was stopped."""
        try:
            packets = segment.stream.encode()
            if segment.report.frames <= _UNORDERED:
                for packet in packets:
                    packet.dts = packet.pts
            segment.container.mux(packets)
            segment.container.close()
            sync_file(segment.part)
        except (OSError, av.FFmpegError):
            segment.drop()
            raise
        if note and not self._is_closed:
            assert segment.last is not None
            os.replace(segment.part, segment.file)
            read_on = segment.last.read_on
            before = self._folder.resume_at
            segment.report.note_source(self._source, before and before[0], read_on[0])
            end = segment.first + segment.report.frames
            self._folder.add(segment.file, segment.first, end, read_on, segment.report)


def _tick(time: Fraction) -> int:
    """Rounded like FFmpeg: halves up."""
    return int((2 * time + 1) // 2)
