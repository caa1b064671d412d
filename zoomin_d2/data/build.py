"""A config in, data loaders out: an exactly resumable training stream, and test sets as triplets.

A sample of the training stream is a pure function of (SEED, its position in the stream). The number
of workers, prefetching and the number of processes change nothing (as long as the total batch,
SOLVER.IMS_PER_BATCH, stays the same), and a stream opened at start_position continues exactly
there. Only synthetic samples (INPUT.SYNTHETIC_FRACTION) also depend on their process's batch, whose
frames are their textures.
"""

import hashlib
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.utils.data as torchdata
from detectron2.config import CfgNode
from detectron2.data import (
    DatasetFromList,
    build_detection_test_loader,
    build_detection_train_loader,
)
from detectron2.utils import comm

from zoomin_d2.data.batching import (
    BatchLoader,
    CarryingMapper,
    WorkerLoader,
    collate_or_error,
)
from zoomin_d2.data.dataset_mapper import InterpolationDatasetMapper
from zoomin_d2.data.on_device.frames import CropPlanner, DeviceFrames, DeviceLoader, stack_plans
from zoomin_d2.data.stream_order import StreamOrder, positions
from zoomin_d2.data.synthetic_layers import NUM_DRAWS
from zoomin_d2.data.synthetic_samples import num_synthetic_samples, stack_with_synthetic
from zoomin_d2.data.training_sets import get_records, resolve_datasets
from zoomin_d2.frames import CorruptFrameError

logger = logging.getLogger(__name__)

# An unreadable record is replaced by another; this many failures in a row are no accident.
MAX_SKIPPED_IN_A_ROW = 100
SampleMaker = Callable[[dict, np.random.Generator], dict]  # from a record
TEST_TRIPLETS_PER_CLIP = 4


class TrainingStream(torchdata.IterableDataset):
    """The endless samples of one process; each worker makes its share of the batches.

    Detectron2 would hand each worker the positions of all workers, `batch size` times over, to pick
    its own from: with 25 workers that took longer than making the samples.

    A record with a corrupt frame is replaced by another one, chosen by (seed, position) alone;
    sample["num_skipped"] counts the unreadable records, and each bad file is logged once.

    Args:
        records: what samples are made from.
        make_sample: makes one sample.
        order: the order of the records.
        seed: the seed of everything that is drawn for a sample.
        start_position: see `positions`.
        batch_size: samples per batch of this process.
        num_draws: numbers in [0, 1) that each sample gets as "draws", drawn after all others.
    """

    def __init__(
        self,
        records: list[dict],
        make_sample: SampleMaker,
        order: StreamOrder,
        *,
        seed: int,
        start_position: int,
        batch_size: int,
        num_draws: int = 0,
    ):
        self._records = DatasetFromList(records, copy=False)
        self._make_sample = make_sample
        self._order = order
        self._seed = seed
        self._start_position = start_position
        self._batch_size = batch_size
        self._num_draws = num_draws
        self._process = comm.get_rank(), comm.get_world_size()
        self._logged_files: set[str] = set()

    def __iter__(self) -> Iterator[dict | CorruptFrameError]:
        info = torchdata.get_worker_info()
        worker = (info.id, info.num_workers) if info else (0, 1)
        mine = positions(self._start_position, self._batch_size, self._process, worker)
        return map(self._sample, mine)

    def _sample(self, position: int) -> dict | CorruptFrameError:
        """An error (see `collate_or_error`) if MAX_SKIPPED_IN_A_ROW records cannot be read."""
        index = self._order[position]
        for num_skipped in range(MAX_SKIPPED_IN_A_ROW):
            rng = np.random.default_rng([self._seed, position, num_skipped])
            if num_skipped:
                index = int(rng.integers(len(self._records)))
            try:
                sample = self._make_sample(self._records[index], rng)
            except CorruptFrameError as error:
                self._log_once(error)
                continue
            sample["num_skipped"] = num_skipped
            if self._num_draws:
                sample["draws"] = rng.random(self._num_draws, np.float32)
            return sample
        return CorruptFrameError(
            "the training data",
            f"{MAX_SKIPPED_IN_A_ROW} records in a row have frames that cannot be read: "
            "it is damaged, the disk is failing, or records have the wrong height, width, or "
            "hr_scale. The messages above name the files; prepare the dataset again "
            "(datasets/README.md)",
        )

    def _log_once(self, error: CorruptFrameError) -> None:
        if error.file_name not in self._logged_files:
            self._logged_files.add(error.file_name)
            logger.warning("Skipping a training record with a corrupt frame: %s", error)


