"""Jobs whose output is not a video container: images, GIF, pipe. These outputs have no sound."""

import os
import time
from dataclasses import replace
from fractions import Fraction
from glob import escape
from pathlib import Path

from zoomin_d2.interpolate import Interpolate
from zoomin_d2.video.errors import DamagedVideoError, OutputError, VideoError
from zoomin_d2.video.jobs.container_job import (
    AFTER_DAMAGE,
    Hooks,
    JobOptions,
    count_frames,
    feed,
    kinds_of_frames,
    limit_frames,
)
from zoomin_d2.video.jobs.frame_check import check_frames
from zoomin_d2.video.jobs.output_files import check_output, input_files, partial_path
from zoomin_d2.video.read.exr import EXR_SUFFIX, format_for
from zoomin_d2.video.read.light import HDR_NAMES
from zoomin_d2.video.read.source import Source, lost_alpha, lost_of_images
from zoomin_d2.video.report import Report
from zoomin_d2.video.time.loop import close_grid
from zoomin_d2.video.time.pipeline import CONTEXT, OutputFrame, interpolate_frames
from zoomin_d2.video.time.timeline import Target, make_grid
from zoomin_d2.video.write.animation import ANIMATIONS, GIF_MAX_FPS, AnimatedImage
from zoomin_d2.video.write.copy_plan import left_behind
from zoomin_d2.video.write.numbering import Numbering, numbering_for
from zoomin_d2.video.write.segments import SegmentReport
from zoomin_d2.video.write.sinks import (
    ALPHA_SUFFIXES,
    DirectOutput,
    ImageFolder,
    Y4mPipe,
    lost_bits,
    write_image,
)


def run_direct_job(
    source: Source,
    output: str,
    interpolate: Interpolate,
    target: Target,
    options: JobOptions | None = None,
    hooks: Hooks | None = None,
) -> Report:
    """As `run_video_job`, for a folder of images, an animated image, or "-" (y4m on standard
    output).

    Raises:
        VideoError: by name; see errors.py.
    """
    options, hooks = options or JobOptions(), hooks or Hooks()
    begun = time.monotonic()
    info = source.info
    grid = make_grid(target, info)
    if options.stream.loop:
        grid = close_grid(grid, source, keep_length=Path(output).suffix.lower() in ANIMATIONS)
    total = count_frames(info, grid, options.limit)
    report = Report(info.name, output, fps=str(grid.fps), warnings=list(info.warnings))
    names = left_behind(info, options.audio)
    if names:
        report.warnings.append(f"the output holds only pictures, without {', '.join(names)}")
    size = hooks.size or (info.height, info.width)
    report.height, report.width = size
    numbering = _numbering(output, source)
    is_exr = numbering is not None and numbering.suffix.lower() == EXR_SUFFIX
    if info.transfer in HDR_NAMES and not is_exr:
        report.warnings.append(
            f"HDR ({HDR_NAMES[info.transfer]}): the output has no tags for it and is taken for SDR"
        )
    _check_decoration(output, is_exr, hooks.decorate)
    check_frames(source, interpolate, grid, replace(options.stream, light=is_exr))
    sink = _open(output, numbering, grid.fps, size, source, options, report)
    first = sink.next_frame() if options.resume and isinstance(sink, ImageFolder) else 0
    place = _place_of(source, first, total)
    # images after the first may become transparent; each file gets alpha only if it needs it
    keep_alpha = sink.holds_alpha and hooks.decorate is None
    keep_alpha = keep_alpha and (info.has_alpha or info.is_images)
    stored_as = sink.pix_fmt if isinstance(sink, Y4mPipe) else None
    stream = replace(options.stream, alpha=keep_alpha, light=is_exr, stored_as=stored_as)
    counts = SegmentReport()
    drift, begin = Fraction(0), info.start * grid.slowmo  # from the time of an output that is even

    def write(frame: OutputFrame) -> None:
        nonlocal drift
        sink.write(frame)
        counts.count(frame)
        drift = max(drift, abs(frame.time - begin - frame.index / grid.fps))

    try:
        frames = interpolate_frames(source, interpolate, grid, stream, first, place)
        if options.limit is not None:
            frames = limit_frames(frames, (info.start + options.limit) * target.slowmo)
        fail = options.on_damage == "fail"
        stopped_by = feed(frames, write, source, hooks, first, total, fail)
        kept = _finish(sink, Path(output), stopped_by, has_frames=counts.frames)
    except BaseException:
        sink.abort()
        raise
    report.source_frames = counts.last_source + 1
    if options.limit is None:  # a limited run reads ahead of the frame that it shows
        report.source_frames = max(source.count, report.source_frames)
    report.made_frames = counts.made
    report.output_frames = first + counts.frames
    report.cuts, report.repeated_frames = counts.cuts, counts.repeats
    for name, count in kinds_of_frames([counts]).items():
        setattr(report, name, count)
    report.damage = source.damage.describe() if source.damage else ""
    report.duration = float(report.output_frames / grid.fps)
    if counts.end:  # frames may last unequally
        duration = Fraction(counts.end) - begin
        report.duration = float(duration)
        drift = max(drift, abs(duration - report.output_frames / grid.fps))
    if not isinstance(sink, AnimatedImage) and drift > 1 / grid.fps:
        report.warnings.append(
            f"frames last unequally, {report.duration:.3f} s in all, but the output has no times: "
            f"at {float(grid.fps):.3f} fps they come up to {float(drift):.3f} s too early or too "
            "late; --fps keeps the times"
        )
    if not stream.alpha:
        report.dropped += lost_alpha(source)
    report.dropped += lost_of_images(source, is_exr)
    report.seconds = round(time.monotonic() - begun, 2)
    if stopped_by is not None:
        raise type(stopped_by)(
            f"{stopped_by} after {report.output_frames} frames of {output}{kept}"
        )
    return report


