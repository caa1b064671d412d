"""What the demo app does, without its page: an upload and choices in, a file and a summary out."""

import functools
import shutil
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch

from zoomin_d2.cli.proposals import ProposalDrawing
from zoomin_d2.inference.interpolator import Interpolator
from zoomin_d2.video import Hooks, JobOptions, Report, Target, interpolate_source, open_source
from zoomin_d2.video.errors import InterruptedRunError
from zoomin_d2.video.jobs.output_files import partial_path
from zoomin_d2.video.read.source import SourceInfo
from zoomin_d2.video.time.pipeline import OutputFrame
from zoomin_d2.video.time.timeline import parse_rate
from zoomin_d2.video.write.encoder import EncodeOptions
from zoomin_d2.video.write.segments import segments_path

WITHOUT_LEARNING = {"dis": "OpenCV DIS flow (no learning)", "average": "average (no learning)"}
KEEP_SECONDS = 3600
SMOOTHER, RATE, SLOWER = "smoother", "a frame rate", "slow motion"


@dataclass(frozen=True)
class Limits:
    """What a visitor may ask for; a page that is open to others needs tight limits.

    Attributes:
        seconds: length of the uploaded clip. pixels: per frame. frames: in the output.
    """

    seconds: float = 60.0
    pixels: int = 1920 * 1088
    frames: int = 3600


def model_choices() -> list[tuple[str, str]]:
    """(label, name) of every model and method; the models that ship come first."""
    return [(name, name) for name in Interpolator.available()] + [
        (label, name) for name, label in WITHOUT_LEARNING.items()
    ]


@functools.lru_cache(maxsize=4)
def model_of(name: str) -> Interpolator:
    """A loaded model, kept for the next visitor."""
    return Interpolator.from_pretrained(name)


@functools.lru_cache(maxsize=1)
def proposals_of(device: torch.device) -> ProposalDrawing:
    """The RPN whose proposals are drawn, kept for the next visitor.

    Raises:
        ModuleNotFoundError: Detectron2 is not installed; the message says what to install.
    """
    return ProposalDrawing(device)


def make_target(kind: str, value: float) -> Target:
    """The choice on the page as the video room knows it.

    Raises:
        ValueError: the value is out of range; the message is for the page.
    """
    if kind == SMOOTHER:
        if value != int(value) or not 2 <= value <= 16:
            raise ValueError(f"“Times” must be a whole number from 2 to 16, not {value:g}.")
        return Target(multi=int(value))
    if kind == RATE:
        if not 1 <= value <= 240:
            raise ValueError(f"Frames per second must be from 1 to 240, not {value:g}.")
        return Target(fps=parse_rate(str(value)))
    if not 1 < value <= 16:
        raise ValueError(f"Slow motion must be above 1 and at most 16 times, not {value:g}.")
    return Target(slowmo=Fraction(value).limit_denominator(1000))


def check_limits(info: SourceInfo, target: Target, limits: Limits) -> None:
    """Raises ValueError if the clip or its result is too long or too large; its message is for the
    page."""
    if info.duration is not None and info.duration > limits.seconds:
        raise ValueError(
            f"The clip lasts {float(info.duration):.1f} s; this page accepts at most "
            f"{limits.seconds:g} s. Cut it, or use zoomin-interpolate on your own computer."
        )
    if info.height * info.width > limits.pixels:
        raise ValueError(
            f"The clip has {info.width} x {info.height} pixels; this page accepts at most "
            f"{limits.pixels:,}. Make it smaller, or use zoomin-interpolate."
        )
    rate = target.fps or info.rate * (target.multi or 1)
    frames = float(rate * target.slowmo * (info.duration or 0))
    if frames > limits.frames:
        raise ValueError(
            f"The result would have {frames:,.0f} frames; this page makes at most "
            f"{limits.frames:,}. Choose a lower factor or rate."
        )


