"""A folder of video files in, a prepared folder out that training reads at memory speed.

NAME/index.json          everything the loader needs, and counts of what was left out
NAME/shots/VIDEO_000.npy uint8 (T, H, W, 3) RGB, the usable frames of one shot
NAME/shots/VIDEO_000_hr.npy  the same frames at hr_scale times the size, if requested
NAME/videos/VIDEO.json   one finished video; lets a second run resume the first
(A set that has replaced another one has its shots/ and videos/ in NAME/set_XXXXXXXX/.)
"""

import hashlib
import json
import logging
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from zoomin_d2.data.packing import (
    box_average,
    crop_to_multiple,
    make_index,
    require_disk_space,
    run_jobs,
    write_shot,
)
from zoomin_d2.data.prepared_set import PreparedSet
from zoomin_d2.data.shot_analysis import analyse_video
from zoomin_d2.data.video_file import VideoFile, iter_frames, probe_video
from zoomin_d2.files import write_json
from zoomin_d2.frames import VIDEO_SUFFIXES, CorruptFrameError

logger = logging.getLogger(__name__)

MAX_KEY = 200  # bytes; file systems allow names of 255, and ours get suffixes


@dataclass(frozen=True)
class PackOptions:
    """How videos are packed.

    Attributes:
        short_side: frames larger than this are shrunk (area averaging) until their short side has
            this many pixels; None keeps their size.
        hr_scale: 0, or S: the frames of this size become the high-resolution partners, and the
            low-resolution frames are their exact S x S box averages (cropped to a multiple of S).
            short_side then refers to the low-resolution frames.
        pack: False writes the index only; frames are then read from the video files themselves.
    """

    short_side: int | None = None
    hr_scale: int = 0
    pack: bool = True

    def __post_init__(self):
        if self.hr_scale == 1 or self.hr_scale < 0:
            raise ValueError(f"hr_scale is {self.hr_scale}: it must be 0 (none) or at least 2")
        if self.short_side is not None and self.short_side < 16:
            raise ValueError(f"short_side is {self.short_side}: it must be at least 16 pixels")
        if not self.pack and (self.short_side is not None or self.hr_scale):
            raise ValueError("without packing (--index-only), remove --short-side and --hr-scale")

    def resize(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """A source frame in; the low-resolution frame and its partner (or None) out."""
        factor = self.hr_scale or 1
        height, width = image.shape[:2]
        if self.short_side is not None:
            shrink = self.short_side * factor / min(height, width)
            if shrink < 1:
                size = (round(width * shrink), round(height * shrink))
                image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        if not self.hr_scale:
            return image, None
        partner = crop_to_multiple(image, factor)
        return box_average(partner, factor), partner


def prepare_video_folder(
    source: str | Path,
    destination: str | Path,
    options: PackOptions | None = None,
    num_workers: int = 1,
    show_progress: bool = True,
    overwrite: bool = True,
) -> dict:
    """Prepare every video file under `source` (searched recursively) into `destination`.

    A corrupt video is skipped, counted and listed in the index. A video that was already prepared
    with the same options is not read again. An existing set stays whole until the new one is
    complete (see `PreparedSet`).

    Args:
        overwrite: replace a set made from another source or with other options.

    Returns:
        The index, as written to destination/index.json.

    Raises:
        FileNotFoundError: no video files under source.
        FileExistsError: not overwrite, and destination holds another set.
        OSError: too little disk space (checked first), writing failed, or another run is using
            destination.
        CorruptFrameError: no video yields a usable run of frames.
    """
    source, destination = Path(source), Path(destination)
    options = options or PackOptions()
    found = (path for path in source.rglob("*") if path.suffix.lower() in VIDEO_SUFFIXES)
    videos = sorted(path for path in found if not path.is_dir())
    if not source.is_dir():
        what = "is a file, not a folder" if source.is_file() else "is not there"
        raise FileNotFoundError(f"{source} {what}. Give a folder of videos.")
    if not videos:
        raise FileNotFoundError(
            f"No video files ({', '.join(VIDEO_SUFFIXES)}) in {source}. Give a folder of videos."
        )
    made_from = {"source": str(source.resolve()), "options": asdict(options)}
    prepared = PreparedSet(destination, made_from, overwrite)
    folder = prepared.folder
    (folder / "videos").mkdir(exist_ok=True)
    for leftover in destination.rglob("*.part"):
        leftover.unlink()

    keys = _video_keys(videos, source)
    done: dict[Path, dict] = {}
    for video in videos:
        entry = _finished_entry(video, keys[video], folder, options)
        if entry is not None:
            done[video] = entry
    todo = [video for video in videos if video not in done]
    if done:
        logger.info("%d of %d videos are already prepared", len(done), len(videos))
    if options.pack:
        _check_disk_space(todo, folder, options)
    jobs = [(prepare_video, (video, source, folder, options, keys[video])) for video in todo]
    entries = run_jobs(jobs, num_workers, "videos", show_progress)
    done.update(zip(todo, entries))
    index = make_index(destination.name, [done[video] for video in videos], made_from)
    if not index["shots"]:
        problems = "; ".join(item["reason"] for item in index["corrupt_videos"][:3])
        raise CorruptFrameError(
            source,
            f"none of the {len(videos)} videos has three usable frames in a row: "
            f"{index['counts']} {problems}",
        )
    return prepared.finish(index)


def _video_keys(videos: list[Path], source: Path) -> dict[Path, str]:
    """A name for the files of each video. Names that would clash, and names too long for a file
    system, get a hash of the path."""
    keys = {video: _video_key(video, source) for video in videos}
    counts = Counter(keys.values())
    for video, key in keys.items():
        if counts[key] > 1 or len(key.encode()) > MAX_KEY:
            key = key.encode()[:MAX_KEY].decode(errors="ignore")
            path = os.fsencode(video.relative_to(source))
            keys[video] = f"{key}_{hashlib.sha256(path).hexdigest()[:8]}"
    return keys


def _video_key(video: Path, source: Path) -> str:
    key = "__".join(video.relative_to(source).parts).replace(".", "_")
    # A file's name is bytes; the name in a dataset's record is text.
    return os.fsencode(key).decode(errors="replace")


def _signature(video: Path, options: PackOptions) -> dict:
    stat = video.stat()
    return {"size": stat.st_size, "mtime": int(stat.st_mtime), "options": asdict(options)}


def _finished_entry(video: Path, key: str, destination: Path, options: PackOptions) -> dict | None:
    if not video.is_file():  # waiting for a pipe's writer would take forever
        return {"corrupt": _corrupt(video, "is not a file, or is a broken link")}
    path = destination / "videos" / f"{key}.json"
    if not path.exists():
        return None
    entry = json.loads(path.read_text())
    if entry["signature"] != _signature(video, options) or "corrupt" in entry:
        return None
    files = [shot[key] for shot in entry["shots"] for key in ("file", "hr_file") if key in shot]
    return entry if all((destination / file).exists() for file in files) else None


def _check_disk_space(videos: list[Path], destination: Path, options: PackOptions) -> None:
    total = 0
    for video in videos:
        try:
            info = probe_video(video)
            low, partner = options.resize(np.zeros((info.height, info.width, 3), np.uint8))
        except (CorruptFrameError, ValueError):
            continue  # counted when it is prepared
        total += info.num_frames * (low.size + (partner.size if partner is not None else 0))
    advice = "Free some space, or set --root on another disk, a smaller --short-side, --index-only."
    require_disk_space(destination, total, advice)


def prepare_video(
    video: Path, source: Path, destination: Path, options: PackOptions, key: str | None = None
) -> dict:
    """Analyze and pack one video; never raises for a corrupt one. `key` names its files."""
    key = key or _video_key(video, source)
    entry: dict = {"signature": _signature(video, options)}
    try:
        analysis = analyse_video(video)
        pack = _pack_shots if options.pack else _index_shots
        shots = pack(video, analysis.shots, destination / "shots" / key, options)
        for shot in shots:
            shot["file_name"] = f"{key}/{shot['file_name']}"
            shot["fps"] = analysis.fps
        entry.update(shots=shots, counts=analysis.counts)
    except CorruptFrameError as error:
        entry["corrupt"] = _corrupt(video, error.reason)
    except ValueError as error:  # frames too small for the options
        entry["corrupt"] = _corrupt(video, str(error))
    write_json(destination / "videos" / f"{key}.json", entry)
    return entry


def _corrupt(video: Path, reason: str) -> dict:
    return {"file": os.fsencode(video).decode(errors="replace"), "reason": reason}


def _pack_shots(video: Path, shots: list, prefix: Path, options: PackOptions) -> list[dict]:
    entries = []
    source_frames = enumerate(frame.image for frame in iter_frames(video))
    for number, runs in enumerate(shots):
        path = prefix.with_name(f"{prefix.name}_{number:03d}.npy")
        num_frames = sum(end - first for first, end in runs)
        wanted = _frames_of(source_frames, runs)
        entry: dict[str, Any] = {"file_name": f"{number:03d}", "file": f"shots/{path.name}"}
        if options.hr_scale:
            hr_path = path.with_name(f"{path.stem}_hr.npy")
            low_frames: list[np.ndarray] = []

            def partners(wanted=wanted, low_frames=low_frames):
                for image in wanted:
                    low, partner = options.resize(image)
                    low_frames.append(low)
                    yield partner

            write_shot(hr_path, partners(), num_frames)
            size = write_shot(path, iter(low_frames), num_frames)
            entry.update(hr_file=f"shots/{hr_path.name}", hr_scale=options.hr_scale)
        else:
            size = write_shot(path, (options.resize(image)[0] for image in wanted), num_frames)
        # The positions of the runs in the packed file.
        ends = np.cumsum([end - first for first, end in runs]).tolist()
        entry["runs"] = list(zip([0, *ends[:-1]], ends))
        entry.update(height=size[0], width=size[1])
        entries.append(entry)
    return entries


def _frames_of(source_frames: Iterator, runs: list[tuple[int, int]]) -> Iterator[np.ndarray]:
    """The frames of the runs; reads the source no further than the last of them."""
    last = runs[-1][1] - 1
    for index, image in source_frames:
        if any(first <= index < end for first, end in runs):
            yield image
        if index == last:
            return


def _index_shots(video: Path, shots: list, prefix: Path, options: PackOptions) -> list[dict]:
    info = probe_video(video)
    VideoFile(video).close()  # raises if its frames cannot be read one by one
    return [
        {
            "file_name": f"{number:03d}",
            "file": str(video.resolve()),
            "runs": runs,
            "height": info.height,
            "width": info.width,
        }
        for number, runs in enumerate(shots)
    ]
