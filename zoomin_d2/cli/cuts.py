"""zoomin-interpolate --list-cuts: the scene cuts of a video, and no other output."""

import argparse
import sys
from collections import Counter
from dataclasses import asdict
from pathlib import Path

from zoomin_d2.cli.arguments import cut_threshold, filters_of
from zoomin_d2.cli.batch import Job
from zoomin_d2.cli.progress import JsonLines, make_progress
from zoomin_d2.video.jobs.list_cuts import list_cuts
from zoomin_d2.video.read.open_source import is_image, open_source
from zoomin_d2.video.report import DAMAGED


def print_cuts(args: argparse.Namespace) -> int:
    """Write the list and the contact sheet, and say what was found; returns the exit code.

    Raises:
        ValueError: several videos are given, or an output beside the list.
        VideoError: the input cannot be read, or the list cannot be written.
    """
    if len(args.paths) > 1 and not all(is_image(Path(path)) for path in args.paths):
        raise ValueError("--list-cuts takes one input and makes no other output than its list")
    progress = make_progress(Job(args.paths, str(args.list_cuts)), args.json, args.quiet, False)
    with open_source(args.paths, args.input_fps, args.raw_input, filters_of(args)) as source:
        try:
            cuts = list_cuts(source, args.list_cuts, cut_threshold(args), args.overwrite, progress)
        finally:
            progress.close()
        damage = source.damage.describe() if source.damage else ""
    if damage:
        print(f"warning: {args.paths[0]} is damaged: {damage}", file=sys.stderr)
    if isinstance(progress, JsonLines):
        progress.emit("cuts", cuts=[asdict(cut) for cut in cuts])
    elif not args.quiet:
        kinds = Counter(cut.kind for cut in cuts)
        parts = [f"{n} {kind}{'s' * (n > 1)}" for kind, n in kinds.items()]
        print(f"{args.list_cuts}: {', '.join(parts) or 'no cuts'}", file=sys.stderr)
    return DAMAGED if damage else 0
