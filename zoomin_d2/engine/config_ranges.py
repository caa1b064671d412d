"""One table: what each key of a training config may be, checked before anything is built.

The table has every key that `add_zoomin_config` adds, and those of Detectron2's own keys that have
an effect here. Detectron2's other keys configure its detectors and are not read.
"""

import math
import re
from collections.abc import Callable, Collection
from typing import Any, NamedTuple

import detectron2.utils.comm as comm
import torch
from detectron2.config import CfgNode
from detectron2.modeling import META_ARCH_REGISTRY

from zoomin_d2.evaluation import METRICS
from zoomin_d2.evaluation.extra_metrics import EXTRA_METRICS
from zoomin_d2.generators import GENERATORS
from zoomin_d2.generators.detail import MAX_STRENGTH
from zoomin_d2.modeling.discriminators import VERDICTS
from zoomin_d2.modeling.generator_options import check_generator_keys
from zoomin_d2.modeling.meta_arch import FrameInterpolator


class Range(NamedTuple):
    """The values that a key takes.

    Attributes:
        describe: the values in words that follow "must be", or a function that returns them.
        holds: returns whether a value is one of them.
    """

    describe: str | Callable[[], str]
    holds: Callable[[Any], bool]

    @property
    def words(self) -> str:
        return self.describe if isinstance(self.describe, str) else self.describe()


def _whole(low: int | None = None, high: int | None = None, *, odd: bool = False) -> Range:
    kind = "an odd whole number" if odd else "a whole number"
    words = kind + ("" if low is None else f", {low} or more")
    return Range(
        words if high is None else f"{kind} from {low} to {high}",
        lambda x: (
            type(x) is int
            and (low is None or x >= low)
            and (high is None or x <= high)
            and (not odd or x % 2 == 1)
        ),
    )


def _number(
    low: float = 0.0, high: float = math.inf, *, above: bool = False, below: bool = False
) -> Range:
    """From low to high; ``above``: not low itself; ``below``: not high itself."""
    words = f"a number above {low:g}" if above else f"a number, {low:g} or more"
    if high < math.inf:
        first, last = ("above" if above else "from"), ("to less than" if below else "to")
        words = f"a number {first} {low:g} {last} {high:g}"
    return Range(
        words,
        lambda x: (
            type(x) in (int, float)
            and math.isfinite(x)
            and (x > low if above else x >= low)
            and (x < high if below else x <= high)
        ),
    )


def _is_expectation(row: Any) -> bool:
    """Whether Detectron2's `verify_results` can read it."""
    if not isinstance(row, list | tuple) or len(row) != 4:
        return False
    return (row[0], row[1] in METRICS) == ("interpolation", True) and all(
        type(x) in (int, float) for x in row[2:]
    )


def _one_of(names: Collection[str]) -> Range:
    """One of these names, looked up when a value is checked: registries grow."""
    return Range(
        lambda: f"one of {', '.join(map(repr, names))}", lambda x: isinstance(x, str) and x in names
    )


def _several(item: Range, least: int = 0, most: float = math.inf) -> Range:
    """A list of ``least`` to ``most`` values of one range."""
    number = f"{least} values" if least == most else f"{least} to {most} values"
    if most == math.inf:
        number = f"{least} or more values" if least else "values"
    return Range(
        lambda: f"a list of {number}, each {item.words}",
        lambda x: (
            isinstance(x, list | tuple) and least <= len(x) <= most and all(map(item.holds, x))
        ),
    )


def _exactly(item: Range, length: int) -> Range:
    return _several(item, length, length)


def _from_to(item: Range) -> Range:
    """[min, max]."""
    return Range(
        f"[min, max] with min <= max, each {item.words}",
        lambda x: _exactly(item, 2).holds(x) and x[0] <= x[1],
    )


def _and(limit: Range, words: str, holds: Callable[[Any], bool]) -> Range:
    """A range that is narrower than another."""
    return Range(f"{limit.words}; {words}", lambda x: limit.holds(x) and holds(x))


def _is_architecture(name: Any) -> bool:
    if not isinstance(name, str) or name not in META_ARCH_REGISTRY:
        return False
    kind = META_ARCH_REGISTRY.get(name)
    return isinstance(kind, type) and issubclass(kind, FrameInterpolator)


