"""What the demo app does, without its page: an upload and choices in, a file and a summary out."""

import functools
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from zoomin_d2.cli.app.comparison import ComparisonVideo
from zoomin_d2.cli.proposals import ProposalDrawing
from zoomin_d2.inference.backends import fastest_backend
from zoomin_d2.inference.baselines import BASELINES, WARPS
from zoomin_d2.inference.interpolator import Interpolator, Quality
from zoomin_d2.video import Hooks, Report, Target, VideoError, interpolate_source, open_source
from zoomin_d2.video.errors import InterruptedRunError
from zoomin_d2.video.jobs.options import job_options
from zoomin_d2.video.read.containers import open_container
from zoomin_d2.video.read.rates import parse_rate
from zoomin_d2.video.read.source import SourceInfo
from zoomin_d2.video.time.pipeline import OutputFrame
from zoomin_d2.video.time.pixels import Pixels
from zoomin_d2.video.time.protection import Unsure
from zoomin_d2.video.write.copy_plan import AudioMode

WITHOUT_LEARNING = {"dis": "OpenCV DIS flow (no learning)", "average": "average (no learning)"}
SMOOTHER, RATE, SLOWER = "smoother", "a frame rate", "slow motion"
_PLAYED_SOUND = {"aac", "mp3", "mp3float", "opus", "flac"}  # by every browser, in an .mp4
# What is wrong with an upload, a choice or the machine; anything else is a bug.
EXPECTED_ERRORS = (ValueError, VideoError, OSError, ModuleNotFoundError)


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


@dataclass(frozen=True)
class Choices:
    """What a visitor wants of a clip.

    Attributes:
        target: the frame rate, factor or slow motion. model, quality: as Interpolator takes them.
        cuts: look for scene cuts. keep_still: text, logos and still pixels stay as they are.
        unsure: "keep", "nearest" or "blend", where the model is unsure.
        draw: draw proposals on every frame.
    """

    target: Target
    model: str = "fast"
    quality: Quality = "standard"
    cuts: bool = True
    keep_still: bool = True
    unsure: Unsure = "keep"
    draw: bool = False

    def __post_init__(self) -> None:
        label = WITHOUT_LEARNING.get(self.model, self.model)
        if self.quality == "best" and self.model in BASELINES:
            raise ValueError(f"“{label}” has no best quality: choose another model, or standard.")
        if self.unsure != "keep" and self.model in BASELINES and BASELINES[self.model] not in WARPS:
            raise ValueError(
                f"“{label}” cannot tell where it is unsure: choose another model, or keep what "
                "the model made."
            )

    def __str__(self) -> str:
        """In a few words, beside the name of the clip."""
        target = self.target
        words = [
            f"{float(target.slowmo):g}x slow motion" if target.slowmo != 1 else f"{target.multi}x"
        ]
        if target.fps is not None:
            words = [f"{float(target.fps):g} fps"]
        words += [self.model, *(["best quality"] if self.quality == "best" else [])]
        words += [] if self.cuts else ["no cuts"]
        words += [] if self.keep_still else ["text moves"]
        return ", ".join(words + ([] if self.unsure == "keep" else [f"unsure: {self.unsure}"]))


class Result(NamedTuple):
    """A finished clip.

    Attributes:
        output: the .mp4. comparison: source and result side by side (comparison.py).
        still: seconds at which the comparison shows a made frame.
    """

    output: Path
    comparison: Path
    still: float
    report: Report


@functools.lru_cache(maxsize=4)
def model_of(name: str, quality: Quality = "standard") -> Interpolator:
    """A loaded model, kept for the next visitor; on a CPU in OpenVINO, if that is installed."""
    backend = "torch" if name in BASELINES else fastest_backend()
    return Interpolator.from_pretrained(name, quality=quality, backend=backend).for_videos()


@functools.lru_cache(maxsize=1)
def proposals_of(device: torch.device) -> ProposalDrawing:
    """The RPN whose proposals are drawn, kept for the next visitor.

    Raises:
        ModuleNotFoundError: Detectron2 is not installed; the message says what to install.
    """
    return ProposalDrawing(device)


def make_target(kind: str, value: str | float) -> Target:
    """The choice on the page as the video room knows it.

    Raises:
        ValueError: the value is no number or out of range; the message is for the page.
    """
    if kind == RATE:
        fps = parse_rate(value if isinstance(value, str) else str(value))
        if not 1 <= fps <= 240:
            raise ValueError(f"Frames per second must be from 1 to 240, not {value}.")
        return Target(fps=fps)
    try:
        number = Fraction(str(value))
    except (ValueError, ZeroDivisionError):
        raise ValueError(f"“{value}” is not a number.") from None
    if kind == SMOOTHER:
        if number.denominator != 1 or not 2 <= number <= 16:
            raise ValueError(f"“Times” must be a whole number from 2 to 16, not {value}.")
        return Target(multi=int(number))
    if not 1 < number <= 16:
        raise ValueError(f"Slow motion must be above 1 and at most 16 times, not {value}.")
    return Target(slowmo=number)


