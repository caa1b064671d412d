"""UCF101 videos as records for training: four random triplets of every clip.

The number is the paper's (section 3.5). The choice depends on the clip's name and a seed, not on
the order of files on disk. Only triplets without a cut, a repeated frame or a still stretch are
candidates (shot_analysis.py). Clips have 25 frames/s (some 29.97), so a triplet of neighboring
frames lasts the paper's 80 ms.

UCF101 frames are 320x240, and a 256x256 crop (also the paper's) does not fit into 240 rows. By
default the frames are therefore enlarged to a short side of 256 (341x256, bicubic). The test
triplets (ucf101_interp.py) are also UCF101 frames enlarged to 256 rows.
"""

import zlib
from pathlib import Path

import cv2
import numpy as np

from zoomin_d2.data.datasets.prepared_clips import load_prepared_clips
from zoomin_d2.data.datasets.records import MissingDatasetError, resolve_inside
from zoomin_d2.data.packing import (
    make_index,
    require_disk_space,
    run_jobs,
    write_shot,
)
from zoomin_d2.data.prepared_set import PreparedSet
from zoomin_d2.data.shot_analysis import analyse_video
from zoomin_d2.data.video_file import iter_frames
from zoomin_d2.frames import CorruptFrameError

TRIPLETS_PER_CLIP = 4
SHORT_SIDE = 256
VIDEO_TREE = """
UCF-101/<Class>/v_<Class>_gXX_cXX.avi
ucfTrainTestlist/trainlist01.txt    (02, 03)
"""
PREPARE = "python datasets/prepare_ucf101.py"


def load_ucf101(folder: str | Path, split: str) -> list[dict]:
    """The prepared triplets of split "train" (folder/triplets_train).

    Raises:
        MissingDatasetError: not prepared, or incomplete.
    """
    return load_prepared_clips(Path(folder) / f"triplets_{split}", f"ucf101_{split}", PREPARE)


def prepare_ucf101(
    folder: str | Path,
    list_number: int = 1,
    short_side: int = SHORT_SIDE,
    seed: int = 0,
    num_workers: int = 1,
    show_progress: bool = True,
    overwrite: bool = True,
) -> dict:
    """Pack the training triplets of an official split file into folder/triplets_train.

    Args:
        overwrite: replace a set with another list, size or seed once this one is complete.

    Returns:
        The index; its counts say what was skipped.

    Raises:
        MissingDatasetError: the videos or the split file are missing.
        FileExistsError: not overwrite, and a set with another list, size or seed exists.
        OSError: too little disk space, or another run is preparing the set.
    """
    folder = Path(folder)
    destination = folder / "triplets_train"
    clips = read_split(folder, list_number)
    source = f"UCF101, trainlist{list_number:02d}, seed {seed}, short side {short_side}"
    prepared = PreparedSet(destination, {"source": source}, overwrite)
    frame_bytes = short_side * round(short_side * 4 / 3) * 3
    require_disk_space(
        destination,
        len(clips) * TRIPLETS_PER_CLIP * 3 * frame_bytes,
        "Free some space or set a smaller --short-side.",
    )
    jobs = [
        (_prepare_clip, (folder / "UCF-101" / clip, prepared.folder / "shots", short_side, seed))
        for clip in clips
    ]
    entries = run_jobs(jobs, num_workers, "clips", show_progress)
    return prepared.finish(make_index("ucf101_train", entries, {"source": source}))


def read_split(folder: Path, list_number: int) -> list[str]:
    """Clips "<Class>/v_....avi" of an official training list, sorted.

    Raises:
        MissingDatasetError: the list or a clip of it is missing.
    """
    list_name = f"ucfTrainTestlist/trainlist{list_number:02d}.txt"
    command = (
        "download and unpack UCF101 and its splits from https://www.crcv.ucf.edu/data/UCF101.php, "
        f"then run: {PREPARE}"
    )

    def missing(problem: str) -> MissingDatasetError:
        return MissingDatasetError("ucf101_train", folder, problem, VIDEO_TREE, command)

    if not (folder / list_name).is_file():
        raise missing(f"{list_name} is missing.")
    lines = (folder / list_name).read_text(errors="replace").splitlines()
    clips = sorted(line.split()[0] for line in lines if line.strip())
    try:
        for clip in clips:
            resolve_inside(folder / "UCF-101", clip)
    except ValueError as error:
        raise missing(f"{list_name} is damaged: {error}.") from error
    absent = [clip for clip in clips if not (folder / "UCF-101" / clip).is_file()]
    if absent:
        raise missing(
            f"{len(absent)} of {len(clips)} clips of {list_name} are missing, "
            f"the first is UCF-101/{absent[0]}."
        )
    return clips


def choose_triplets(
    shots: list[list[tuple[int, int]]], clip_name: str, seed: int, number: int = TRIPLETS_PER_CLIP
) -> list[int]:
    """First frames of up to `number` different triplets, drawn from the runs of a clip."""
    firsts = [i for runs in shots for first, end in runs for i in range(first, end - 2)]
    rng = np.random.default_rng([seed, zlib.crc32(clip_name.encode())])
    return sorted(rng.permutation(firsts)[:number].tolist())


def _prepare_clip(video: Path, destination: Path, short_side: int, seed: int) -> dict:
    try:
        analysis = analyse_video(video)
        firsts = choose_triplets(analysis.shots, video.stem, seed)
        counts = {"triplets": len(firsts), "clips_without_triplet": int(not firsts)}
        if not firsts:
            return {"shots": [], "counts": counts}
        wanted = {first + i for first in firsts for i in range(3)}
        frames = {
            index: _resize(image, short_side)
            for index, (image, _) in enumerate(iter_frames(video))
            if index in wanted
        }
        path = destination / f"{video.stem}.npy"
        ordered = (frames[first + i] for first in firsts for i in range(3))
        height, width = write_shot(path, ordered, 3 * len(firsts))
    except CorruptFrameError as error:
        return {"corrupt": {"file": str(video), "reason": error.reason}}
    shot = {
        "file_name": video.stem,
        "file": f"shots/{path.name}",
        "runs": [(3 * i, 3 * i + 3) for i in range(len(firsts))],
        "height": height,
        "width": width,
        "fps": analysis.fps,
    }
    return {"shots": [shot], "counts": counts}


def _resize(image: np.ndarray, short_side: int) -> np.ndarray:
    factor = short_side / min(image.shape[:2])
    if factor == 1:
        return image
    size = (round(image.shape[1] * factor), round(image.shape[0] * factor))
    return cv2.resize(image, size, interpolation=cv2.INTER_CUBIC if factor > 1 else cv2.INTER_AREA)
