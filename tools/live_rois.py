"""Datasets and models in, the rows of a grid of ROIs out (`make_figures.py rois --model ...`).

First the hardest places of all triplets are found, from the data alone: proposals of
zoo:rpn_R_18_FPN on the true frames, by the error of the average of the inputs. Only then do the
models see the triplets of those places.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import torch
from detectron2.structures import Boxes
from report import ShippedProposals
from torch import Tensor
from tqdm import tqdm

from zoomin_d2 import Interpolator
from zoomin_d2.data import build_interpolation_test_loader
from zoomin_d2.engine.setup import setup_cfg
from zoomin_d2.evaluation import BASELINES
from zoomin_d2.visualization import to_picture
from zoomin_d2.visualization.paper_figures import roi_row
from zoomin_d2.visualization.proposals import whole_pixels
from zoomin_d2.visualization.roi_grid import RoiRow
from zoomin_d2.visualization.roi_ranking import Place, RoiMetric, choose_places, rank_places

# (frame_1, frame_2 (N, 3, H, W) in [0, 1], t (N,)) -> frames
Method = Callable[[Tensor, Tensor, Tensor], Tensor]

MAX_SIDE = 160  # pixels; a larger proposal is a scene rather than an object to zoom into


def find_places(datasets: Sequence[str], num: int, per_scene: int) -> list[Place]:
    """The hardest ROIs of all triplets, one per triplet.

    Raises:
        MissingDatasetError: a dataset is not on disk.
        ValueError: there is no dataset of that name, or not one ROI of a usable size.
    """
    propose = ShippedProposals()
    places = [place for x in _samples(datasets) for place in _rank(x, propose(x["frame_t"]))]
    if not places:
        raise ValueError(f"no frame of {', '.join(datasets)} has a proposal of a usable size")
    return choose_places(places, num, per_scene=per_scene)


def live_teaser(
    datasets: Sequence[str], image: str, model: str, num: int, metrics: Mapping[str, RoiMetric]
) -> tuple[list[RoiRow], Boxes]:
    """The `num` hardest ROIs of one image, and all of its proposals (found on the true frame).

    Raises:
        ValueError: there is no such image, or it has no ROI of a usable size.
    """
    sample = next((x for x in _samples(datasets) if x["file_name"].endswith(image)), None)
    if sample is None:
        raise ValueError(f"no image of {', '.join(datasets)} is called '{image}'")
    boxes = ShippedProposals()(sample["frame_t"])
    places = choose_places(_rank(sample, boxes), num, per_image=num)
    if not places:
        raise ValueError(f"{image} has no proposal of a usable size")
    return _rows(sample, places, {model: Interpolator.from_pretrained(model)}, metrics), Boxes(
        boxes
    )


def _rank(sample: dict, boxes: Tensor) -> list[Place]:
    average, truth = _baseline("average", sample), to_picture(sample["frame_t"])
    whole = [whole_pixels(box, *truth.shape[:2]) for box in boxes.tolist()]
    return rank_places(sample["file_name"], whole, average, truth, max_side=MAX_SIDE)


def live_rows(
    datasets: Sequence[str],
    places: Sequence[Place],
    models: Sequence[str],
    metrics: Mapping[str, RoiMetric],
) -> list[RoiRow]:
    """The places' rows: truth, average, DIS flow, and every model.

    Args:
        models: names that ship, files of weights, or checkpoints.

    Raises:
        ValueError, OSError: a model cannot be read.
    """
    methods = {name: Interpolator.from_pretrained(name) for name in models}
    rows = {}
    for sample in _samples(datasets):
        chosen = [place for place in places if place.name == sample["file_name"]]
        if chosen:
            rows.update(zip(chosen, _rows(sample, chosen, methods, metrics)))
    return [rows[place] for place in places]


def _rows(
    sample: dict,
    places: Sequence[Place],
    methods: Mapping[str, Interpolator],
    metrics: Mapping[str, RoiMetric],
) -> list[RoiRow]:
    frames = {
        "truth": to_picture(sample["frame_t"]),
        "average": _baseline("average", sample),
        "DIS flow": _baseline("dis", sample),
    }
    for name, method in methods.items():
        frames[_column(name, method)] = to_picture(_interpolate(method, sample))
    return [roi_row(place, frames, metrics) for place in places]


def _samples(datasets: Sequence[str]) -> Iterator[dict]:
    cfg = setup_cfg("", ["DATALOADER.NUM_WORKERS", "0"])
    for dataset in datasets:
        for batch in tqdm(build_interpolation_test_loader(cfg, dataset), dataset, disable=None):
            yield from batch


def _baseline(name: str, sample: dict):
    return to_picture(_interpolate(BASELINES[name], sample))


def _interpolate(method: Method, sample: dict) -> Tensor:
    frames = [sample[key][None].float() / 255 for key in ("frame_1", "frame_2")]
    return method(*frames, torch.tensor([float(sample["t"])]))[0]


def _column(name: str, model: Interpolator) -> str:
    """What a checkpoint is called says less than its folder does."""
    path = Path(name)
    return path.parent.name if path.suffix == ".pth" and path.parent.name else model.name