def _is_device(name: Any) -> bool:
    if not isinstance(name, str) or not re.fullmatch(r"cpu|cuda(:\d+)?", name):
        return False
    count = torch.cuda.device_count()
    # Without any GPU, "cuda" means the CPU (setup_cfg).
    return count == 0 or int(name.partition(":")[2] or 0) < count


_FLAG = Range("True or False", lambda x: type(x) is bool)
_TEXT = Range("a string", lambda x: isinstance(x, str))
_NAMED = Range("a string that is not empty", lambda x: isinstance(x, str) and x != "")
_PROBABILITY = _number(0, 1)
_DEVICE = Range("'cpu', 'cuda' or 'cuda:N' for an existing GPU N", _is_device)
_ARCHITECTURE = Range(
    "'FrameInterpolator' or a class derived from it in META_ARCH_REGISTRY", _is_architecture
)
_ASCENDING = _and(_several(_whole(1)), "ascending", lambda x: list(x) == sorted(set(x)))
_LEVELS = _several(_whole(1), 4, most=5)
_LEVELS_FROM_0 = _several(_whole(0), 4, most=5)
_MULTIPLES = _and(
    _LEVELS, "all but the first a multiple of 4", lambda x: all(n % 4 == 0 for n in x[1:])
)
_SYNTHESIS = _and(_exactly(_whole(1), 2), "the second even", lambda x: x[1] % 2 == 0)
_PER_LEVEL = (
    *("PYRAMID_CHANNELS", "DECODER_CHANNELS", "DECODER_BLOCKS", "LINEAR_BLOCKS"),
    "CORRELATION_RADII",
)
# Without WarmupStepWithFixedGammaLR, which fails in the last iteration (fvcore 0.1.5).
_SCHEDULES = ("WarmupCosineLR", "WarmupMultiStepLR", "PaperExponentialLR")

