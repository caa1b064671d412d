"""What all loaders share: the error for a dataset that is not (completely) on disk, image sizes,
record making."""

import os
from collections.abc import Iterable
from pathlib import Path

from PIL import Image

from zoomin_d2.data.frame_store import FrameRef
from zoomin_d2.frames import CorruptFrameError


class MissingDatasetError(FileNotFoundError):
    """A dataset is not on disk, or a part of it is missing.

    Args:
        name: the dataset's name.
        folder: the folder that was searched.
        problem: what is missing there.
        tree: the expected files, drawn as a tree.
        command: how to prepare or download it.
    """

    def __init__(self, name: str, folder: str | Path, problem: str, tree: str, command: str):
        indented = "\n".join(f"  {line}" for line in tree.strip("\n").splitlines())
        super().__init__(
            f"Dataset {name}: {problem}\n"
            f"Looked in: {Path(folder).absolute()}\n"
            f"Expected there:\n{indented}\n"
            f"To get it: {command}\n"
            "(The environment variable DETECTRON2_DATASETS sets the root of all datasets, "
            "./datasets by default; see datasets/README.md.)"
        )
        self.name = name
        self.problem = problem


def resolve_inside(root: str | Path, name: str | Path) -> Path:
    """``root / name``, where ``name`` was read from a list or an index.

    Links in the folder are the user's own and may lead anywhere; a name may not.

    Raises:
        ValueError: the name points outside root.
    """
    root = os.path.abspath(root)
    path = os.path.abspath(os.path.join(root, name))
    if "\0" in path or os.path.commonpath((root, path)) != root:
        raise ValueError(f"'{name}' points outside {root}")
    return Path(path)


def image_size(file_name: str | Path) -> tuple[int, int]:
    """(height, width) from the header of an image file. Raises CorruptFrameError."""
    try:
        with Image.open(file_name) as image:
            return image.height, image.width
    # PIL.UnidentifiedImageError is an OSError; damaged headers raise nearly anything.
    except Exception as error:
        raise CorruptFrameError(file_name, f"is not a readable image: {error}") from error


def clip_record(
    file_name: str, frames: Iterable[FrameRef | Path], size: tuple[int, int], **optional
) -> dict:
    """A record as the mapper expects it; size is (height, width) of the frames."""
    return {
        "file_name": file_name,
        "frames": [str(frame) if isinstance(frame, Path) else frame for frame in frames],
        "height": size[0],
        "width": size[1],
        **optional,
    }
