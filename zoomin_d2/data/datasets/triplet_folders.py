"""Folders of triplets NAME/<scene>/<k>_{0,1,2}.png (first, middle, last) as records."""

from pathlib import Path

from natsort import natsorted

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
        MissingDatasetError: no triplet at all, or a frame of one is missing.
    """
    folder = Path(folder)
    command = "put the triplets there, or a symbolic link to their folder."
    # 2_0.png comes before 10_0.png.
    firsts = natsorted(folder.glob("*/*_0.png"), key=lambda p: f"{p.parent.name}/{p.name}")
    if not firsts:
        raise MissingDatasetError(name, folder, "there are no triplets.", TREE, command)
    records = []
    for first in firsts:
        frames = [first.with_name(f"{first.stem[:-1]}{i}.png") for i in range(3)]
        for frame in frames:
            if not frame.is_file():
                problem = f"{frame.relative_to(folder)} is missing."
                raise MissingDatasetError(name, folder, problem, TREE, command)
        file_name = f"{name}/{first.parent.name}/{first.stem[:-2]}"
        records.append(clip_record(file_name, map(str, frames), image_size(first)))
    return records
