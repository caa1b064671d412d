"""Command line in, a frozen config out: device, data and output folder decided and recorded."""

import argparse
import logging
import os
import re
import warnings

import detectron2.utils.comm as comm
import torch
from detectron2.config import CfgNode, get_cfg
from detectron2.engine import default_setup
from detectron2.utils.file_io import PathManager
from detectron2.utils.logger import setup_logger

from zoomin_d2.config import get_zoomin_cfg
from zoomin_d2.data import MissingDatasetError, resolve_datasets
from zoomin_d2.engine.config_ranges import RANGES, check_ranges, value_of
from zoomin_d2.engine.resilience.provenance import begin_provenance, keep_record
from zoomin_d2.engine.resilience.run_record import config_record
from zoomin_d2.files import lock_folder
from zoomin_d2.model_zoo.catalog import available
from zoomin_d2.modeling.zoo_paths import get_config_path
from zoomin_d2.user_errors import UserError, users_mistake

logger = logging.getLogger(__name__)


def setup_cfg(config_file: str, overrides: list[str]) -> CfgNode:
    """A config from a file and "KEY VALUE" overrides, on a device that exists.

    Raises:
        FileNotFoundError: if the config file, or a file in *.WEIGHTS, does not exist. (A teacher's
            is needed for training alone: `setup_run` checks it.)
        ValueError: if the file or an override is invalid, or a value is out of range.
    """
    cfg = get_zoomin_cfg()
    if config_file:
        if config_file.endswith(".py"):
            raise ValueError(
                f"the config file '{config_file}': LazyConfigs are not read, only YAML"
            )
        path = get_config_path(config_file)
        try:
            # Detectron2's default runs tags of the file as code.
            cfg.merge_from_file(path, allow_unsafe=False)
        # yacs and yaml have many ways to reject a file.
        except Exception as error:
            raise ValueError(f"the config file '{config_file}': {_why_unfit(error)}") from error
    _check_pairs(overrides)
    for pair in zip(overrides[::2], overrides[1::2]):
        try:
            cfg.merge_from_list(pair)
        except (AssertionError, KeyError, ValueError) as error:  # yacs's ways to reject one
            raise ValueError(f"the override {' '.join(map(str, pair))}: {_why_unfit(error)}") from (
                error
            )
    empty = _empty_keys(cfg, get_zoomin_cfg())
    if empty:
        raise ValueError(
            f"the config leaves {', '.join(empty)} empty (null), but a value is needed"
        )
    check_ranges(cfg)
    for key in ("MODEL.WEIGHTS", "MODEL.FROZEN_RPN.WEIGHTS"):
        _check_file(key, value_of(cfg, key))
    # More loader processes than cores would only get in each other's way.
    cfg.DATALOADER.NUM_WORKERS = min(cfg.DATALOADER.NUM_WORKERS, os.cpu_count() or 1)
    if cfg.MODEL.DEVICE.startswith("cuda") and not torch.cuda.is_available():
        cfg.MODEL.DEVICE = "cpu"  # `provenance` and the log name the device that was used
    return cfg


def _why_unfit(error: Exception) -> str:
    """The reason in one line; a wrong type is reported like a value out of range."""
    text = str(error.args[0]) if isinstance(error, KeyError) else str(error)
    found = re.search(r"with values \((.*) vs\. (.*)\) for config key: (\S+)", text, re.DOTALL)
    if found and found[3] in RANGES:
        return f"{found[3]} is {found[2]!r}: it must be {RANGES[found[3]].words}"
    text = " ".join(text.split())
    return text if isinstance(error, AssertionError | KeyError) else f"cannot be used: {text}"


def _check_file(key: str, path: str) -> None:
    """Raises FileNotFoundError if a local file or a model of the zoo does not exist."""
    path = path.partition("#sha256=")[0]
    if not path or "://" in path:  # downloaded when it is loaded
        return
    if os.path.isdir(path) or not PathManager.isfile(path):
        raise FileNotFoundError(
            f"there is no file '{path}' ({key}); the models that ship are "
            f"{', '.join(name for name in available() if not name.endswith('.yaml'))}"
        )


def _check_pairs(overrides: list[str]) -> None:
    """argparse treats everything after the first KEY as overrides, even options."""
    late = [x for x in overrides if isinstance(x, str) and x.startswith("--")]
    if late:
        raise ValueError(
            f"'{late[0]}' comes after KEY VALUE overrides: put options before the first KEY"
        )
    if len(overrides) % 2:
        raise ValueError(f"the override '{overrides[-1]}' has no value: give KEY VALUE pairs")


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


def unread_keys(cfg: CfgNode) -> list[str]:
    """Keys of Detectron2 that were set but have no effect here."""
    defaults = config_record(get_cfg())
    return [
        key
        for key, value in config_record(cfg).items()
        if value != defaults.get(key, value) and key not in RANGES
    ]


