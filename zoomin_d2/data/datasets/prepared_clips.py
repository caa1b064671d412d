"""Prepared folders (index.json and packed shots, made by datasets/prepare_*.py) as records."""

import json
from pathlib import Path

from ..packing import INDEX_NAME, INDEX_VERSION
from .layout import MissingDatasetError, clip_record

TREE = """
index.json
shots/
    *.npy       uint8 (T, H, W, 3) RGB
    *_hr.npy    the high-resolution partners, if there are any
"""


def load_prepared_clips(
    folder: str | Path, name: str, command: str, split: str | None = None
) -> list[dict]:
    """One record per run of usable frames.

    Args:
        folder: holds index.json.
        name: of the dataset, for messages; it also begins each record's `file_name`.
        command: what prepares it, for messages.
        split: keep the shots of this split only.

    Raises:
        MissingDatasetError: no index, an index of another version, or files of it are missing.
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
    except (ValueError, KeyError, TypeError) as error:
        raise missing(f"{INDEX_NAME} is damaged ({error!r}).") from error
    if version != INDEX_VERSION:
        raise missing(f"{INDEX_NAME} has version {version}, this code reads {INDEX_VERSION}.")

    shots = [shot for shot in index["shots"] if split in (None, shot.get("split"))]
    files = {shot[key] for shot in shots for key in ("file", "hr_file") if key in shot}
    absent = sorted(file for file in files if not (folder / file).is_file())
    if absent:
        raise missing(f"{len(absent)} of {len(files)} files are missing, the first is {absent[0]}.")
    return [record for shot in shots for record in _shot_records(shot, folder, name)]


def _shot_records(shot: dict, folder: Path, name: str) -> list[dict]:
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
                optional["hr_frames"] = [str(folder / f) for f in shot["hr_images"][first:end]]
        records.append(
            clip_record(
                f"{name}/{shot['file_name']}/{first}",
                [(file, i) for i in range(first, end)],
                (shot["height"], shot["width"]),
                **optional,
            )
        )
    return records