def check_clip(clip: Path, limits: Limits, target: Target | None = None) -> None:
    """Refuse what is not accepted before any work.

    Args:
        target: decides the length of the result; None: it is not known yet.

    Raises:
        ValueError: the clip or its result is too long or too large; the message is for the page.
        VideoError: it is not a video.
    """
    with open_source([clip]) as source:
        info = source.info
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
    if target is None:
        return
    frames = float(_frames_a_second(target, info) * (info.duration or 0))
    if frames > limits.frames:
        raise ValueError(
            f"The result would have {frames:,.0f} frames; this page makes at most "
            f"{limits.frames:,}. Choose a lower factor or rate."
        )


def _frames_a_second(target: Target, info: SourceInfo) -> Fraction:
    """Frames of the result for each second of the clip."""
    return (target.fps or info.rate * (target.multi or 1)) * target.slowmo


def _check_length(frame: OutputFrame, limits: Limits, target: Target, info: SourceInfo) -> None:
    """For a clip that does not say how long it is: the limits, while its frames are made.

    Raises:
        ValueError: the clip or its result is too long.
    """
    if frame.index >= min(limits.frames, float(limits.seconds * _frames_a_second(target, info))):
        raise ValueError(
            f"The clip does not say how long it is, and has more than {limits.seconds:g} s, or its "
            f"result more than {limits.frames:,} frames, which this page does not accept."
        )


def interpolate_clip(
    upload: Path,
    mask: Path | None,
    choices: Choices,
    limits: Limits,
    folder: Path,
    progress: Callable[[int, int], None],
    stop: threading.Event,
) -> Result:
    """Interpolate an uploaded clip into an .mp4 that browsers play.

    Args:
        upload: the clip. mask: white where its nearer frame is shown; None: nowhere.
        limits: those of `check_clip`, for a clip whose length it could not know.
        folder: for the result; after an error it may hold unfinished files.
        progress: called with (frames done, frames in all; 0 if unknown).
        stop: set it to stop early.

    Raises:
        InterruptedRunError: after `stop`. ValueError, VideoError, OSError: the message is for the
            page.
    """
    model = model_of(choices.model, choices.quality)
    draw = proposals_of(model.device) if choices.draw else None
    output = folder / f"{upload.stem}_{Path(choices.model).stem}.mp4"
    options = job_options(
        # Every browser plays 8-bit 4:2:0.
        **{"codec": "h264", "pix_fmt": "yuv420p", "model": model.name, "mask": mask},
        **{"keep_still": choices.keep_still, "unsure": choices.unsure},
        **({} if choices.cuts else {"cut_threshold": None}),
    )
    if stop.is_set():  # while the model was loaded
        raise InterruptedRunError("Stopped")
    with (
        open_source([upload]) as source,
        ComparisonVideo(folder / "comparison.mp4", source.info) as comparison,
    ):

        def decorate(frame: OutputFrame) -> OutputFrame:
            if source.info.duration is None:
                _check_length(frame, limits, choices.target, source.info)
            frame = draw(frame) if draw else frame
            comparison.add(frame)
            return frame

        hooks = Hooks(progress, stop, decorate)
        options = replace(options, audio=_audio_of(source.info.file))
        report = interpolate_source(source, output, model, choices.target, options, hooks)
    if stop.is_set():  # after the last frame
        raise InterruptedRunError("Stopped")
    return Result(output, comparison.path, comparison.still, report)


def _audio_of(clip: Path | None) -> AudioMode | None:
    """Sound that some browser does not play in an .mp4 is encoded as AAC; other sound is copied."""
    if clip is None:  # an animation, which has none
        return None
    with open_container(clip) as container:
        contexts = [stream.codec_context for stream in container.streams.audio]
        is_played = all(x is None or x.name in _PLAYED_SOUND for x in contexts)
        return None if is_played else "encode"


def describe(report: Report) -> tuple[str, list[str]]:
    """A finished job in one line, and what is worth knowing: what the result lacks comes first."""
    facts = [
        f"{report.source_frames} → {report.output_frames} frames, {report.made_frames} made",
        f"{report.duration:.2f} s at {float(Fraction(report.fps)):g} fps",
        f"{report.width} x {report.height}",
        f"took {report.seconds:.1f} s",
    ]
    if report.cuts:
        facts.append(f"{len(report.cuts)} scene cut{'s' * (len(report.cuts) > 1)} kept")
    if report.overlay_frames:
        facts.append(f"still parts kept in {report.overlay_frames} frames")
    if report.unsure_frames:
        share = f"{report.unsure_area:.1%} of each"
        facts.append(f"unsure pixels replaced in {report.unsure_frames} frames ({share})")
    notes = [f"Missing in the result: {what}" for what in report.dropped]
    if report.damage:
        notes.append(f"The clip is damaged: {report.damage}")
    return ", ".join(facts), [*notes, *report.warnings]


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
            pixels, held = Pixels(picture), Pixels(first)
            output = OutputFrame(len(shown), Fraction(t), pixels, "made", 0, start, held)
            picture = proposals_of(model.device)(output).image
        shown.append((picture, f"t = {t:.3g}"))
    return [*shown, (second, "frame 2")]


def for_a_visitor(message: str) -> str:
    """The message, with the server's paths reduced to file names."""
    return re.sub(r"(?:[A-Za-z]:)?(?:[/\\][^/\\\s'\"]+)+[/\\]([^/\\\s'\"]+)", r"\1", message)