def stream_seed(cfg: CfgNode) -> int:
    """The seed of the training stream: cfg.SEED, or if negative, one drawn for all processes.

    A drawn seed is logged. To resume such a run exactly, keep the seed and pass it to
    `build_interpolation_train_loader`.
    """
    if cfg.SEED >= 0:
        return cfg.SEED
    seed = comm.shared_random_seed()
    logger.info("SEED is negative: the training stream uses the random seed %d", seed)
    return seed


def build_interpolation_train_loader(
    cfg: CfgNode,
    start_position: int = 0,
    seed: int | None = None,
    frames: DeviceFrames | None = None,
) -> BatchLoader:
    """The endless training stream of cfg.DATASETS.TRAIN.

    In an epoch, a clip comes up once per triplet that it holds, so every frame counts equally.

    Args:
        cfg: DATASETS, INPUT, DATALOADER, SOLVER.IMS_PER_BATCH, SEED and MODEL.DEVICE are read.
        start_position: samples (over all processes) already used: on resume,
            iteration * SOLVER.IMS_PER_BATCH.
        seed: the stream's seed; None = `stream_seed(cfg)`.
        frames: the frames of an earlier loader of the same data, to reuse.

    Returns:
        An iterable of lists of IMS_PER_BATCH / world size samples (see the mapper). Its
        ``records_summary`` describes what it reads (see `summarize_records`); its ``frames`` are in
        the device's memory with DATALOADER.FRAMES_ON_DEVICE, else None.

    Raises:
        MissingDatasetError: a dataset is not on disk.
        ValueError: records do not fit cfg.INPUT (the message lists them), or
            INPUT.SYNTHETIC_FRACTION is outside [0, 1].
    """
    names = cfg.DATASETS.TRAIN or resolve_datasets(cfg).train
    records = [record for name in names for record in get_records(name)]
    mapper = InterpolationDatasetMapper(cfg, is_train=True)
    _check_records(records, mapper)
    seed = stream_seed(cfg) if seed is None else seed
    order = StreamOrder([_num_triplets(record) for record in records], seed)
    logger.info(
        "Training stream: %d clips, %d frames, %d samples per epoch; starts at sample %d",
        len(records),
        sum(len(record["frames"]) for record in records),
        order.epoch_size,
        start_position,
    )
    batch_size = cfg.SOLVER.IMS_PER_BATCH // comm.get_world_size()
    num_synthetic = num_synthetic_samples(cfg.INPUT.SYNTHETIC_FRACTION, batch_size)
    if cfg.INPUT.SYNTHETIC_FRACTION > 0:
        logger.info("Of %d samples in a batch, %d are synthetic", batch_size, num_synthetic)
    make_sample: SampleMaker = mapper
    collate: Callable[[list[dict]], Any] = partial(stack_with_synthetic, num_synthetic)
    if cfg.DATALOADER.FRAMES_ON_DEVICE:
        device = torch.device(cfg.MODEL.DEVICE)
        frames = frames or DeviceFrames(records, device, mapper.high_resolution)
        make_sample = CropPlanner(mapper, frames.locations)
        collate = partial(stack_plans, num_synthetic=num_synthetic)
    else:
        frames = None
    in_workers = build_detection_train_loader(
        TrainingStream(
            records,
            make_sample,
            order,
            seed=seed,
            start_position=start_position,
            batch_size=batch_size,
            num_draws=NUM_DRAWS if num_synthetic else 0,
        ),
        mapper=None,
        total_batch_size=cfg.SOLVER.IMS_PER_BATCH,
        aspect_ratio_grouping=False,
        num_workers=cfg.DATALOADER.NUM_WORKERS,
        collate_fn=partial(collate_or_error, collate),
        pin_memory=torch.cuda.is_available(),
    )
    loader: Iterable = WorkerLoader(in_workers)
    if frames is not None:
        loader = DeviceLoader(loader, frames, mapper)
    return BatchLoader(loader, summarize_records(records), frames)


