"""A dataset of your own: a function that returns one record per triplet or clip, and its name.

Here: folders <root>/<scene>/ with numbered frames; every three neighbors make a triplet.
"""

import os
from functools import partial
from pathlib import Path

from detectron2.data import DatasetCatalog, MetadataCatalog
from natsort import natsorted

from zoomin_d2.data.datasets.records import clip_record, image_size


def load_my_frames(root: str) -> list[dict]:
    records = []
    for scene in sorted(Path(root).iterdir()):
        frames = natsorted(scene.glob("*.png"))  # 2.png comes before 10.png
        for k in range(len(frames) - 2):
            name = f"my_frames/{scene.name}/{k}"  # unique: results are stored under this name
            records.append(clip_record(name, frames[k : k + 3], image_size(frames[0])))
    return records


def register(root: str | None = None) -> None:
    root = root or os.path.join(os.getenv("DETECTRON2_DATASETS", "datasets"), "my_frames")
    DatasetCatalog.register("my_frames", partial(load_my_frames, root))
    MetadataCatalog.get("my_frames").set(evaluator_type="interpolation")


# DATASETS.TRAIN "('my_frames',)" now works wherever this module has been imported and register()
# called. In the package: a file in zoomin_d2/data/datasets/, and a line in builtin.py's table.
