"""Cityscapes leftImg8bit_sequence: 30-frame snippets at 17 Hz as records with high-resolution
partners.

The inputs are 256x512, exact 4x4 box averages of the 1024x2048 frames, which are the partners
(hr_scale 4, section 3.5 of the paper). prepare_cityscapes packs the small frames; the partners stay
the PNG files of the dataset. Training takes any window of a snippet. Validation is one triplet per
snippet, with the 20th frame by number (the one that Cityscapes annotates) in the middle: other
frames of a snippet may be missing, those three may not. It is named after that frame, the truth:
<dataset>/<city>/<city>_<sequence>_<frame>, as the files of gtFine are.
"""

import json
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from zoomin_d2.data.datasets.prepared_clips import load_prepared_clips
from zoomin_d2.data.datasets.records import MissingDatasetError
from zoomin_d2.data.frame_store import read_image
from zoomin_d2.data.packing import (
    INDEX_NAME,
    box_average,
    make_index,
    require_disk_space,
    run_jobs,
    write_shot,
)
from zoomin_d2.data.prepared_set import lock_destination
from zoomin_d2.files import write_json
from zoomin_d2.frames import CorruptFrameError

HR_SCALE = 4
FPS = 17.0
LENGTH = 30  # frames of a snippet
ANNOTATED = 19  # number in a snippet, from 0
SOURCE = "leftImg8bit_sequence"
PREPARED = "leftImg8bit_sequence_256x512"
TREE = """
leftImg8bit_sequence/{train,val}/<city>/
    <city>_<sequence>_<frame>_leftImg8bit.png      1024x2048, 30 in a row
"""
PREPARE = "python datasets/prepare_cityscapes.py"


def load_cityscapes(folder: str | Path, split: str, *, full_size: bool = False) -> list[dict]:
    """Records of split "train" (whole snippets) or "val" (one triplet per snippet).

    Args:
        full_size: for "val", the frames of 1024x2048 themselves, without partners.

    Raises:
        MissingDatasetError: not prepared, or incomplete; the message counts incomplete "val"
            triplets.
    """
    name = f"cityscapes_sequence_{split}" + ("_full" if full_size else "")
    prepared = Path(folder) / PREPARED / split
    records = load_prepared_clips(prepared, name, PREPARE, root=folder)
    if split == "train":
        return records
    try:
        snippets = _snippets(records)
    except (KeyError, ValueError) as error:
        problem = f"{INDEX_NAME} names no numbered images ({error!r})."
        raise MissingDatasetError(name, folder, problem, TREE, PREPARE) from error
    triplets = [_annotated(snippet, name) for snippet in snippets]
    lacking = [f"{snippet[0].name}*" for snippet, t in zip(snippets, triplets) if t is None]
    corrupt = json.loads((prepared / INDEX_NAME).read_text())["corrupt_videos"]
    lacking += [Path(item["file"]).name for item in corrupt]
    if lacking:
        problem = (
            f"{len(lacking)} of {len(snippets) + len(corrupt)} snippets lack frames of their "
            f"annotated triplet, or hold damaged ones; the first is {lacking[0]}."
        )
        raise MissingDatasetError(
            name, folder, problem, TREE, f"complete {SOURCE}, then: {PREPARE}"
        )
    whole = [triplet for triplet in triplets if triplet is not None]
    return [_enlarged(triplet) for triplet in whole] if full_size else whole


def _enlarged(record: dict) -> dict:
    """The record of the high-resolution frames."""
    kept = {k: v for k, v in record.items() if k not in ("hr_frames", "hr_scale")}
    size = {key: record[key] * record["hr_scale"] for key in ("height", "width")}
    return {**kept, **size, "frames": record["hr_frames"]}


class _Frame(NamedTuple):
    name: str  # name of its sequence
    number: int  # position in its sequence
    record: dict
    place: int  # position in the record


def _snippets(records: list[dict]) -> list[list[_Frame]]:
    """The frames of each snippet, collected from all records (runs of consecutive numbers)."""
    frames = []
    for record in records:
        for place, image in enumerate(record["hr_frames"]):
            name, _, number = Path(image).stem.removesuffix("_leftImg8bit").rpartition("_")
            frames.append(_Frame(name, int(number), record, place))
    snippets: list[list[_Frame]] = []
    for frame in sorted(frames, key=lambda frame: (frame.name, frame.number)):
        first = snippets[-1][0] if snippets else None
        if first is None or first.name != frame.name or frame.number >= first.number + LENGTH:
            snippets.append([])
        snippets[-1].append(frame)
    return snippets


