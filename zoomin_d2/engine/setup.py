"""Command line in, a frozen config out: device, data and output folder decided and recorded."""

import argparse
import logging
import os
import sys
import warnings

import detectron2.utils.comm as comm
import torch
from detectron2.config import CfgNode, get_cfg
from detectron2.engine import default_setup
from detectron2.utils.file_io import PathManager
from detectron2.utils.logger import setup_logger

from zoomin_d2.config import get_zoomin_cfg
from zoomin_d2.data import MissingDatasetError, resolve_datasets
from zoomin_d2.engine.resilience.provenance import (
    collect_provenance,
    read_provenance,
    write_provenance,
)
from zoomin_d2.engine.resilience.run_record import config_record
from zoomin_d2.files import lock_folder
from zoomin_d2.generators import GENERATORS

logger = logging.getLogger(__name__)

# Of Detectron2's own keys, those that do something here.
_READ_KEYS = (
    *("VERSION", "SEED", "OUTPUT_DIR", "VIS_PERIOD", "CUDNN_BENCHMARK", "FLOAT32_PRECISION"),
    *("MODEL.DEVICE", "MODEL.META_ARCHITECTURE", "MODEL.WEIGHTS", "DATALOADER.NUM_WORKERS"),
    *("DATASETS.TRAIN", "DATASETS.TEST", "TEST.EVAL_PERIOD", "TEST.EXPECTED_RESULTS"),
    *("SOLVER.IMS_PER_BATCH", "SOLVER.REFERENCE_WORLD_SIZE", "SOLVER.MAX_ITER"),
    *("SOLVER.BASE_LR", "SOLVER.BASE_LR_END", "SOLVER.LR_SCHEDULER_NAME", "SOLVER.STEPS"),
    *("SOLVER.GAMMA", "SOLVER.NUM_DECAYS", "SOLVER.RESCALE_INTERVAL", "SOLVER.WEIGHT_DECAY"),
    *("SOLVER.CHECKPOINT_PERIOD", "SOLVER.AMP.ENABLED"),
    *("SOLVER.WARMUP_FACTOR", "SOLVER.WARMUP_ITERS", "SOLVER.WARMUP_METHOD"),
    *(f"SOLVER.CLIP_GRADIENTS.{x}" for x in ("ENABLED", "CLIP_TYPE", "CLIP_VALUE", "NORM_TYPE")),
)


def setup_cfg(config_file: str, overrides: list[str]) -> CfgNode:
    """A config from a file and "KEY VALUE" overrides, on a device that exists.

    Raises:
        FileNotFoundError: if there is no such file, or no weights where MODEL.WEIGHTS says.
        ValueError: if the file or an override does not fit, or a number makes no sense.
    """
    cfg = get_zoomin_cfg()
    if config_file:
        if not os.path.isfile(config_file):
            raise FileNotFoundError(f"there is no config file '{config_file}'")
        try:
            # Detectron2's default runs tags of the file as code.
            cfg.merge_from_file(config_file, allow_unsafe=False)
        # yacs and yaml say in many ways that a file does not fit.
        except Exception as error:
            raise ValueError(
                f"the config file '{config_file}' cannot be used: {type(error).__name__}: {error}"
            ) from error
    _check_pairs(overrides)
    try:
        cfg.merge_from_list(overrides)
    except (AssertionError, KeyError) as error:  # yacs' way to say so
        raise ValueError(f"the overrides {overrides} do not fit the config: {error}") from error
    empty = _empty_keys(cfg, get_zoomin_cfg())
    if empty:
        raise ValueError(
            f"the config leaves {', '.join(empty)} empty (null), but a value is needed"
        )
    if cfg.MODEL.GENERATOR.NAME not in GENERATORS:
        raise ValueError(
            f"MODEL.GENERATOR.NAME is '{cfg.MODEL.GENERATOR.NAME}', there are: "
            f"{', '.join(sorted(GENERATORS))}"
        )
    _check_numbers(cfg)
    weights = cfg.MODEL.WEIGHTS
    if weights and (os.path.isdir(weights) or not PathManager.exists(weights)):
        raise FileNotFoundError(f"there is no file '{weights}' (MODEL.WEIGHTS)")
    # More loader processes than cores only get in each other's way.
    cfg.DATALOADER.NUM_WORKERS = min(cfg.DATALOADER.NUM_WORKERS, os.cpu_count() or 1)
    if cfg.MODEL.DEVICE.startswith("cuda") and not torch.cuda.is_available():
        cfg.MODEL.DEVICE = "cpu"  # `provenance` and the log say which device it was
    return cfg


def _check_pairs(overrides: list[str]) -> None:
    """argparse takes all that follows the first KEY for overrides, options too."""
    late = [x for x in overrides if isinstance(x, str) and x.startswith("--")]
    if late:
        raise ValueError(
            f"'{late[0]}' stands after KEY VALUE overrides: options go before the first KEY"
        )
    if len(overrides) % 2:
        raise ValueError(f"of the overrides KEY VALUE ..., '{overrides[-1]}' has no value")


def _empty_keys(cfg: CfgNode, defaults: CfgNode, prefix: str = "") -> list[str]:
    """Keys without a value where the default has one: yacs lets null replace anything."""
    empty = []
    for key, default in defaults.items():
        value = cfg.get(key)
        if value is None and default is not None:
            empty.append(prefix + key)
        elif isinstance(default, CfgNode):
            empty += _empty_keys(value, default, f"{prefix}{key}.")
    return empty