def build_interpolation_test_loader(cfg: CfgNode, dataset_name: str) -> WorkerLoader[list[dict]]:
    """One dataset as triplets (t = 0.5), whole frames, one per batch, in order, each exactly once.

    Clips of more than three frames are cut into TEST_TRIPLETS_PER_CLIP triplets of neighboring
    frames, evenly spaced. A corrupt frame is an error here (CorruptFrameError), because a score of
    part of a test set is not a score of the set.

    Raises:
        MissingDatasetError: the dataset is not on disk.
        ValueError: there is no dataset by that name, it is empty, or it has records of fewer than
            three frames or of one name.
    """
    clips = get_records(dataset_name)
    short = [clip for clip in clips if len(clip["frames"]) < 3]
    if short:
        raise ValueError(
            f"{len(short)} of {len(clips)} records of {dataset_name} have fewer than three frames; "
            f"the first is {short[0]['file_name']} with {len(short[0]['frames'])}"
        )
    records = [triplet for clip in clips for triplet in cut_triplets(clip)]
    file_name, count = Counter(x["file_name"] for x in records).most_common(1)[0]
    if count > 1:
        raise ValueError(
            f"{count} records of {dataset_name} have the file_name '{file_name}': each needs "
            "its own, under which its results are stored"
        )
    loader = build_detection_test_loader(
        records,
        mapper=CarryingMapper(InterpolationDatasetMapper(cfg, is_train=False)),
        num_workers=cfg.DATALOADER.NUM_WORKERS,
        collate_fn=partial(collate_or_error, list),
    )
    return WorkerLoader(loader)


def cut_triplets(record: dict, num_triplets: int = TEST_TRIPLETS_PER_CLIP) -> list[dict]:
    """Evenly spaced triplets of neighboring frames of a clip, which share no frame."""
    num_frames = len(record["frames"])
    if num_frames == 3:
        return [record]
    num_triplets = min(num_triplets, num_frames // 3)
    # Cut the clip into equal parts and take the triplet in the middle of each.
    firsts = [(2 * part + 1) * num_frames // (2 * num_triplets) - 1 for part in range(num_triplets)]
    triplets = []
    for first in firsts:
        triplet = {**record, "frames": record["frames"][first : first + 3]}
        if "hr_frames" in record:
            triplet["hr_frames"] = record["hr_frames"][first : first + 3]
        triplet["file_name"] = f"{record['file_name']}/{first}"
        triplets.append(triplet)
    return triplets


def summarize_records(records: Sequence[dict]) -> dict:
    """Number of clips and frames, and a fingerprint of their names, lengths and sizes, in order.

    Two lists with the same fingerprint give the same stream of samples (pixels are not read).
    """
    digest = hashlib.sha256()
    for record in records:
        size = (len(record["frames"]), record["height"], record["width"])
        digest.update(f"{record['file_name']}\\0{size}\\0{'hr_frames' in record}\\n".encode())
    return {
        "clips": len(records),
        "frames": sum(len(record["frames"]) for record in records),
        "fingerprint": digest.hexdigest(),
    }


def _num_triplets(record: dict) -> int:
    return len(record["frames"]) - 2


def _check_records(records: list[dict], mapper: InterpolationDatasetMapper) -> None:
    problems = [
        f"{record['file_name']}: {problem}"
        for record in records
        if (problem := mapper.problem_with(record)) is not None
    ]
    if problems:
        shown = "\n  ".join(problems[:10])
        more = f"\n  ... and {len(problems) - 10} more" if len(problems) > 10 else ""
        raise ValueError(
            f"{len(problems)} of {len(records)} training clips do not fit the settings:\n"
            f"  {shown}{more}\nChange the INPUT.* keys named, or the dataset."
        )