def _finish(
    sink: DirectOutput, output: Path, stopped_by: VideoError | None, has_frames: int
) -> str:
    """Finish the output, or the part of it that was made; returns what to say of that part."""
    if not isinstance(sink, AnimatedImage):
        sink.finish()
        is_damage = isinstance(stopped_by, DamagedVideoError)
        return f"; {AFTER_DAMAGE if is_damage else '--resume continues'}" if sink.resumable else ""
    partial = partial_path(output)
    if stopped_by is None:
        sink.finish()
        partial.unlink(missing_ok=True)
    elif has_frames:  # an older output stays
        sink.finish(partial)
        return f", which are in {partial}"
    else:
        sink.abort()
    return ""


def write_between(
    source: Source,
    output: Path,
    interpolate: Interpolate,
    options: JobOptions,
    hooks: Hooks | None = None,
) -> Report:
    """Two images in, the one halfway between them into an image file."""
    decorate = None if hooks is None else hooks.decorate
    check_output(output, options.overwrite, source)
    suffix = output.suffix.lower()
    is_exr = suffix == EXR_SUFFIX
    _check_decoration(output, is_exr, decorate)
    keep_alpha = suffix in ALPHA_SUFFIXES and decorate is None
    stream = replace(options.stream, alpha=keep_alpha, light=is_exr)
    frames = interpolate_frames(source, interpolate, Target(multi=2), stream)
    made = next(frame for frame in frames if frame.index == 1)
    counts = SegmentReport()
    counts.count(made)
    if decorate is not None:
        made = decorate(made)
    has_alpha = source.info.has_alpha
    write_image(output, made.image, format_for(source.info, source.info.rate, has_alpha))
    return Report(
        source.info.name,
        str(output),
        source_frames=2,
        output_frames=1,
        made_frames=1,
        **kinds_of_frames([counts]),
        height=made.image.shape[0],
        width=made.image.shape[1],
        encoder=output.suffix[1:],
        dropped=[
            *([] if stream.alpha else lost_alpha(source)),
            *lost_of_images(source, is_exr),
            *lost_bits(made.image, suffix),
        ],
        warnings=list(source.info.warnings),
    )


def _check_decoration(output: str | Path, is_exr: bool, decorate: object) -> None:
    if is_exr and decorate is not None:
        raise OutputError(f"{output}: comparisons and drawn proposals cannot be EXR images")


def _numbering(output: str, source: Source) -> Numbering | None:
    """The names of the images of an output; None: it is no folder of images."""
    if output == "-" or Path(output).suffix.lower() in ANIMATIONS:
        return None
    return numbering_for(output, input_files(source) if source.info.is_images else [])


def _open(output, numbering, fps, size, source, options, report) -> DirectOutput:
    if output == "-":
        report.encoder = "y4m"
        return Y4mPipe(fps, size, source.info.color, aspect=source.info.sample_aspect_ratio)
    path = Path(output)
    suffix = path.suffix.lower()
    if suffix in ANIMATIONS:
        report.encoder = suffix[1:]
        check_output(path, options.overwrite, source)
        most = ANIMATIONS[suffix].max_fps
        if fps > most:
            raise OutputError(
                f"{float(fps):g} fps is too fast: a {suffix} has at most {most} fps; its clock "
                f"ticks 1/{most} s"
            )
        if suffix == ".gif" and fps > GIF_MAX_FPS:
            report.warnings.append(
                f"{float(fps):.2f} fps: browsers play GIFs at {GIF_MAX_FPS} fps at most"
            )
        return AnimatedImage(path, fps)
    pictures = input_files(source) if source.info.is_images else []
    suffix, path = numbering.suffix, numbering.folder
    report.encoder = suffix[1:].lower()
    if os.path.isfile(path):  # (is_file raises for long names)
        raise OutputError(f"{path} is a file; images need a folder")
    is_there = os.path.isdir(path)
    if is_there and any(path.samefile(file.parent) for file in pictures):
        raise OutputError(f"{path} holds the input, which would be replaced: choose another folder")
    old = is_there and any(path.glob(f"{escape(numbering.prefix)}*{escape(suffix)}"))
    if old and not (options.resume or options.overwrite):
        raise OutputError(f"{path} holds images: --overwrite replaces them, --resume continues")
    folder = ImageFolder(numbering, format_for(source.info, fps, source.info.has_alpha))
    if old and not options.resume:
        for image in numbering.images_of_any_run():
            image.unlink()
    return folder


def _place_of(source: Source, first: int, total: int):
    """Where to continue reading for output frame `first`. Images and rough estimates only: a video
    whose place is not certain is read from its start."""
    info = source.info
    if not first or not total or not info.is_images:
        return None
    index = max(0, first * info.num_frames // total - CONTEXT)
    return (index / info.rate, index) if index else None
