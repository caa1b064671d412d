"""The 12 Middlebury OTHER triplets with interpolation truth as records."""

from pathlib import Path

from zoomin_d2.data.datasets.records import MissingDatasetError, clip_record, image_size

NUM_SCENES = 12
TREE = """
<Scene>/        12 folders: Beanbags ... Walking
    frame10.png     first frame
    frame10i11.png  the frame in the middle (the truth)
    frame11.png     last frame
"""
COMMAND = (
    "download other-color-twoframes.zip and other-gt-interp.zip from "
    "https://vision.middlebury.edu/flow/data/ and put the files of both into one folder per scene."
)


def load_middlebury_other(folder: str | Path) -> list[dict]:
    """The triplets by scene name.

    Raises:
        MissingDatasetError: not exactly 12 scenes, or a frame is missing.
    """
    folder = Path(folder)
    name = "middlebury_other"
    scenes = sorted(path.parent for path in folder.glob("*/frame10i11.png"))
    if len(scenes) != NUM_SCENES:
        problem = f"found {len(scenes)} scenes with frame10i11.png, expected {NUM_SCENES}."
        raise MissingDatasetError(name, folder, problem, TREE, COMMAND)
    records = []
    for scene in scenes:
        frames = [scene / n for n in ("frame10.png", "frame10i11.png", "frame11.png")]
        for frame in frames:
            if not frame.is_file():
                problem = f"{frame.relative_to(folder)} is missing."
                raise MissingDatasetError(name, folder, problem, TREE, COMMAND)
        records.append(clip_record(f"{name}/{scene.name}", map(str, frames), image_size(frames[1])))
    return records
