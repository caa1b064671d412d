"""Command line in, a frozen config out: device, data and output folder decided and recorded."""

import argparse
import logging

import detectron2.utils.comm as comm
import torch
from detectron2.config import CfgNode
from detectron2.engine import default_setup
from detectron2.utils.logger import setup_logger

from zoomin_d2.config import get_zoomin_cfg
from zoomin_d2.data import resolve_datasets
from zoomin_d2.engine.provenance import collect_provenance, write_provenance

logger = logging.getLogger(__name__)


def setup_cfg(config_file: str, overrides: list[str]) -> CfgNode:
    """A config from a file and "KEY VALUE" overrides, on a device that exists.

    Raises:
        FileNotFoundError: if there is no such file.
    """
    cfg = get_zoomin_cfg()
    if config_file:
        cfg.merge_from_file(config_file)
    cfg.merge_from_list(overrides)
    if cfg.MODEL.DEVICE.startswith("cuda") and not torch.cuda.is_available():
        cfg.MODEL.DEVICE = "cpu"  # `provenance` and the log say which device it was
    return cfg


def setup_run(args: argparse.Namespace) -> CfgNode:
    """Config of a training or evaluation run; says first what it will use for data.

    Args:
        args: of Detectron2's `default_argument_parser`.

    Raises:
        FileNotFoundError: if data named in the config is not on disk; says how to get it.
    """
    cfg = setup_cfg(args.config_file, args.opts)
    resolved = resolve_datasets(cfg, eval_only=args.eval_only)
    cfg.DATASETS.TRAIN = tuple(resolved.train)
    cfg.DATASETS.TEST = tuple(resolved.test)
    if comm.is_main_process():
        print(resolved.sentence, flush=True)
    cfg.freeze()
    default_setup(cfg, args)
    setup_logger(cfg.OUTPUT_DIR, distributed_rank=comm.get_rank(), name="zoomin_d2")
    logger.info(resolved.sentence)
    if cfg.MODEL.DEVICE == "cpu" and not torch.cuda.is_available():
        logger.warning("No GPU is used: the recipes' batches and schedules are made for one")
    # An evaluation leaves alone what its folder says of the training.
    if comm.is_main_process() and not args.eval_only:
        write_provenance(cfg.OUTPUT_DIR, collect_provenance(cfg, resolved.sentence))
    comm.synchronize()
    return cfg
