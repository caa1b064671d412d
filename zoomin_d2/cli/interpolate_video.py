"""zoomin-interpolate: a smoother or slower video out of a video, with everything else kept."""

import argparse
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from zoomin_d2.video.errors import VideoError
from zoomin_d2.video.job import Hooks, run_video_job
from zoomin_d2.video.reader import VideoReader
from zoomin_d2.video.report import Report

from .arguments import make_options, make_parser, make_target
from .models import Model, load_model
from .progress import JsonLines, make_progress

DAMAGED = 4


def main(argv: list[str] | None = None) -> int:
    """The command; returns its exit code."""
    parser = make_parser()
    args = parser.parse_args(argv)
    if len(args.paths) < 2:
        parser.error("give at least one input, and the output last")
    try:
        make_target(args)
    except ValueError as error:
        parser.error(str(error))
    stop = threading.Event()
    restore = _stop_on_signals(stop)
    try:
        model = load_model(args.model, args.device[0] if args.device else None, args.dtype)
        report = run_one(args.paths[0], args.paths[1], model, args, stop)
    except VideoError as error:
        print(f"zoomin-interpolate: {error}", file=sys.stderr)
        return error.exit_code
    except (FileNotFoundError, ValueError) as error:
        print(f"zoomin-interpolate: {error}", file=sys.stderr)
        return 2
    finally:
        restore()
    return DAMAGED if report.damage else 0


def entry_point() -> None:
    sys.exit(main())


def run_one(
    path: str, output: str, model: Model, args: argparse.Namespace, stop: threading.Event
) -> Report:
    """One input, one output. Raises VideoError."""
    progress = make_progress(path, args.json, args.quiet, output == "-")
    options = make_options(args, model.name, model.device)
    try:
        with VideoReader(path) as source:
            report = run_video_job(
                source,
                Path(path),
                Path(output),
                model.interpolate,
                make_target(args),
                options,
                Hooks(progress, stop),
            )
    finally:
        progress.close()
    if isinstance(progress, JsonLines):
        progress.emit("done", **report.as_dict())
    else:
        print_report(report, args.quiet)
    return report


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