RANGES: dict[str, Range] = {
    "MODEL.META_ARCHITECTURE": _ARCHITECTURE,
    "MODEL.WEIGHTS": _TEXT,
    "MODEL.DEVICE": _DEVICE,
    "MODEL.GENERATOR.NAME": _one_of(GENERATORS),
    "MODEL.GENERATOR.CHANNELS_LAST": _FLAG,
    "MODEL.GENERATOR.PAPER.FLOW_CHANNELS": _several(_whole(1), least=2),
    "MODEL.GENERATOR.PAPER.SYNTHESIS_CHANNELS": _whole(1),
    "MODEL.GENERATOR.PAPER.SYNTHESIS_KERNEL": _whole(1, odd=True),
    "MODEL.GENERATOR.PAPER.CONTEXT_CHANNELS": _whole(1),
    "MODEL.GENERATOR.PAPER.CONTEXT_KERNEL": _whole(1, odd=True),
    "MODEL.GENERATOR.FAST.PYRAMID_CHANNELS": _LEVELS,
    "MODEL.GENERATOR.FAST.DECODER_CHANNELS": _MULTIPLES,
    "MODEL.GENERATOR.FAST.DECODER_BLOCKS": _LEVELS_FROM_0,
    "MODEL.GENERATOR.FAST.CORRELATION_RADII": _LEVELS_FROM_0,
    "MODEL.GENERATOR.FAST.SYNTHESIS_CHANNELS": _SYNTHESIS,
    "MODEL.GENERATOR.FAST.LINEAR_BLOCKS": _LEVELS_FROM_0,
    "MODEL.GENERATOR.FAST.LAST_WARP": _one_of(("bilinear", "mixed")),
    "MODEL.GENERATOR.FAST.DETAIL": _number(0, MAX_STRENGTH),
    "MODEL.GENERATOR.FAST.REFINE_CHANNELS": _whole(0),
    "MODEL.FROZEN_RPN.CONFIG_FILE": _NAMED,
    "MODEL.FROZEN_RPN.WEIGHTS": _TEXT,
    "MODEL.PROPOSALS.SOURCE": _one_of(("real", "synthesized", "both")),
    "MODEL.PROPOSALS.NUM": _whole(1),
    "MODEL.PROPOSALS.MIN_SIZE": _number(0),
    "MODEL.PROPOSALS.ENLARGE": _number(0, above=True),
    "MODEL.PROPOSALS.PATCH_SIZE": _whole(16),  # four halvings
    "MODEL.PROPOSALS.PATCH_SCALES": _several(_one_of(("zoomed", "native")), least=1),
    "MODEL.PERCEPTUAL.FEATURES": _several(_NAMED),
    "MODEL.DISCRIMINATOR.NAME": _one_of(("none", "image", "roi")),
    "MODEL.DISCRIMINATOR.CHANNELS": _whole(1),
    "MODEL.DISCRIMINATOR.VERDICT": _one_of(("auto", *VERDICTS)),
    "MODEL.DISCRIMINATOR.CONDITIONAL": _FLAG,
    "MODEL.TEACHER.WEIGHTS": _TEXT,
    "MODEL.TEACHER.SHARE": _number(0, 1),
    **{
        f"MODEL.LOSS_WEIGHTS.{name}": _number(0)
        for name in (
            *("PHOTOMETRIC", "LAPLACIAN", "PSNR", "PERCEPTUAL", "SMOOTH", "LEVELS"),
            *("GAN_D", "GAN_G", "GAN_G_SHARE"),
        )
    },
    "SOLVER.IMS_PER_BATCH": _whole(1),
    "SOLVER.REFERENCE_WORLD_SIZE": _whole(0),
    "SOLVER.MAX_ITER": _whole(1),
    "SOLVER.BASE_LR": _number(0, above=True),
    "SOLVER.BASE_LR_END": _number(0),
    "SOLVER.ADAM_BETAS": _exactly(_number(0, 1, below=True), 2),
    "SOLVER.WEIGHT_DECAY": _number(0),
    "SOLVER.LR_SCHEDULER_NAME": _one_of(_SCHEDULES),
    "SOLVER.PAPER_DECAY_ITERS": _whole(1),
    "SOLVER.PAPER_LR_FLOOR": _number(0),
    "SOLVER.WARMUP_FACTOR": _number(0, 1),
    "SOLVER.WARMUP_ITERS": _whole(0),
    "SOLVER.WARMUP_METHOD": _one_of(("linear", "constant")),
    "SOLVER.STEPS": _ASCENDING,
    "SOLVER.GAMMA": _number(0, above=True),
    "SOLVER.CHECKPOINT_PERIOD": _whole(1),
    "SOLVER.METRIC_PERIOD": _whole(1),
    "SOLVER.AMP.ENABLED": _FLAG,
    "SOLVER.CLIP_GRADIENTS.ENABLED": _FLAG,
    "SOLVER.CLIP_GRADIENTS.CLIP_TYPE": _one_of(("full_model", "norm", "value")),
    "SOLVER.CLIP_GRADIENTS.CLIP_VALUE": _number(0, above=True),
    "SOLVER.CLIP_GRADIENTS.NORM_TYPE": _number(0, above=True),
    "SOLVER.DISCRIMINATOR.LR_FACTOR": _number(0, above=True),
    "SOLVER.DISCRIMINATOR.START_ITER": _whole(0),
    "SOLVER.COMPILE": _FLAG,
    "SOLVER.CUDA_GRAPH": _FLAG,
    "SOLVER.SKIP_NONFINITE": _FLAG,
    "SOLVER.EMA.ENABLED": _FLAG,
    "SOLVER.EMA.DECAY": _number(0, 1, below=True),
    "INPUT.CROP_SIZE": _exactly(_whole(16), 2),  # [height, width]
    "INPUT.FLIP_HORIZONTAL_PROB": _PROBABILITY,
    "INPUT.FLIP_VERTICAL_PROB": _PROBABILITY,
    "INPUT.TRANSPOSE_PROB": _PROBABILITY,
    "INPUT.TIME_REVERSAL_PROB": _PROBABILITY,
    "INPUT.FRAME_SPACING": _from_to(_number(0, above=True)),
    "INPUT.FRAME_SPACING_UNIT": _one_of(("frames", "ms")),
    "INPUT.ARBITRARY_T": _FLAG,
    "INPUT.SCALE_RANGE": _from_to(_number(0, 1, above=True)),
    "INPUT.HIGH_RESOLUTION": _FLAG,
    "INPUT.SYNTHETIC_FRACTION": _number(0, 1),
    "DATALOADER.NUM_WORKERS": _whole(0),
    "DATALOADER.FRAMES_ON_DEVICE": _FLAG,
    "DATASETS.TRAIN": _several(_NAMED),
    "DATASETS.TEST": _and(_several(_NAMED), "no name twice", lambda x: len(set(x)) == len(x)),
    "TEST.EVAL_PERIOD": _whole(0),
    "TEST.EXPECTED_RESULTS": Range(
        "a list of ['interpolation', metric, value, tolerance]",
        lambda x: isinstance(x, list | tuple) and all(map(_is_expectation, x)),
    ),
    "TEST.ROI_METRICS": _FLAG,
    "TEST.METRICS": _several(_one_of(EXTRA_METRICS)),
    "TEST.NUM_SAVED": _whole(0),
    "VIS_PERIOD": _whole(0),
    "SEED": Range(
        "a whole number below 2**32 (negative: a random seed)",
        lambda x: type(x) is int and x < 2**32,
    ),
    "CUDNN_BENCHMARK": _FLAG,
    "OUTPUT_DIR": _NAMED,
    "VERSION": _whole(1),
}