def _hold_output_dir(folder: str) -> None:
    try:
        is_ours = lock_folder(folder)
    except OSError as error:
        raise ValueError(f"cannot write to OUTPUT_DIR '{folder}': {error}") from error
    if not is_ours:
        raise ValueError(
            f"another run is training in OUTPUT_DIR '{folder}': wait for it, or use another folder"
        )


def _is_no_users_mistake(record: logging.LogRecord) -> bool:
    """Detectron2 logs a traceback for whatever ends a training; user errors get one line here."""
    error = record.exc_info[1] if record.exc_info else None
    return error is None or users_mistake(error) is None


def make_deterministic(cfg: CfgNode) -> None:
    """Use only algorithms that give the same bits every time.

    On a CPU everything here then does, for a fixed number of threads (OMP_NUM_THREADS). On a GPU
    the gradients of warping (grid_sample) and of ROIAlign add up in no fixed order, and there is no
    other algorithm. torch warns about the first; it does not know the second, Detectron2's own.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.backends.cudnn.benchmark = False
    torch.use_deterministic_algorithms(True, warn_only=cfg.MODEL.DEVICE != "cpu")


def setup_run(args: argparse.Namespace) -> CfgNode:
    """Config of a training or evaluation run; logs which data it will use.

    A training keeps log.txt, config.yaml and provenance.json in OUTPUT_DIR, an evaluation its log
    and config in OUTPUT_DIR/inference.

    Args:
        args: of Detectron2's `default_argument_parser`; ``deterministic`` is optional.

    Raises:
        UserError: if the config, its weights, its data or its output folder are unusable, or
            another run writes to that folder; the message says what to do.
    """
    try:
        cfg = setup_cfg(args.config_file, args.opts)
        if getattr(args, "deterministic", False) and cfg.SEED < 0:
            raise ValueError("--deterministic needs a fixed seed: set SEED to 0 or more")
        resolved = resolve_datasets(cfg, eval_only=args.eval_only, announce=False)
        if not args.eval_only:
            _check_file("MODEL.TEACHER.WEIGHTS", cfg.MODEL.TEACHER.WEIGHTS)
        if comm.is_main_process() and not args.eval_only:
            _hold_output_dir(cfg.OUTPUT_DIR)
    except (ValueError, FileNotFoundError, MissingDatasetError) as error:
        raise UserError(str(error)) from error
    if cfg.TEST.EXPECTED_RESULTS and len(resolved.test) != 1:
        raise UserError(
            f"TEST.EXPECTED_RESULTS is of one test set, but DATASETS.TEST has {len(resolved.test)}"
        )
    cfg.DATASETS.TRAIN = tuple(resolved.train)
    cfg.DATASETS.TEST = tuple(resolved.test)
    if comm.is_main_process():
        print(resolved.sentence, flush=True)  # before all else; provenance.json also keeps it
    cfg.freeze()
    # From Detectron2's anchors; a user can do nothing about it.
    warnings.filterwarnings("ignore", message="torch.meshgrid")
    # An evaluation leaves the training's log.txt and config.yaml in its folder alone.
    kept = cfg.clone()
    if args.eval_only:
        kept.defrost()
        kept.OUTPUT_DIR = os.path.join(cfg.OUTPUT_DIR, "inference")
    if comm.is_main_process() and not args.eval_only:
        keep_record(cfg.OUTPUT_DIR)
    default_setup(kept, args)
    logging.getLogger("detectron2.engine.train_loop").addFilter(_is_no_users_mistake)
    if getattr(args, "deterministic", False):
        make_deterministic(cfg)
    setup_logger(kept.OUTPUT_DIR, distributed_rank=comm.get_rank(), name="zoomin_d2")
    if unread := unread_keys(cfg):
        logger.warning(
            "Ignored config keys: %s. They configure Detectron2's detectors; see "
            "zoomin_d2/config.py, and MODEL.FROZEN_RPN.CONFIG_FILE for the frozen detector",
            ", ".join(unread),
        )
    if cfg.MODEL.DEVICE == "cpu" and not torch.cuda.is_available():
        logger.warning("Running on the CPU. The recipes assume a GPU; try configs/quick_schedules/")
    if not args.eval_only and cfg.SOLVER.WARMUP_ITERS >= cfg.SOLVER.MAX_ITER:
        logger.warning(
            "SOLVER.WARMUP_ITERS is %d and MAX_ITER %d: the learning rate never comes near BASE_LR",
            cfg.SOLVER.WARMUP_ITERS,
            cfg.SOLVER.MAX_ITER,
        )
    if comm.is_main_process() and not args.eval_only:
        begin_provenance(cfg, resolved.sentence, resume=getattr(args, "resume", False))
    comm.synchronize()
    return cfg
