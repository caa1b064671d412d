"""Vimeo-90K triplets and septuplets (448x256) as records.

The septuplets are for arbitrary t: training may take any window of the seven frames. The test set
asks for the middle one, im4, from its neighbors im3 and im5.
"""

import os
from pathlib import Path

from zoomin_d2.data.datasets.records import MissingDatasetError, clip_record

SIZE = (256, 448)  # height, width
_TREE = """
{prefix}_trainlist.txt
{prefix}_testlist.txt
sequences/00001/0001/im1.png ... im{length}.png
"""
_COMMAND = (
    "download http://data.csail.mit.edu/tofu/dataset/vimeo_{kind}.zip ({size}) and unpack it into "
    "the parent of this folder."
)
_LENGTH = {"triplet": 3, "septuplet": 7}
_PREFIX = {"triplet": "tri", "septuplet": "sep"}
_DOWNLOAD = {"triplet": "33 GB", "septuplet": "82 GB"}


def load_vimeo90k(folder: str | Path, kind: str, split: str) -> list[dict]:
    """Records of kind "triplet" or "septuplet", split "train" or "test", in the list's order.

    Raises:
        MissingDatasetError: the list or a sequence of it is missing.
    """
    folder = Path(folder)
    name = f"vimeo90k_{kind}_{split}"
    prefix, length = _PREFIX[kind], _LENGTH[kind]

    def missing(problem: str) -> MissingDatasetError:
        tree = _TREE.format(prefix=prefix, length=length)
        command = _COMMAND.format(kind=kind, size=_DOWNLOAD[kind])
        return MissingDatasetError(name, folder, problem, tree, command)

    list_file = folder / f"{prefix}_{split}list.txt"
    if not list_file.is_file():
        raise missing(f"{list_file.name} is missing.")
    sequences = [
        line.strip() for line in list_file.read_text(errors="replace").splitlines() if line.strip()
    ]
    # One listing per folder, because 90,000 single lookups on a network disk take minutes.
    on_disk = {
        f"{group.name}/{entry}"
        for group in (folder / "sequences").glob("*/")
        for entry in os.listdir(group)
    }
    absent = [sequence for sequence in sequences if sequence not in on_disk]
    if not sequences:
        raise missing(f"{list_file.name} is empty.")
    if absent:
        raise missing(
            f"{len(absent)} of {len(sequences)} sequences of {list_file.name} are missing, the "
            f"first is sequences/{absent[0]}."
        )
    numbers = (3, 4, 5) if (kind, split) == ("septuplet", "test") else range(1, length + 1)
    return [
        clip_record(
            f"{name}/{sequence}",
            [str(folder / "sequences" / sequence / f"im{number}.png") for number in numbers],
            SIZE,
        )
        for sequence in sequences
    ]
