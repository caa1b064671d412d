"""One video in, one video out: the whole job, from checks before the first frame to the last."""

import contextlib
import os
import threading
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import asdict, dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import av

from zoomin_d2.files import sync_file
from zoomin_d2.interpolate import Interpolate
from zoomin_d2.video.errors import (
    DamagedVideoError,
    InterruptedRunError,
    VerificationError,
    VideoError,
)
from zoomin_d2.video.jobs.frame_check import check_frames
from zoomin_d2.video.jobs.output_files import check_output, failed_path, part_path, partial_path
from zoomin_d2.video.option_checks import check_choice, check_number
from zoomin_d2.video.read.containers import file_state
from zoomin_d2.video.read.source import Source, SourceInfo, lost_alpha, lost_of_images
from zoomin_d2.video.report import Report
from zoomin_d2.video.time.loop import close_grid
from zoomin_d2.video.time.pipeline import (
    OutputFrame,
    StreamOptions,
    interpolate_frames,
)
from zoomin_d2.video.time.protection import fingerprint
from zoomin_d2.video.time.queues import Worker
from zoomin_d2.video.time.timeline import Grid, Target, make_grid
from zoomin_d2.video.write.assemble import assemble
from zoomin_d2.video.write.copy_plan import AudioMode, left_behind, plan_copy
from zoomin_d2.video.write.encoder import EncodeOptions, EncoderSettings, choose_encoder
from zoomin_d2.video.write.segment_writer import SegmentWriter
from zoomin_d2.video.write.segments import SegmentFolder, SegmentReport, os_error
from zoomin_d2.video.write.side_streams import CopyPlan
from zoomin_d2.video.write.verify import check_space, verify_video

Progress = Callable[[int, int], None]
StopRequest = threading.Event
OnDamage = Literal["hold", "fail"]
# the same command would stop at the same place again
AFTER_DAMAGE = "--resume without --on-damage fail holds the last good frame there"


@dataclass(frozen=True)
class JobOptions:
    """Everything about a job except its input, its output and the model.

    Attributes:
        stream: how frames are made. encode: how they are written.
        audio: "copy", "encode" or "drop"; None: copy, or stretch in slow motion.
        resume: continue an unfinished run. overwrite: replace what exists.
        on_damage: "hold" shows the last good frame in place of lost ones, reports the damage and
            continues; "fail" stops.
        model: its name; a run is only resumed with the same model.
        limit: seconds of the source to process (preview); None: all.
        extra: whatever else decides the frames, for resuming (JSON).
    """

    stream: StreamOptions = field(default_factory=StreamOptions)
    encode: EncodeOptions = field(default_factory=EncodeOptions)
    audio: AudioMode | None = None
    resume: bool = False
    overwrite: bool = False
    on_damage: OnDamage = "hold"
    model: str = ""
    limit: Fraction | None = None
    extra: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.audio is not None:
            check_choice("audio", self.audio, AudioMode)
        check_choice("on_damage", self.on_damage, OnDamage)
        check_number("limit", self.limit)


@dataclass(frozen=True)
class Hooks:
    """What a caller may hook into a job.

    Attributes:
        progress: called with (frames done, frames in all; 0 if unknown).
        stop: set it to stop after the current frame, with a playable file.
        decorate: changes every frame before it is encoded (comparison, drawn proposals).
        size: (height, width) of decorated frames; None: the source's.
    """

    progress: Progress | None = None
    stop: StopRequest | None = None
    decorate: Callable[[OutputFrame], OutputFrame] | None = None
    size: tuple[int, int] | None = None


