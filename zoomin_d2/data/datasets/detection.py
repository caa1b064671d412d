"""Photos with boxes for training and judging proposal networks: COCO json -> Detectron2 records.

Expects `<root>/voc07/{images/, voc07_train.json, voc07_holdout.json}`; records are Detectron2's
standard detection dicts (absolute boxes, XYWH), with the extra annotation key `difficult`.
"""

import os

from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.datasets import load_coco_json

# name -> (json, folder of the json's file names), both relative to the root
_PREDEFINED_SPLITS = {
    "voc07_rpn_train": ("voc07/voc07_train.json", "voc07"),
    "voc07_rpn_holdout": ("voc07/voc07_holdout.json", "voc07"),
}


def load_detection_json(json_file: str, image_root: str) -> list[dict]:
    """Read a COCO-style json into Detectron2 detection records, keeping `difficult`.

    Raises:
        FileNotFoundError: the json does not exist; the message names its path.
    """
    if not os.path.isfile(json_file):
        raise FileNotFoundError(
            f"{json_file} does not exist. Set $DETECTRON2_DATASETS to the folder that holds "
            "voc07/ (see datasets/README.md)."
        )
    return load_coco_json(json_file, image_root, extra_annotation_keys=["difficult"])


def register_all_detection(root: str) -> None:
    """Register the detection sets under `root`; names already taken stay unchanged."""
    for name, (json_file, image_root) in _PREDEFINED_SPLITS.items():
        if name in DatasetCatalog:
            continue
        json_file = os.path.join(root, json_file)
        image_root = os.path.join(root, image_root)
        # Defaults bind this iteration's paths.
        DatasetCatalog.register(name, lambda j=json_file, r=image_root: load_detection_json(j, r))
        MetadataCatalog.get(name).set(
            json_file=json_file, image_root=image_root, evaluator_type="proposals"
        )