def check_ranges(cfg: CfgNode) -> None:
    """Check each key of the table, then the keys that depend on each other.

    Raises:
        ValueError: one line with the key, its value and what it must be.
    """
    for key in RANGES:
        check_value(key, value_of(cfg, key))
    check_generator_keys(cfg)
    _check_together(cfg)


def check_value(key: str, value: object) -> None:
    """Raises ValueError if a value is outside the range of its key."""
    if not RANGES[key].holds(value):
        raise ValueError(f"{key} is {value!r}: it must be {RANGES[key].words}")


def value_of(cfg: CfgNode, key: str) -> Any:
    """The value of a key with dots in it."""
    for name in key.split("."):
        cfg = cfg[name]
    return cfg


def _check_together(cfg: CfgNode) -> None:
    batch, lr = cfg.SOLVER.IMS_PER_BATCH, cfg.SOLVER.BASE_LR
    fast = cfg.MODEL.GENERATOR.FAST
    lengths = {key: len(fast[key]) for key in _PER_LEVEL}
    if len(set(lengths.values())) > 1:
        raise ValueError(
            "MODEL.GENERATOR.FAST.* needs as many values for each of its levels, got "
            + ", ".join(f"{n} for {key}" for key, n in lengths.items())
        )
    if fast.REFINE_CHANNELS and fast.DECODER_CHANNELS[0] % 4:
        raise ValueError(
            f"MODEL.GENERATOR.FAST.DECODER_CHANNELS is {fast.DECODER_CHANNELS}: with "
            "REFINE_CHANNELS, the first must also be a multiple of 4"
        )
    levels = lengths["PYRAMID_CHANNELS"]
    if cfg.MODEL.GENERATOR.NAME == "fast" and min(cfg.INPUT.CROP_SIZE) < 2 ** (levels + 1):
        raise ValueError(
            f"INPUT.CROP_SIZE is {cfg.INPUT.CROP_SIZE}: its sides must be {2 ** (levels + 1)} or "
            f"more for the generator 'fast' with {levels} levels"
        )
    weights = cfg.MODEL.LOSS_WEIGHTS
    if weights.GAN_G_SHARE and not (weights.PHOTOMETRIC or weights.PSNR):
        raise ValueError(
            "MODEL.LOSS_WEIGHTS.GAN_G_SHARE is a share of the gradient of PHOTOMETRIC or PSNR: one "
            "of them must be above 0"
        )
    for processes, which in (
        (comm.get_world_size(), "the number of processes"),
        (cfg.SOLVER.REFERENCE_WORLD_SIZE, "SOLVER.REFERENCE_WORLD_SIZE"),
    ):
        if processes and batch % processes:
            raise ValueError(
                f"SOLVER.IMS_PER_BATCH is {batch}: it must be a multiple of {which}, {processes}"
            )
    lowest = {"WarmupCosineLR": "BASE_LR_END", "PaperExponentialLR": "PAPER_LR_FLOOR"}
    for schedule, key in lowest.items():
        if schedule == cfg.SOLVER.LR_SCHEDULER_NAME and cfg.SOLVER[key] > lr:
            raise ValueError(
                f"SOLVER.{key} is {cfg.SOLVER[key]}: it must be at most SOLVER.BASE_LR, {lr}"
            )
    spacing = cfg.INPUT.FRAME_SPACING
    if cfg.INPUT.FRAME_SPACING_UNIT == "frames" and any(x != int(x) for x in spacing):
        raise ValueError(
            f"INPUT.FRAME_SPACING is {spacing}: it must be whole numbers of frames; for "
            "milliseconds set INPUT.FRAME_SPACING_UNIT ms"
        )