def run_video_job(
    source: Source,
    output: Path,
    interpolate: Interpolate,
    target: Target,
    options: JobOptions | None = None,
    hooks: Hooks | None = None,
) -> Report:
    """Interpolate `source` into the video file `output`, with its other streams and metadata.

    Raises:
        VideoError: by name; see errors.py. InterruptedRunError after `hooks.stop` or Ctrl-C.
    """
    options, hooks = options or JobOptions(), hooks or Hooks()
    begun = time.monotonic()
    info = source.info
    grid = make_grid(target, info)
    if options.stream.loop:
        grid = close_grid(grid, source, keep_length=False)
    check_output(output, options.overwrite, source)
    keep_alpha = info.has_alpha and hooks.decorate is None
    settings = choose_encoder(
        output, options.encode, info, grid.fps, grid.time_base, hooks.size, keep_alpha
    )
    stream = replace(options.stream, alpha=settings.has_alpha, stored_as=settings.pix_fmt)
    options = replace(options, stream=stream)
    until = None if options.limit is None else (info.start + options.limit) * target.slowmo
    if info.file is None:
        plan = CopyPlan(None)
        lost = "a pipe is read once, for its pictures: give the file"
        plan.dropped += [f"{name}: {lost}" for name in left_behind(info, options.audio)]
    else:
        index = info.stream_index
        plan = plan_copy(info.file, output, index, target.slowmo, options.audio, until)
    check_frames(source, interpolate, grid, stream)
    state = None if info.file is None else file_state(info.file)
    key = _settings_key(info, settings, target, options)
    folder = SegmentFolder(output, key, options.resume, options.overwrite)
    writer, done = SegmentWriter(folder, settings, source), False
    try:
        total = count_frames(info, grid, options.limit)
        check_space(output, info.file, settings, total)
        folder.restore(source)
        frames = interpolate_frames(
            source, interpolate, grid, options.stream, folder.next_frame, folder.resume_at
        )
        if until is not None:
            frames = limit_frames(frames, until)
        fail = options.on_damage == "fail"
        first = folder.next_frame
        stopped_by = feed(frames, writer.write, source, hooks, first, total, fail, writer.convert)
        rest = writer.finish(complete=stopped_by is None)
        files, counts = folder.files(), folder.reports()
        if rest is not None:
            files, counts = [*files, rest[0]], [*counts, rest[1]]
        report = _report(source, output, settings, plan, counts)
        if options.limit is not None:  # frames are read ahead of the one that is shown
            report.source_frames = max(c.last_source + 1 for c in counts) if counts else 0
        if stopped_by is not None:
            raise _keep_partial(stopped_by, files, output, settings, plan, report, _end(counts))
        limit = None if until is None else _end(counts) or until
        if info.file is not None and file_state(info.file) != state:
            limit = _end(counts)
            report.warnings.append(
                f"{info.name} changed while it was read: the output ends with the last frame read"
            )
        with _joined(files, output, settings, plan, limit, _end(counts)) as part:
            done = True
            try:
                verify_video(part, report, settings, source, target, plan, limit)
            except VerificationError as error:
                raise _keep_failed(error, part, output) from error
        partial_path(output).unlink(missing_ok=True)
        failed_path(output).unlink(missing_ok=True)
        report.damage = "; ".join(filter(None, [report.damage, *plan.faults]))
    finally:
        try:
            writer.close()
        finally:  # a folder without a finished segment is useless
            folder.release(remove=done or not folder.segments)
    report.seconds = round(time.monotonic() - begun, 2)
    return report


def count_frames(info: SourceInfo, grid: Grid, limit: Fraction | None = None) -> int:
    """How many frames the output will have, as far as the header tells; 0: unknown."""
    if not info.duration:
        return 0
    total = grid.count(info.num_frames, info.duration)
    if limit is not None:
        total = min(total, round(limit * grid.slowmo * grid.fps))
    return total


def feed(
    frames: Generator[OutputFrame, None, None],
    write: Callable[[Any], None],
    source: Source,
    hooks: Hooks,
    done: int,
    total: int,
    fail_on_damage: bool,
    convert: Callable[[OutputFrame], Any] | None = None,
) -> VideoError | None:
    """Give the decorated frames to `write` in a separate thread, and close `frames`.

    Args:
        convert: turns a frame into what `write` takes, several at a time; None: no conversion.
        done, total: for `hooks.progress`: frames of earlier runs, and of the whole output.

    Returns:
        what stopped the run early: the user or, with `fail_on_damage`, the source.
    """
    worker = Worker(write, size=4, prepare=convert)
    stopped_by: VideoError | None = None
    try:
        for frame in frames:
            worker.put(hooks.decorate(frame) if hooks.decorate else frame)
            done += 1
            if hooks.progress is not None:
                hooks.progress(done, total)
            if fail_on_damage and source.damage:
                break
            if hooks.stop is not None and hooks.stop.is_set():
                stopped_by = InterruptedRunError("Stopped")
                break
    except KeyboardInterrupt:
        stopped_by = InterruptedRunError("Stopped")
    finally:
        frames.close()
        worker.close()
    if fail_on_damage and source.damage:
        stopped_by = DamagedVideoError(f"{source.info.name}: {source.damage.describe()}")
    return stopped_by


