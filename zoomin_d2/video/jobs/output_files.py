"""The files that a job writes on its way to its output; none of them may be an input."""

import os
from pathlib import Path

from zoomin_d2.video.errors import OutputError
from zoomin_d2.video.read.source import Source
from zoomin_d2.video.write.segments import SEGMENTS_SUFFIX

_PARTIAL, _PART = ".partial", ".part"
# bytes of a file's name, which files beside it lengthen
MAX_NAME = 255 - max(len(SEGMENTS_SUFFIX), len(_PARTIAL + _PART))


def check_output(output: Path, overwrite: bool, source: Source) -> None:
    """Raises OutputError if `output` must not or cannot be written."""
    if len(os.fsencode(output.name)) > MAX_NAME:
        raise OutputError(f"{output}: the name is longer than {MAX_NAME} bytes")
    if output.is_dir():
        raise OutputError(f"{output} is a folder, not a file: choose another output")
    for file in written_files(output):
        if file.exists() and any(file.samefile(path) for path in input_files(source)):
            raise OutputError(f"{file} is an input and would be replaced: choose another output")
    if output.exists() and not overwrite:
        raise OutputError(f"{output} exists: --overwrite replaces it")
    parent = output.parent
    if not parent.is_dir():
        raise OutputError(f"{parent}: no such folder")
    if not os.access(parent, os.W_OK):
        raise OutputError(f"{parent}: no permission to write there")


def partial_path(output: Path) -> Path:
    """Where a stopped run leaves its playable partial result."""
    return output.with_name(f"{output.stem}{_PARTIAL}{output.suffix}")


def failed_path(output: Path) -> Path:
    """Where a file that failed verification is kept."""
    return output.with_name(f"{output.stem}.failed{output.suffix}")


def part_path(output: Path) -> Path:
    """The name of a file until it is complete."""
    return output.with_name(output.name + _PART)


def written_files(output: Path) -> list[Path]:
    """Every file that a job for `output` may write or delete."""
    partial = partial_path(output)
    return [output, partial, failed_path(output), part_path(output), part_path(partial)]


def input_files(source: Source) -> list[Path]:
    """The files that a source reads."""
    return list(source.files)