def _annotated(snippet: list[_Frame], dataset: str) -> dict | None:
    """The triplet around the annotated frame; None if some of its frames are or may be missing."""
    first, last = snippet[0].number, snippet[-1].number
    if last < LENGTH:
        first = 0  # frames missing at its start do not matter
    elif last - first != LENGTH - 1:
        return None  # either end may be missing
    by_number = {frame.number: frame for frame in snippet}
    try:
        triplet = [by_number[first + ANNOTATED + i] for i in (-1, 0, 1)]
    except KeyError:
        return None
    truth = Path(triplet[1].record["hr_frames"][triplet[1].place])
    return {
        **triplet[1].record,
        # Not the record's own name: a record may hold several snippets.
        "file_name": f"{dataset}/{truth.parent.name}/{truth.stem.removesuffix('_leftImg8bit')}",
        **{
            key: [frame.record[key][frame.place] for frame in triplet]
            for key in ("frames", "hr_frames")
        },
    }


def prepare_cityscapes(
    folder: str | Path, split: str, num_workers: int = 1, show_progress: bool = True
) -> dict:
    """Pack the 256x512 frames of a split; a snippet with a corrupt image is skipped and counted.

    Returns:
        The index.

    Raises:
        MissingDatasetError: no images of the split.
        OSError: too little disk space, or another run is preparing the split.
    """
    folder = Path(folder)
    snippets = find_snippets(folder, split)
    destination = folder / PREPARED / split
    lock_destination(destination)
    (destination / "shots").mkdir(exist_ok=True)
    num_frames = sum(len(snippet) for snippet in snippets)
    require_disk_space(
        destination, num_frames * 256 * 512 * 3, "Free some space or set --root on another disk."
    )
    jobs = [(_prepare_snippet, (snippet, folder, destination)) for snippet in snippets]
    entries = run_jobs(jobs, num_workers, "snippets", show_progress)
    index = make_index(f"cityscapes_sequence_{split}", entries, {"source": f"{SOURCE}/{split}"})
    write_json(destination / INDEX_NAME, index)
    return index


def _frame_number(path: Path) -> int:
    number = path.name.split("_")[-2]
    if not number.isdecimal():
        raise ValueError(f"{path} has no frame number before _leftImg8bit: remove or rename it")
    return int(number)


def find_snippets(folder: Path, split: str) -> list[list[Path]]:
    """The images of a split as runs of consecutive frame numbers (3 or more) of one sequence.

    Raises:
        MissingDatasetError: there are none.
        ValueError: an image's name has no frame number.
    """
    images = sorted((folder / SOURCE / split).glob("*/*_leftImg8bit.png"))
    snippets = []
    for _, group in groupby(images, key=lambda path: path.name.split("_")[:-2]):
        numbered = [(_frame_number(path), path) for path in group]
        # frame number minus rank is constant in a run of consecutive numbers
        for _, run in groupby(enumerate(numbered), key=lambda item: item[1][0] - item[0]):
            paths = [path for _, (_, path) in run]
            if len(paths) >= 3:
                snippets.append(paths)
    if not snippets:
        command = (
            "download leftImg8bit_sequence_trainvaltest.zip (324 GB) from "
            f"https://www.cityscapes-dataset.com, unpack it there, then run: {PREPARE}"
        )
        problem = f"there are no images in {SOURCE}/{split}."
        raise MissingDatasetError(f"cityscapes_sequence_{split}", folder, problem, TREE, command)
    return snippets


def _prepare_snippet(images: list[Path], folder: Path, destination: Path) -> dict:
    name = images[0].name.removesuffix("_leftImg8bit.png")
    path = destination / "shots" / f"{name}.npy"
    try:
        small = (box_average(read_image(str(image)), HR_SCALE) for image in images)
        height, width = write_shot(path, small, len(images))
    except CorruptFrameError as error:
        return {"corrupt": {"file": error.file_name, "reason": error.reason}}
    shot = {
        "file_name": f"{images[0].parent.name}/{name}",
        "file": f"shots/{path.name}",
        # Relative to the index, so that the prepared folder and the images can move together.
        "hr_images": [f"../../{image.relative_to(folder).as_posix()}" for image in images],
        "hr_scale": HR_SCALE,
        "runs": [(0, len(images))],
        "height": height,
        "width": width,
        "fps": FPS,
    }
    return {"shots": [shot], "counts": {"frames": len(images)}}