def _check_numbers(cfg: CfgNode) -> None:
    """Numbers that would fail later, in words that do not name their key."""
    least = {
        1: {
            "SOLVER.IMS_PER_BATCH": cfg.SOLVER.IMS_PER_BATCH,
            "SOLVER.CHECKPOINT_PERIOD": cfg.SOLVER.CHECKPOINT_PERIOD,
            "SOLVER.METRIC_PERIOD": cfg.SOLVER.METRIC_PERIOD,
            "SOLVER.MAX_ITER": cfg.SOLVER.MAX_ITER,
        },
        0: {
            "DATALOADER.NUM_WORKERS": cfg.DATALOADER.NUM_WORKERS,
            "TEST.EVAL_PERIOD": cfg.TEST.EVAL_PERIOD,
            "VIS_PERIOD": cfg.VIS_PERIOD,
        },
    }
    for bound, values in least.items():
        for key, value in values.items():
            if not value >= bound:  # nan is not, either
                raise ValueError(f"{key} is {value}: it must be at least {bound}")
    if not cfg.SOLVER.BASE_LR > 0:
        raise ValueError(f"SOLVER.BASE_LR is {cfg.SOLVER.BASE_LR}: it must be more than 0")
    size = cfg.INPUT.CROP_SIZE
    if len(size) != 2 or not all(isinstance(side, int) and side > 0 for side in size):
        raise ValueError(f"INPUT.CROP_SIZE is {size}: give [height, width] in pixels")


def unread_keys(cfg: CfgNode) -> list[str]:
    """Keys of Detectron2 that were set to something and mean nothing here."""
    defaults = config_record(get_cfg())
    return [
        key
        for key, value in config_record(cfg).items()
        if value != defaults.get(key, value) and key not in _READ_KEYS
    ]


def _hold_output_dir(folder: str) -> None:
    try:
        is_ours = lock_folder(folder)
    except OSError as error:
        raise ValueError(f"OUTPUT_DIR '{folder}' cannot be written to: {error}") from error
    if not is_ours:
        raise ValueError(
            f"another run is training in OUTPUT_DIR '{folder}': wait for it, or give another"
        )


def make_deterministic(cfg: CfgNode) -> None:
    """Only algorithms that give the same bits every time.

    On a CPU that holds for everything here, with one number of threads (OMP_NUM_THREADS). On a GPU
    the gradients of warping (grid_sample) and of ROIAlign add up in no fixed order, and there is no
    other algorithm: torch warns of the first; of the second, Detectron2's own, it does not know.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.backends.cudnn.benchmark = False
    torch.use_deterministic_algorithms(True, warn_only=cfg.MODEL.DEVICE != "cpu")


def setup_run(args: argparse.Namespace) -> CfgNode:
    """Config of a training or evaluation run; says first what it will use for data.

    Args:
        args: of Detectron2's `default_argument_parser`; ``deterministic`` is optional.

    Raises:
        SystemExit: if the config, its weights, its data or its output folder are not there, or
            another run writes to that folder; with what to do.
    """
    try:
        cfg = setup_cfg(args.config_file, args.opts)
        if getattr(args, "deterministic", False) and cfg.SEED < 0:
            raise ValueError("--deterministic needs a SEED, 0 or more, to begin from")
        resolved = resolve_datasets(cfg, eval_only=args.eval_only)
        if comm.is_main_process() and not args.eval_only:
            _hold_output_dir(cfg.OUTPUT_DIR)
    except (ValueError, FileNotFoundError, MissingDatasetError) as error:
        sys.exit(f"{os.path.basename(sys.argv[0])}: {error}")  # the user's to mend: no traceback
    cfg.DATASETS.TRAIN = tuple(resolved.train)
    cfg.DATASETS.TEST = tuple(resolved.test)
    if comm.is_main_process():
        print(resolved.sentence, flush=True)
    cfg.freeze()
    # Detectron2's anchors, nothing that a user could do anything about.
    warnings.filterwarnings("ignore", message="torch.meshgrid")
    default_setup(cfg, args)
    if getattr(args, "deterministic", False):
        make_deterministic(cfg)
    setup_logger(cfg.OUTPUT_DIR, distributed_rank=comm.get_rank(), name="zoomin_d2")
    logger.info(resolved.sentence)
    if unread := unread_keys(cfg):
        logger.warning(
            "Nothing here reads %s: Detectron2 has it for detectors. What there is instead: "
            "zoomin_d2/config.py; the frozen detector's keys: MODEL.FROZEN_RPN.CONFIG_FILE",
            ", ".join(unread),
        )
    if cfg.MODEL.DEVICE == "cpu" and not torch.cuda.is_available():
        logger.warning("No GPU is used: the recipes' batches and schedules are made for one")
    # An evaluation leaves alone what its folder says of the training.
    if comm.is_main_process() and not args.eval_only:
        provenance = collect_provenance(cfg, resolved.sentence)
        if getattr(args, "resume", False):
            earlier = read_provenance(cfg.OUTPUT_DIR).get("run_id")
            provenance["run_id"] = earlier or provenance["run_id"]
        write_provenance(cfg.OUTPUT_DIR, provenance)
    comm.synchronize()
    return cfg
