"""Where a number comes from: data, commit, command and device, written beside every result."""

import json
import logging
import os
import platform
import shlex
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import detectron2.utils.comm as comm
import torch
from detectron2.config import CfgNode
from detectron2.utils.file_io import PathManager

from zoomin_d2.files import write_json
from zoomin_d2.weight_files import sha256_of

logger = logging.getLogger(__name__)

_FILE = "provenance.json"
_KEPT = ".kept"


def collect_provenance(cfg: CfgNode, data_sentence: str | None = None) -> dict:
    """What a reader needs to reproduce the numbers.

    Args:
        data_sentence: the training data and why it was chosen, from `resolve_datasets`; None when
            evaluating.
    """
    device = torch.device(cfg.MODEL.DEVICE).type
    if device == "cuda":
        device = torch.cuda.get_device_name()
    elif device == "cpu":
        device = f"CPU, {os.cpu_count()} cores, {platform.machine()}"
    return {
        **how_it_was_made(),
        "data": data_sentence,
        "datasets_train": list(cfg.DATASETS.TRAIN),
        "datasets_test": list(cfg.DATASETS.TEST),
        "frozen_rpn": cfg.MODEL.FROZEN_RPN.WEIGHTS or "random weights",
        "proposals": dict(cfg.MODEL.PROPOSALS),  # ROI numbers depend on which ROIs were used
        "device": device,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "run_id": uuid.uuid4().hex,  # which files of a folder belong to one run
    }


def how_it_was_made() -> dict[str, str]:
    """The command and the commit."""
    command = shlex.join([os.path.basename(sys.executable), *sys.argv])
    return {"command": command, "commit": git_commit()}


def describe_weights(path: str, checkpoint: Mapping) -> dict:
    """Which weights are evaluated: their file, its sha256, and its record of the training.

    Args:
        path: as MODEL.WEIGHTS.
        checkpoint: what was loaded from there; a training checkpoint knows its last iteration.
    """
    iteration = checkpoint.get("iteration")
    return {
        "weights": path,
        "weights_sha256": sha256_of(PathManager.get_local_path(path)),
        "iteration": None if iteration is None else iteration + 1,
        "trained": checkpoint.get("provenance"),
    }


def git_commit() -> str:
    """Commit of the source tree, plus "+changes" if it was edited; "unknown" outside a checkout."""
    here = os.path.dirname(os.path.abspath(__file__))

    def git(*args: str) -> str:
        return subprocess.run(
            ["git", "-C", here, *args], capture_output=True, text=True, check=True
        ).stdout.strip()

    try:
        # An installed copy may lie inside somebody else's repository: only a tracked file counts.
        git("ls-files", "--error-unmatch", os.path.abspath(__file__))
        return git("rev-parse", "--short=12", "HEAD") + (
            "+changes" if git("status", "--porcelain", "--untracked-files=no") else ""
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def begin_provenance(cfg: CfgNode, data_sentence: str, resume: bool) -> None:
    """Write OUTPUT_DIR/provenance.json of a training; a resumed run keeps its run_id.

    Call `keep_record` before the run writes anything.
    """
    provenance = collect_provenance(cfg, data_sentence)
    if resume:
        earlier = read_provenance(cfg.OUTPUT_DIR).get("run_id")
        provenance["run_id"] = earlier or provenance["run_id"]
    write_json(os.path.join(cfg.OUTPUT_DIR, _FILE), provenance)


def keep_record(output_dir: str) -> None:
    """Keep the config and provenance of an earlier run, until `drop_kept_record`.

    If a process was killed in between, those that it kept are put back first.
    """
    _put_record_back(output_dir)
    for path in filter(os.path.exists, _record_files(output_dir)):
        shutil.copyfile(path, path + _KEPT)


@contextmanager
def record_kept_until_trained(output_dir: str) -> Iterator[None]:
    """Puts back what `keep_record` kept, unless `drop_kept_record` has been called meanwhile."""
    try:
        yield
    finally:
        if comm.is_main_process():
            _put_record_back(output_dir)


def drop_kept_record(output_dir: str) -> None:
    """An iteration has finished: the record is that of the run that trains."""
    for path in _record_files(output_dir):
        Path(path + _KEPT).unlink(missing_ok=True)


def _put_record_back(output_dir: str) -> None:
    for path in filter(lambda x: os.path.exists(x + _KEPT), _record_files(output_dir)):
        os.replace(path + _KEPT, path)


def _record_files(output_dir: str) -> list[str]:
    return [os.path.join(output_dir, name) for name in ("config.yaml", _FILE)]


def read_provenance(output_dir: str) -> dict:
    """What `begin_provenance` wrote to ``output_dir``; {} if the file is missing or damaged."""
    path = os.path.join(output_dir, _FILE)
    if not os.path.exists(path):
        return {}
    try:
        with open(path) as f:
            return dict(json.load(f))
    except (TypeError, ValueError) as error:
        logger.warning("%s is damaged (%s): the provenance of this run is unknown", path, error)
        return {}
