"""Prepared folders (index.json and packed shots, made by datasets/prepare_*.py) as records."""

import json
import os
from pathlib import Path

from zoomin_d2.data.datasets.records import MissingDatasetError, clip_record, resolve_inside
from zoomin_d2.data.packing import INDEX_NAME, INDEX_VERSION
from zoomin_d2.frames import VIDEO_SUFFIXES

TREE = """
index.json
shots/
    *.npy       uint8 (T, H, W, 3) RGB
    *_hr.npy    the high-resolution partners, if there are any
"""


def load_prepared_clips(
    folder: str | Path,
    name: str,
    command: str,
    split: str | None = None,
    root: str | Path | None = None,
) -> list[dict]:
    """One record per run of usable frames.

    Args:
        folder: holds index.json.
        name: the dataset's name, for messages; each record's `file_name` starts with it.
        command: the command that prepares it, for messages.
        split: keep the shots of this split only.
        root: holds the files that the index names; None = folder.

    Raises:
        MissingDatasetError: no index, a damaged one or one of another version, files of it are
            missing, or it names files outside its folder.
    """
    folder = Path(folder)
    index_file = folder / INDEX_NAME

    def missing(problem: str) -> MissingDatasetError:
        return MissingDatasetError(name, folder, problem, TREE, command)

    if not index_file.is_file():
        raise missing(f"there is no {INDEX_NAME}.")
    try:
        index = json.loads(index_file.read_text())
        version = index["version"]
        if version != INDEX_VERSION:
            raise missing(f"{INDEX_NAME} has version {version}, expected {INDEX_VERSION}.")
        shots = [shot for shot in index["shots"] if split in (None, shot.get("split"))]
        files = [
            (shot, key, _locate(shot[key], folder, root or folder, index))
            for shot in shots
            for key in ("file", "hr_file")
            if key in shot
        ]
        absent = sorted({shot[key] for shot, key, path in files if not path.is_file()})
        if absent:
            raise missing(
                f"{len(absent)} of {len(files)} files are missing, the first is {absent[0]}."
            )
        for shot, key, path in files:
            _check_runs(shot, key, path)
        return [
            record for shot in shots for record in _shot_records(shot, folder, root or folder, name)
        ]
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
        raise missing(f"{INDEX_NAME} is damaged ({error!r}).") from error


def _locate(file: str, folder: Path, root: str | Path, index: dict) -> Path:
    """The path of a file that an index names. Raises ValueError if it is outside its folder."""
    # With --index-only, the videos stay where they are.
    is_elsewhere = not index.get("options", {}).get("pack", True)
    if is_elsewhere and file.lower().endswith(VIDEO_SUFFIXES):
        return folder / file
    return resolve_inside(root, os.path.abspath(folder / file))


def _check_runs(shot: dict, key: str, path: Path) -> None:
    """Raises ValueError if a shot promises frames that its file cannot hold."""
    height, width = shot["height"], shot["width"]
    scale = shot["hr_scale"] if key == "hr_file" else 1
    numbers = [height, width, scale, *(x for run in shot["runs"] for x in run)]
    if not all(type(x) is int for x in numbers) or min(height, width, scale) < 1:
        raise ValueError(f"sizes and runs of {shot['file']} are not whole numbers")
    is_packed = path.suffix == ".npy"
    frame_bytes = height * width * 3 * scale**2 if is_packed else 1
    for first, end in shot["runs"]:
        if not 0 <= first < end or end * frame_bytes > path.stat().st_size:
            raise ValueError(f"{shot[key]} does not hold the frames {first} to {end}")


def _shot_records(shot: dict, folder: Path, root: str | Path, name: str) -> list[dict]:
    file = str(folder / shot["file"])
    optional = {"fps": shot["fps"]} if shot.get("fps") else {}
    records = []
    for first, end in shot["runs"]:
        if shot.get("hr_scale"):
            optional["hr_scale"] = shot["hr_scale"]
            if "hr_file" in shot:
                hr_file = str(folder / shot["hr_file"])
                optional["hr_frames"] = [(hr_file, i) for i in range(first, end)]
            else:
                images = [_locate(f, folder, root, {}) for f in shot["hr_images"][first:end]]
                if len(images) != end - first:
                    raise ValueError(f"{shot['file']} has too few hr_images")
                optional["hr_frames"] = list(map(str, images))
        records.append(
            clip_record(
                f"{name}/{shot['file_name']}/{first}",
                [(file, i) for i in range(first, end)],
                (shot["height"], shot["width"]),
                **optional,
            )
        )
    return records
