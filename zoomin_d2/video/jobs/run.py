"""One call for any input and any output."""

import os
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

from zoomin_d2.interpolate import Interpolate
from zoomin_d2.video.errors import OptionError, OutputError
from zoomin_d2.video.jobs.container_job import Hooks, JobOptions, run_video_job
from zoomin_d2.video.jobs.sequence_job import run_direct_job, write_between
from zoomin_d2.video.read.images import IMAGE_SUFFIXES, is_pattern
from zoomin_d2.video.read.open_source import PIPE, open_source
from zoomin_d2.video.read.source import Source
from zoomin_d2.video.report import Report
from zoomin_d2.video.time.queues import one_opencv_thread
from zoomin_d2.video.time.timeline import Target
from zoomin_d2.video.write.animation import ANIMATIONS
from zoomin_d2.video.write.encoder import VIDEO_SUFFIXES


def interpolate_video(
    inputs: str | os.PathLike | Sequence[str | os.PathLike],
    output: str | os.PathLike,
    interpolate: Interpolate,
    target: Target,
    options: JobOptions | None = None,
    hooks: Hooks | None = None,
    rate: Fraction | None = None,
    raw: str | None = None,
    filters: str = "",
) -> Report:
    """Interpolate a video, a folder of images, two images or standard input into anything.

    Args:
        inputs: a video file, a folder of images, "-", or a list of images.
        output: .mp4, .mov, .mkv, .webm, .gif, .apng, .webp, "-" (y4m), a folder for images, a
            pattern of their names (out/shot.%04d.exr), or, of two images, an image file.
        interpolate: (frame_1, frame_2, list of t in (0, 1)) -> list of frames; frames are
            (1, 3, H, W) float RGB in [0, 1]. zoomin_d2.Interpolator is one.
        target: the frame rate, factor or slow motion.
        rate: frames per second of images. raw: layout of raw video on standard input.
        filters: a chain of FFmpeg's video filters before interpolation, "crop=640:480,unsharp".

    Raises:
        VideoError: by name; see errors.py.
    """
    output = os.fspath(output)
    output_kind(output)  # an unknown kind of output is reported before anything is read
    with open_source(inputs, rate, raw, filters) as source:
        return interpolate_source(source, output, interpolate, target, options, hooks)


def interpolate_source(
    source: Source,
    output: str | os.PathLike,
    interpolate: Interpolate,
    target: Target,
    options: JobOptions | None = None,
    hooks: Hooks | None = None,
) -> Report:
    """As `interpolate_video`, for a source that is already open."""
    options, output = options or JobOptions(), os.fspath(output)
    if options.stream.loop and options.limit is not None:
        raise OutputError("A preview has no loop: leave out the loop or the limit")
    with one_opencv_thread():
        report = _interpolate_source(source, output, interpolate, target, options, hooks)
    report.warnings += _notes_on_cuts(report, source, options)
    return report


def _interpolate_source(
    source: Source,
    output: str,
    interpolate: Interpolate,
    target: Target,
    options: JobOptions,
    hooks: Hooks | None,
) -> Report:
    kind = output_kind(output)
    if source.info.is_images and source.info.num_frames == 2:
        # a user who gives two images wants the frames between them, however different they are
        options = replace(options, stream=replace(options.stream, cut_threshold=None))
    if kind == "video":
        return run_video_job(source, Path(output), interpolate, target, options, hooks)
    is_pair = source.info.is_images and source.info.num_frames == 2
    if kind == "image" and (is_pair or Path(output).suffix.lower() not in ANIMATIONS):
        if not is_pair:
            raise OutputError(f"{output}: a single output image needs exactly two input images")
        if target != Target(multi=2):
            raise OptionError(
                f"{output}: a single output image is the frame halfway between the two; a folder "
                "takes as many as --multi, --fps or --slowmo ask for"
            )
        return write_between(source, Path(output), interpolate, options, hooks)
    if kind == "folder" and source.info.is_images:
        options = replace(options, stream=replace(options.stream, hold_last=False))
    return run_direct_job(source, str(output), interpolate, target, options, hooks)


def _notes_on_cuts(report: Report, source: Source, options: JobOptions) -> list[str]:
    """What the user should know about the loop and the given cuts; the cut at the seam of the loop
    is moved there from the report's cuts."""
    notes = []
    if options.stream.loop and report.cuts and report.cuts[-1] >= round(float(source.end), 3):
        report.cuts.pop()
        notes.append(
            "the loop does not close: a scene cut is between its last and its first frame, and the "
            "last frame is held"
        )
    cuts = () if options.limit is not None else options.stream.cuts or ()
    late = [c.frame for c in cuts if (c.frame or 0) >= report.source_frames]
    if late:
        notes.append(
            f"the list of cuts names frame {late[0]}, but the input has only frames 0 to "
            f"{report.source_frames - 1}"
        )
    after = [c.time for c in cuts if c.frame is None and (c.time or 0) >= source.end]
    if after:
        notes.append(
            f"the list of cuts names {after[0]:g} s, but the input ends at "
            f"{float(source.end):.3f} s"
        )
    return notes


def output_kind(output: str | Path) -> str:
    """ "video", "animation", "pipe", "image" or "folder"; a .webp, which may be an animation, is an
    "image". Raises OutputError."""
    output = str(output)
    if not output:  # Path("") is the current folder
        raise OutputError("No output given")
    if output == PIPE:
        return "pipe"
    suffix = Path(output).suffix.lower()
    if is_pattern(output):
        return "folder"
    if suffix in VIDEO_SUFFIXES:
        return "video"
    if suffix in IMAGE_SUFFIXES:
        return "image"
    if suffix in ANIMATIONS:
        return "animation"
    if suffix and not Path(output).is_dir() and not output.endswith(("/", os.sep)):
        raise OutputError(
            f"{output}: unknown kind of output {suffix!r}; known are {', '.join(VIDEO_SUFFIXES)}, "
            f"{', '.join(ANIMATIONS)}, a folder for images (end it with /), a pattern such as "
            "shot.%04d.exr, and - for y4m"
        )
    return "folder"
