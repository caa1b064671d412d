"""zoomin-interpolate: make a video smoother or slower, and keep everything else in it."""

import argparse
import json
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from fractions import Fraction
from functools import reduce
from pathlib import Path
from typing import TypeVar

from zoomin_d2.cli.arguments import (
    DTYPES,
    check_cut_options,
    filters_of,
    make_options,
    make_parser,
    make_target,
    paths_before_devices,
)
from zoomin_d2.cli.batch import Job, Outcome, plan_jobs, run_batch
from zoomin_d2.cli.cuts import print_cuts
from zoomin_d2.cli.progress import JsonLines, make_progress
from zoomin_d2.cli.proposals import ProposalDrawing
from zoomin_d2.inference.interpolator import Interpolator
from zoomin_d2.video import (
    Hooks,
    OutputFrame,
    Report,
    VideoError,
    interpolate_source,
    make_grid,
    open_source,
)
from zoomin_d2.video.errors import InterruptedRunError, OutputBusyError
from zoomin_d2.video.jobs.estimate import Estimate, estimate_source
from zoomin_d2.video.read.open_source import PIPE
from zoomin_d2.video.write.compare import Comparison
from zoomin_d2.video.write.segments import segments_path

USAGE = 2
Result = TypeVar("Result", Report, Estimate)


def main(argv: list[str] | None = None) -> int:
    """The command; returns its exit code."""
    parser = make_parser()
    words = paths_before_devices(sys.argv[1:] if argv is None else argv)
    args = parser.parse_intermixed_args(words)  # FFmpeg's order: in.mp4 --fps 60 out.mp4
    try:
        make_target(args)
        check_cut_options(args)
        if args.list_cuts is not None:
            return print_cuts(args)
        jobs = plan_jobs(args.paths, make_folder=not args.estimate)
    except VideoError as error:
        return print_error(error)
    except KeyboardInterrupt:
        return print_error(InterruptedRunError("Stopped; no list of cuts was written"))
    except (OSError, ValueError) as error:
        parser.error(str(error))
    stop = threading.Event()
    restore = _stop_on_signals(stop)
    try:
        try:
            session = Session(args, stop)
        except (OSError, ValueError, ModuleNotFoundError) as error:
            if args.debug:
                raise
            return print_error(error)
        if args.estimate:
            return session.estimate(jobs)
        if len(jobs) == 1:
            return session.run(jobs[0]).exit_code
        return run_batch(jobs, session.run, session.keep, stop, args)
    except KeyboardInterrupt:  # a second one
        return print_error(InterruptedRunError("Stopped at once"))
    finally:
        restore()


def entry_point() -> None:
    """The console script `zoomin-interpolate`."""
    sys.exit(main())


class Session:
    """The models and options of one call, for any number of jobs.

    Raises:
        OSError, ValueError: the model cannot be loaded.
        ModuleNotFoundError: an option needs a package that is not installed; the message names it.
    """

    def __init__(self, args: argparse.Namespace, stop: threading.Event):
        self._args, self._stop = args, stop
        self._target = make_target(args)
        self._model = Interpolator.from_pretrained(
            args.model,
            device=args.device,
            dtype=DTYPES.get(args.dtype),
            tile=args.tile,
            flow_scale=args.flow_scale,
            quality=args.quality,
            detail=args.detail,
            backend=args.backend,
            on_change=self._tell,
        ).for_videos()
        self._options = make_options(args, self._model)
        self._progress: Callable[[int, int], None] | None = None
        self._draw = ProposalDrawing(self._model.device) if args.draw_proposals else None

    def run(self, job: Job) -> Outcome:
        """One output; errors are reported, and become an exit code."""
        args = self._args
        if not (args.quiet or args.json) and _is_unmarked_folder(job.output):
            note = "no extension, so this becomes a folder of images"
            print(f"{job.output}: {note}", file=sys.stderr)
        progress = make_progress(job, args.json, args.quiet, job.output == "-")
        self._progress = progress
        report, error = None, None
        try:
            report = self._interpolate(job)
        except VideoError as problem:
            error = problem
        except Exception as problem:
            error = _unexpected(problem)
        finally:
            progress.close()
        outcome = Outcome(job, report, error)
        if isinstance(progress, JsonLines):
            progress.finish(report, error, outcome.exit_code)
        elif report is not None:
            print_report(report, args.quiet)
        elif error is not None:
            print_error(error, _hint(job, error))
        if error is not None and args.debug:
            traceback.print_exception(error)
        return outcome

    def keep(self, job: Job) -> Outcome:
        """A resumed batch leaves an output that is finished as it is."""
        progress = make_progress(job, self._args.json, self._args.quiet, to_stderr=False)
        if isinstance(progress, JsonLines):
            progress.emit("kept", exit_code=0, output=job.output)
        elif not self._args.quiet:
            print(f"{job.output}: was there already", file=sys.stderr)
        return Outcome(job, None, None)

    def estimate(self, jobs: list[Job]) -> int:
        """Print what each job would take; returns the first exit code that is not 0."""
        codes = []
        for job in jobs:
            try:
                found = self._with_source(job, estimate_source)
                as_json = json.dumps({"event": "estimate", **found.as_dict()})
                print(as_json if self._args.json else found)
            except Exception as problem:
                if self._args.debug:
                    traceback.print_exception(problem)
                error = problem if isinstance(problem, VideoError) else _unexpected(problem)
                codes.append(print_error(error))
            if self._stop.is_set():
                break
        return codes[0] if codes else 0

    def _interpolate(self, job: Job) -> Report:
        return self._with_source(job, interpolate_source)

    def _with_source(self, job: Job, run: Callable[..., Result]) -> Result:
        args = self._args
        with open_source(job.inputs, args.input_fps, args.raw_input, filters_of(args)) as source:
            size: tuple[int, int] | None = None
            changes: list[Callable[[OutputFrame], OutputFrame]] = []
            if self._draw is not None:
                changes.append(self._draw)
            if args.compare:
                fps = make_grid(self._target, source.info).fps
                names = f"input {_fps(source.info.rate)}", f"{self._model.name} {_fps(fps)}"
                compare = Comparison(args.compare, names)
                size = compare.size(source.info.height, source.info.width)
                changes.append(compare)
            hooks = Hooks(self._progress, self._stop, _chain(changes), size)
            return run(source, job.output, self._model, self._target, self._options, hooks)

    def _tell(self, message: str) -> None:
        if not self._args.quiet:
            print(f"{self._args.model}: {message}", file=sys.stderr)


