"""Folders of triplets NAME/<scene>/<k>_{0,1,2}.png (first, middle, last) as records."""

from pathlib import Path

from natsort import natsorted

from zoomin_d2.data.datasets.records import MissingDatasetError, clip_record, image_size
from zoomin_d2.frames import IMAGE_SUFFIXES

TREE = """
<scene>/
    <k>_0.png   first frame
    <k>_1.png   the frame in the middle (the truth)
    <k>_2.png   last frame
"""


def load_triplet_folders(folder: str | Path, name: str) -> list[dict]:
    """One record per triplet, sorted by scene and k.

    Raises:
        MissingDatasetError: there is no triplet, frames are missing, or images with such names are
            elsewhere or of another kind; the message counts them.
    """
    folder = Path(folder)
    command = "put the triplets there, or a symbolic link to their folder."
    found = set(folder.glob("*/*_[012].png"))
    # 2_0.png comes before 10_0.png.
    triplets = natsorted(
        {path.with_name(path.stem[:-2]) for path in found},
        key=lambda p: f"{p.parent.name}/{p.name}",
    )
    if not triplets:
        raise MissingDatasetError(name, folder, "there are no triplets.", TREE, command)
    images = {path for path in folder.rglob("*_[012].*") if path.suffix.lower() in IMAGE_SUFFIXES}
    if others := natsorted(images - found):
        problem = (
            f"{others[0].relative_to(folder)} belongs to no triplet ({len(others)} such images "
            f"beside {len(triplets)} triplets)."
        )
        raise MissingDatasetError(name, folder, problem, TREE, command)
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
