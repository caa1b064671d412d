"""Folders of triplets NAME/<scene>/<k>_{0,1,2}.png (first, middle, last) as records."""

import re
from pathlib import Path

from zoomin_d2.data.datasets.records import MissingDatasetError, clip_record, image_size

TREE = """
<scene>/
    <k>_0.png   first frame
    <k>_1.png   the frame in the middle (the truth)
    <k>_2.png   last frame
"""


def load_triplet_folders(folder: str | Path, name: str) -> list[dict]:
    """One record per triplet, sorted by scene and k.

    Raises:
        MissingDatasetError: no triplet at all, or frames are missing; counts them.
    """
    folder = Path(folder)
    command = "put the triplets there, or a symbolic link to their folder."
    found = set(folder.glob("*/*_[012].png"))
    triplets = sorted({path.with_name(path.stem[:-2]) for path in found}, key=_natural_key)
    if not triplets:
        raise MissingDatasetError(name, folder, "there are no triplets.", TREE, command)
    files = {t: [t.with_name(f"{t.name}_{i}.png") for i in range(3)] for t in triplets}
    absent = [frame for frames in files.values() for frame in frames if frame not in found]
    if absent:
        problem = (
            f"{absent[0].relative_to(folder)} is missing ({len(absent)} missing frames in "
            f"{len(triplets)} triplets)."
        )
        raise MissingDatasetError(name, folder, problem, TREE, command)
    return [
        clip_record(
            f"{name}/{triplet.parent.name}/{triplet.name}", map(str, frames), image_size(frames[0])
        )
        for triplet, frames in files.items()
    ]


def _natural_key(path: Path) -> list:
    """Sorts 2_0.png before 10_0.png."""
    parts = re.split(r"(\d+)", f"{path.parent.name}/{path.name}")
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in parts]