def _is_unmarked_folder(output: str) -> bool:
    """Whether it becomes a folder of images, and nothing but a missing extension says so."""
    has_mark = output == PIPE or Path(output).suffix or output.endswith(("/", os.sep))
    return not has_mark and not os.path.exists(output)


def print_error(error: Exception, hint: str = "") -> int:
    """One line to standard error; returns the exit code."""
    print(f"zoomin-interpolate: {' '.join(f'{error}{hint}'.split())}", file=sys.stderr)
    return error.exit_code if isinstance(error, VideoError) else USAGE


def print_report(report: Report, quiet: bool) -> None:
    """To standard error, which never carries video."""
    for warning in report.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    for loss in report.dropped:
        print(f"missing in the output: {loss}", file=sys.stderr)
    if report.damage:
        print(f"warning: {report.input} is damaged: {report.damage}", file=sys.stderr)
    if quiet:
        return
    num_cuts = len(report.cuts)
    cuts = f", {num_cuts} scene cut{'s' * (num_cuts > 1)}" if num_cuts else ""
    blended = f", {report.blended_frames} blended" if report.blended_frames else ""
    repeats = f", {report.repeated_frames} repeats re-timed" if report.repeated_frames else ""
    protected = _protected(report)
    times = f"{report.duration:.3f} s at {report.fps} fps, " if report.fps else ""  # else one image
    speed = report.output_frames / max(report.seconds, 1e-3)
    print(
        f"{report.output}: {report.source_frames} -> {report.output_frames} frames "
        f"({report.made_frames} made{blended}{cuts}{repeats}{protected}), "
        f"{times}{report.width}x{report.height} {report.encoder}; took {report.seconds:.1f} s "
        f"({speed:.1f} fps)",
        file=sys.stderr,
    )
    if report.cuts:
        times = ", ".join(f"{cut:.2f}" for cut in report.cuts[:20])
        print(f"  cuts at (s): {times}{' ...' if len(report.cuts) > 20 else ''}", file=sys.stderr)


def _protected(report: Report) -> str:
    """What was kept still or replaced in the made frames."""
    still = f", still parts kept in {report.overlay_frames}" if report.overlay_frames else ""
    if not report.unsure_frames:
        return still
    return f"{still}, {report.unsure_area:.1%} of {report.unsure_frames} replaced as unsure"


def _unexpected(problem: Exception) -> VideoError:
    """A bug of this program, in one line; --debug shows where it is."""
    error = VideoError(
        f"Unexpected {type(problem).__name__}: {problem}. Please report it; --debug shows where"
    )
    error.__cause__ = problem
    return error


def _hint(job: Job, error: VideoError | None) -> str:
    """How to continue, if part of the work is kept and the error does not already say so."""
    if isinstance(error, OutputBusyError):  # the work that is kept is the other run's
        return ""
    told = any(option in str(error) for option in ("--resume", "--overwrite"))
    kept = os.path.exists(segments_path(Path(job.output))) and not told
    return ". Run the same command with --resume to continue" if kept else ""


def _chain(changes: list[Callable[[OutputFrame], OutputFrame]]):
    if not changes:
        return None
    return lambda frame: reduce(lambda changed, change: change(changed), changes, frame)


def _fps(rate: Fraction) -> str:
    return f"{float(rate):.6g} fps"


def _stop_on_signals(stop: threading.Event) -> Callable[[], None]:
    """First Ctrl-C (or TERM): finish the work at hand; second: stop at once. Returns the undo."""
    if threading.current_thread() is not threading.main_thread():
        return lambda: None

    def handle(number, _frame) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    old = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}

    def restore() -> None:
        for number, handler in old.items():
            signal.signal(number, handler)

    return restore


if __name__ == "__main__":
    entry_point()
