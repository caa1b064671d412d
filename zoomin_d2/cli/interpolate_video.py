"""zoomin-interpolate: a smoother or slower video out of a video, with everything else kept."""

import argparse
import signal
import sys
import threading
from collections.abc import Callable

from zoomin_d2.video import Hooks, Report, VideoError, interpolate_video

from .arguments import make_options, make_parser, make_target
from .batch import Job, Outcome, plan_jobs, run_batch
from .models import Model, load_model
from .progress import JsonLines, make_progress


def main(argv: list[str] | None = None) -> int:
    """The command; returns its exit code."""
    parser = make_parser()
    args = parser.parse_args(argv)
    try:
        make_target(args)
        jobs = plan_jobs(args.paths)
    except ValueError as error:
        parser.error(str(error))
    stop = threading.Event()
    restore = _stop_on_signals(stop)
    try:
        model = load_model(args.model, args.device[0] if args.device else None, args.dtype)
        if len(jobs) == 1:
            return run_one(jobs[0], model, args, stop).exit_code
        return run_batch(jobs, lambda job: run_one(job, model, args, stop), stop, args)
    except (FileNotFoundError, ValueError) as error:
        print(f"zoomin-interpolate: {error}", file=sys.stderr)
        return 2
    finally:
        restore()


def entry_point() -> None:
    sys.exit(main())


def run_one(job: Job, model: Model, args: argparse.Namespace, stop: threading.Event) -> Outcome:
    """One output; errors are told, and become an exit code."""
    progress = make_progress(job.name, args.json, args.quiet, job.output == "-")
    options = make_options(args, model.name, model.device)
    report, error = None, None
    try:
        report = interpolate_video(
            job.inputs,
            job.output,
            model.interpolate,
            make_target(args),
            options,
            Hooks(progress, stop),
            args.input_fps,
            args.raw_input,
        )
    except VideoError as problem:
        error = problem
    finally:
        progress.close()
    outcome = Outcome(job, report, error)
    if isinstance(progress, JsonLines):
        if report is not None:
            progress.emit("done", exit_code=outcome.exit_code, **report.as_dict())
        else:
            kind = type(error).__name__
            progress.emit("error", exit_code=outcome.exit_code, kind=kind, message=str(error))
    elif report is not None:
        print_report(report, args.quiet)
    else:
        print(f"zoomin-interpolate: {error}", file=sys.stderr)
    return outcome


def print_report(report: Report, quiet: bool) -> None:
    """To standard error, which never carries video."""
    for warning in [*report.warnings, *report.dropped]:
        print(f"warning: {warning}", file=sys.stderr)
    if report.damage:
        print(f"warning: {report.input} is damaged: {report.damage}", file=sys.stderr)
    if quiet:
        return
    cuts = f", {len(report.cuts)} scene cuts" if report.cuts else ""
    repeats = f", {report.repeated_frames} repeats re-timed" if report.repeated_frames else ""
    speed = report.output_frames / max(report.seconds, 1e-3)
    print(
        f"{report.output}: {report.source_frames} -> {report.output_frames} frames "
        f"({report.made_frames} made{cuts}{repeats}), {report.duration:.3f} s at {report.fps} fps, "
        f"{report.width}x{report.height} {report.encoder}; took {report.seconds:.1f} s "
        f"({speed:.1f} fps)",
        file=sys.stderr,
    )
    if report.cuts:
        times = ", ".join(f"{cut:.2f}" for cut in report.cuts[:20])
        print(f"  cuts at (s): {times}{' ...' if len(report.cuts) > 20 else ''}", file=sys.stderr)


def _stop_on_signals(stop: threading.Event) -> Callable[[], None]:
    """First Ctrl-C (or TERM): finish what there is; second: at once. Returns how to undo it."""
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