def interpolate_clip(
    upload: str,
    target: Target,
    model_name: str,
    draw: bool,
    limits: Limits,
    folder: Path,
    progress: Callable[[int, int], None],
    stop: threading.Event,
) -> tuple[str, str]:
    """Interpolate an uploaded clip into an .mp4 that browsers play.

    Args:
        upload: the file. draw: draw proposals on every frame.
        folder: for results; results older than an hour are removed from it.
        progress: called with (frames done, frames in all).
        stop: set it to stop early; the result then holds the frames made so far.

    Returns:
        path of the result (a partial one after `stop`), and a summary in Markdown.

    Raises:
        ValueError, VideoError: the message is for the page.
    """
    model = model_of(model_name)
    for old in folder.iterdir():
        if time.time() - old.stat().st_mtime > KEEP_SECONDS:
            shutil.rmtree(old, ignore_errors=True)
    output = Path(tempfile.mkdtemp(dir=folder)) / f"{Path(upload).stem}_{Path(model_name).stem}.mp4"
    options = JobOptions(
        # Every browser plays 8-bit 4:2:0.
        encode=EncodeOptions(codec="h264", pix_fmt="yuv420p"),
        model=model.name,
    )
    decorate = proposals_of(model.device) if draw else None
    with open_source([upload]) as source:
        check_limits(source.info, target, limits)
        hooks = Hooks(progress, stop, decorate)
        try:
            report = interpolate_source(source, str(output), model, target, options, hooks)
        except BaseException as error:
            partial = partial_path(output)
            if isinstance(error, InterruptedRunError) and partial.exists():
                shutil.rmtree(segments_path(output), ignore_errors=True)
                return str(partial), "**Stopped**: the clip holds the frames made so far."
            shutil.rmtree(output.parent, ignore_errors=True)
            raise
    return str(output), describe(report)


def describe(report: Report) -> str:
    """A finished job in Markdown."""
    facts = [
        f"**{report.source_frames} → {report.output_frames} frames**, {report.made_frames} made",
        f"{report.duration:.2f} s at {float(Fraction(report.fps)):g} fps",
        f"{report.width} x {report.height}",
        f"took {report.seconds:.1f} s",
    ]
    if report.cuts:
        cuts = f"{len(report.cuts)} scene cut{'s' * (len(report.cuts) > 1)}"
        facts.append(f"{cuts} kept")
    notes = [*report.warnings, *report.dropped]
    if report.damage:
        notes.append(f"the clip is damaged: {report.damage}")
    return ", ".join(facts) + "".join(f"\n\n- {note}" for note in notes)


def interpolate_images(
    first: np.ndarray | None,
    second: np.ndarray | None,
    num: int,
    model_name: str,
    draw: bool,
    limits: Limits,
) -> list[tuple[np.ndarray, str]]:
    """`num` frames between two images, evenly in time.

    Args:
        first, second: (H, W, 3) uint8 RGB.
        draw: draw proposals on the made frames.

    Returns:
        (picture (H, W, 3) uint8, caption) of both inputs and of the frames between them, in order.

    Raises:
        ValueError: the message is for the page.
    """
    if first is None or second is None:
        raise ValueError("Upload two images.")
    if first.shape != second.shape:
        sizes = " and ".join(f"{x.shape[1]} x {x.shape[0]}" for x in (first, second))
        raise ValueError(f"The images must have the same size; these have {sizes} pixels.")
    if first.shape[0] * first.shape[1] > limits.pixels:
        raise ValueError(f"The images have more than {limits.pixels:,} pixels. Make them smaller.")
    model = model_of(model_name)
    ts = [(k + 1) / (num + 1) for k in range(num)]
    shown = [(first, "frame 1")]
    for t, picture in zip(ts, model(first, second, ts)):
        if draw:
            start = (Fraction(0), 0)
            output = OutputFrame(len(shown), Fraction(t), picture, "made", 0, start, first)
            picture = proposals_of(model.device)(output).image
        shown.append((picture, f"t = {t:.3g}"))
    return [*shown, (second, "frame 2")]
