"""Several inputs in one call: the output of each, and a table of the results."""

import argparse
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path

from tabulate import tabulate

from zoomin_d2 import frames
from zoomin_d2.video import Report, VideoError
from zoomin_d2.video.errors import OutputError
from zoomin_d2.video.jobs.output_files import written_files
from zoomin_d2.video.read.images import list_images
from zoomin_d2.video.read.open_source import PIPE, is_image
from zoomin_d2.video.report import DAMAGED, LOSSES
from zoomin_d2.video.write.encoder import VIDEO_SUFFIXES
from zoomin_d2.video.write.segments import segments_path

_RESULTS = {0: "done", DAMAGED: "damaged", LOSSES: "incomplete"}


@dataclass(frozen=True)
class Job:
    """One output and what it is made of: a video, a folder of images, or several images."""

    inputs: list[str]
    output: str

    @property
    def name(self) -> str:
        first = Path(self.inputs[0]).name or self.inputs[0]
        return first if len(self.inputs) == 1 else f"{first} ... ({len(self.inputs)})"


@dataclass(frozen=True)
class Outcome:
    """The result of one job: its report, or the error that ended it; neither, if its output was
    there already."""

    job: Job
    report: Report | None
    error: VideoError | None

    @property
    def exit_code(self) -> int:
        if self.error is not None:
            return self.error.exit_code
        return 0 if self.report is None else self.report.exit_code


def plan_jobs(paths: list[str], make_folder: bool = True) -> list[Job]:
    """The jobs of a command line: inputs, and the output last.

    Args:
        make_folder: create the folder that several outputs go to.

    Raises:
        ValueError: there is no output, a name is empty, or there are several videos for one file.
        OSError: a folder cannot be created or listed, or a name is too long.
        OutputError: an output would replace an input.
    """
    if len(paths) < 2:
        raise ValueError("give at least one input, and the output last")
    if "" in paths:
        raise ValueError("an empty name among the paths: is a variable of the shell not set?")
    *inputs, output = paths
    if len(inputs) == 1 and _is_folder_of_videos(inputs[0]):
        inputs = [str(f) for f in sorted(Path(inputs[0]).iterdir()) if _is_video(f)]
        return _into_folder(inputs, output, make_folder)
    if len(inputs) == 1 or all(is_image(Path(i)) for i in inputs):
        return [Job(inputs, output)]
    return _into_folder(inputs, output, make_folder)


def run_batch(
    jobs: list[Job],
    run: Callable[[Job], Outcome],
    keep: Callable[[Job], Outcome],
    stop: threading.Event,
    args: argparse.Namespace,
) -> int:
    """Run all jobs, even if some fail; returns the first exit code that is not 0. With --resume,
    `keep` gets the jobs that an earlier run finished."""
    outcomes = []
    for job in jobs:
        if stop.is_set():
            break
        is_finished = args.resume and not args.overwrite and _is_finished(job)
        outcomes.append(keep(job) if is_finished else run(job))
    if not args.quiet and not args.json:
        print(make_table(outcomes, len(jobs)), file=sys.stderr)
    return next((o.exit_code for o in outcomes if o.exit_code), 0)


def make_table(outcomes: list[Outcome], num_jobs: int) -> str:
    """The result of each input, and a line of totals."""
    rows = []
    for outcome in outcomes:
        report = outcome.report
        if report is None:
            rows.append([outcome.job.name, "", "", "", str(outcome.error or "was there already")])
            continue
        result = _RESULTS[outcome.exit_code]
        frames = f"{report.source_frames} -> {report.output_frames}"
        rows.append([outcome.job.name, frames, report.fps, f"{report.seconds:.1f}", result])
    table = tabulate(
        rows,
        headers=["input", "frames", "fps", "seconds", "result"],
        maxcolwidths=[40, None, None, None, 70],
        disable_numparse=True,
    )
    failed = sum(o.exit_code != 0 for o in outcomes)
    skipped = num_jobs - len(outcomes)
    end = f"\n{len(outcomes) - failed} of {num_jobs} done, {failed} failed" + (
        f", {skipped} not started" if skipped else ""
    )
    return table + end


def _into_folder(inputs: list[str], output: str, make_folder: bool) -> list[Job]:
    folder = Path(output)
    if output == PIPE or folder.is_file() or (folder.suffix and not folder.is_dir()):
        given = ", ".join(inputs[:3]) + (", ..." if len(inputs) > 3 else "")
        raise ValueError(f"several videos ({given}) need a folder as the output, not {output}")
    if make_folder:
        folder.mkdir(parents=True, exist_ok=True)
    jobs: list[Job] = []
    taken: set[str] = set()  # casefolded; includes the files that a job writes along the way
    for name in inputs:
        path = Path(name)
        suffix = path.suffix if path.suffix.lower() in VIDEO_SUFFIXES else ".mkv"
        stems = chain([path.stem, path.name], (f"{path.name} ({n})" for n in count(2)))
        for stem in stems:
            target = folder / (stem + suffix)
            names = {str(file).casefold() for file in written_files(target)}
            if not names & taken:
                break
        taken |= names
        jobs.append(Job([name], str(target)))
    _check_inputs_stay(jobs)
    return jobs


def _is_finished(job: Job) -> bool:
    """An output gets its name only when it is whole; segments beside it are a run that replaces
    it."""
    output = Path(job.output)
    return output.is_file() and not segments_path(output).exists()


def _check_inputs_stay(jobs: list[Job]) -> None:
    """Raises OutputError if any job would write over the input of any other."""
    found = {name: _identity(Path(name)) for job in jobs for name in job.inputs}
    inputs = {identity: name for name, identity in found.items() if identity is not None}
    for job in jobs:
        for file in written_files(Path(job.output)):
            identity = _identity(file)
            replaced = None if identity is None else inputs.get(identity)
            if replaced is not None:
                raise OutputError(
                    f"{file}, the output of {job.inputs[0]}, would replace the input {replaced}: "
                    "name another folder"
                )


def _identity(path: Path) -> tuple[int, int] | None:
    """The same for all names of a file; None: there is no such file."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _is_video(path: Path) -> bool:
    return path.is_file() and path.suffix.lower() in (*frames.VIDEO_SUFFIXES, ".gif")


def _is_folder_of_videos(name: str) -> bool:
    path = Path(name)
    if name == PIPE or not path.is_dir():
        return False
    return not list_images(path) and any(_is_video(f) for f in path.iterdir())