def _report(
    source: Source,
    output: Path,
    settings: EncoderSettings,
    plan: CopyPlan,
    counts: list[SegmentReport],
) -> Report:
    frames = sum(c.frames for c in counts)
    return Report(
        input=source.info.name,
        output=str(output),
        source_frames=max([source.count, *(c.last_source + 1 for c in counts)]),
        output_frames=frames,
        made_frames=sum(c.made for c in counts),
        repeated_frames=sum(c.repeats for c in counts),
        **kinds_of_frames(counts),
        cuts=[cut for c in counts for cut in c.cuts],
        fps=str(settings.fps),
        width=settings.width,
        height=settings.height,
        encoder=f"{settings.codec} {settings.pix_fmt}",
        duration=float(frames / settings.fps),
        damage=source.damage.describe() if source.damage else "",
        dropped=[
            *plan.dropped,
            *([] if settings.has_alpha else lost_alpha(source)),
            *lost_of_images(source, is_exr=False),
        ],
        warnings=[*source.info.warnings, *settings.warnings, *plan.warnings],
    )


def kinds_of_frames(counts: list[SegmentReport]) -> dict[str, Any]:
    """The part of a report on frames that were blended, or in part kept or replaced."""
    unsure = sum(c.unsure for c in counts)
    return {
        "blended_frames": sum(c.blended for c in counts),
        "overlay_frames": sum(c.overlays for c in counts),
        "unsure_frames": unsure,
        "unsure_area": round(sum(c.unsure_area for c in counts) / max(unsure, 1), 4),
    }


def _end(counts: list[SegmentReport]) -> Fraction | None:
    """When the last frame of the output ends."""
    return Fraction(counts[-1].end) if counts and counts[-1].end else None


@contextlib.contextmanager
def _joined(
    files: list[Path],
    output: Path,
    settings: EncoderSettings,
    plan: CopyPlan,
    until: Fraction | None,
    end: Fraction | None,
) -> Iterator[Path]:
    """The segments joined under another name, which is `output` after the block: it is whole and
    checked, or absent."""
    part = part_path(output)
    try:
        assemble(files, part, settings, plan, until, end)
        sync_file(part)
        yield part
        os.replace(part, output)
    except (OSError, av.FFmpegError) as error:
        raise os_error(error, f"Cannot write {output}") from error
    finally:
        part.unlink(missing_ok=True)


def _keep_failed(error: VerificationError, part: Path, output: Path) -> VerificationError:
    """Move a file that failed verification out of the way; returns the error, which names it."""
    failed = failed_path(output)
    os.replace(part, failed)
    return VerificationError(f"{output}: {error}; kept as {failed}. Please report it")


def _keep_partial(
    problem: VideoError,
    files: list[Path],
    output: Path,
    settings: EncoderSettings,
    plan: CopyPlan,
    report: Report,
    end: Fraction | None,
) -> BaseException:
    """Make a playable file of the finished frames; the returned error says how to continue."""
    if not files:
        return type(problem)(f"{problem}; no frame was finished")
    partial = partial_path(output)
    until = end or Fraction(report.output_frames) / settings.fps
    joined = _joined(files, partial, settings, plan, until, end)
    with contextlib.suppress(FileNotFoundError), joined:
        pass
    is_damage = isinstance(problem, DamagedVideoError)
    way_on = AFTER_DAMAGE if is_damage else "Run the same command with --resume to continue"
    return type(problem)(
        f"{problem} after {report.output_frames} frames ({report.duration:.1f} s). A playable "
        f"partial result is in {partial}. {way_on}"
    )


def limit_frames(
    frames: Generator[OutputFrame, None, None], end: Fraction
) -> Generator[OutputFrame]:
    """The frames before `end` (output clock)."""
    with contextlib.closing(frames):
        for frame in frames:
            if frame.time >= end:
                return
            yield frame


def _settings_key(
    info: SourceInfo, settings: EncoderSettings, target: Target, options: JobOptions
) -> dict[str, Any]:
    """Everything that decides the frames of a segment."""
    stream = asdict(options.stream)
    del stream["queue_size"], stream["stored_as"]
    stream["mask"] = fingerprint(options.stream.mask)
    return {
        "source": info.fingerprint,
        "target": {k: str(v) for k, v in asdict(target).items()},
        "frames": stream,
        "encoder": [settings.codec, settings.pix_fmt, settings.width, settings.height],
        "encoder_options": settings.options,
        "model": options.model,
        "limit": None if options.limit is None else str(options.limit),
        **options.extra,
    }
