"""The table of ranges: complete, and each key tried with values inside, outside and of no fit."""

import pytest
from detectron2.config import CfgNode, get_cfg

from zoomin_d2 import get_zoomin_cfg
from zoomin_d2.config import add_zoomin_config
from zoomin_d2.engine import InterpolationTrainer
from zoomin_d2.engine.config_ranges import RANGES, check_ranges, check_value, value_of

COUNT = ([1, 7], [0, -1, 1.5])
SIZE = ([0, 4], [-1, 0.5])
FLAG = ([True, False], [0, 1])
PROBABILITY = ([0.0, 0.5, 1.0, 1], [-0.1, 1.1, float("nan")])
WEIGHT = ([0.0, 3, 0.5], [-1.0, float("inf"), float("nan")])
POSITIVE = ([1e-9, 2], [0.0, -3.0, float("inf"), float("nan")])
FILE = (["", "zoo:fast"], [7])
NAMES = ([(), ("a", "b"), ["a"]], [("",), (3,), "abc"])
DECAY = ([0.0, 0.999], [-0.1, 1.0, 1.5])
PAIR_ABOVE_0 = ([[1, 1], [0.5, 2.5]], [[0, 1], [2, 1], [1], [1, 2, 3], 1])
LEVELS = (
    [[1, 2, 3, 4], [1] * 5],
    [[0, 1, 1, 1], [1, 1, 1], [1, 1, 1, 1, 1, 1], [1, 1, 1, 1.5]],
)
LEVELS_FROM_0 = ([[0, 0, 3, 4], [0] * 5], [[-1, 0, 0, 0], [0, 0, 0], [0] * 6])

# key: (values inside, values outside), worked by hand.
VALUES: dict[str, tuple[list, list]] = {
    "MODEL.META_ARCHITECTURE": (["FrameInterpolator"], ["GeneralizedRCNN", "no such", ""]),
    "MODEL.WEIGHTS": FILE,
    "MODEL.DEVICE": (["cpu", "cuda"], ["gpu", "cuda:-1", "cuda:x", "", 0]),
    "MODEL.GENERATOR.NAME": (["fast", "paper"], ["slow", "", "FAST"]),
    "MODEL.GENERATOR.CHANNELS_LAST": FLAG,
    "MODEL.GENERATOR.PAPER.FLOW_CHANNELS": ([[1, 1], [8] * 6], [[8], [8, 0], []]),
    "MODEL.GENERATOR.PAPER.SYNTHESIS_CHANNELS": COUNT,
    "MODEL.GENERATOR.PAPER.SYNTHESIS_KERNEL": ([1, 9], [8, 0, -1]),
    "MODEL.GENERATOR.PAPER.CONTEXT_CHANNELS": COUNT,
    "MODEL.GENERATOR.PAPER.CONTEXT_KERNEL": ([1, 7], [6, 0, -1]),
    "MODEL.GENERATOR.FAST.PYRAMID_CHANNELS": LEVELS,
    "MODEL.GENERATOR.FAST.DECODER_CHANNELS": ([[1, 4, 8, 12]], [[4, 6, 8, 8], [0, 4, 4, 4]]),
    "MODEL.GENERATOR.FAST.DECODER_BLOCKS": LEVELS_FROM_0,
    "MODEL.GENERATOR.FAST.CORRELATION_RADII": LEVELS_FROM_0,
    "MODEL.GENERATOR.FAST.SYNTHESIS_CHANNELS": ([[1, 2]], [[1, 3], [0, 2], [2, 0], [2]]),
    "MODEL.GENERATOR.FAST.LINEAR_BLOCKS": LEVELS_FROM_0,
    "MODEL.GENERATOR.FAST.LAST_WARP": (["bilinear", "mixed"], ["bicubic", "", 1]),
    "MODEL.GENERATOR.FAST.DETAIL": ([0, 0.5, 2.0], [-0.1, 2.1, "full"]),
    "MODEL.GENERATOR.FAST.REFINE_CHANNELS": SIZE,
    "MODEL.FROZEN_RPN.CONFIG_FILE": (["zoo:rpn_R_18_FPN"], ["", 1]),
    "MODEL.FROZEN_RPN.WEIGHTS": FILE,
    "MODEL.PROPOSALS.SOURCE": (["real", "synthesized", "both"], ["fake", ""]),
    "MODEL.PROPOSALS.NUM": COUNT,
    "MODEL.PROPOSALS.MIN_SIZE": WEIGHT,
    "MODEL.PROPOSALS.ENLARGE": POSITIVE,
    "MODEL.PROPOSALS.PATCH_SIZE": ([16, 64], [15, 8, 0]),
    "MODEL.PROPOSALS.PATCH_SCALES": ([["zoomed"], ["native", "zoomed"]], [["fake"], [], 1]),
    "MODEL.PERCEPTUAL.FEATURES": NAMES,
    "MODEL.DISCRIMINATOR.NAME": (["none", "image", "roi"], ["patch", ""]),
    "MODEL.DISCRIMINATOR.CHANNELS": COUNT,
    "MODEL.DISCRIMINATOR.VERDICT": (["auto", "whole", "local", "both"], ["all", ""]),
    "MODEL.DISCRIMINATOR.CONDITIONAL": FLAG,
    "MODEL.LOSS_WEIGHTS.PHOTOMETRIC": WEIGHT,
    "MODEL.LOSS_WEIGHTS.LAPLACIAN": WEIGHT,
    "MODEL.LOSS_WEIGHTS.PSNR": WEIGHT,
    "MODEL.LOSS_WEIGHTS.PERCEPTUAL": WEIGHT,
    "MODEL.LOSS_WEIGHTS.SMOOTH": WEIGHT,
    "MODEL.LOSS_WEIGHTS.LEVELS": WEIGHT,
    "MODEL.LOSS_WEIGHTS.GAN_D": WEIGHT,
    "MODEL.LOSS_WEIGHTS.GAN_G": WEIGHT,
    "MODEL.LOSS_WEIGHTS.GAN_G_SHARE": WEIGHT,
    "MODEL.TEACHER.WEIGHTS": FILE,
    "MODEL.TEACHER.SHARE": PROBABILITY,
    "SOLVER.IMS_PER_BATCH": COUNT,
    "SOLVER.REFERENCE_WORLD_SIZE": SIZE,
    "SOLVER.MAX_ITER": COUNT,
    "SOLVER.BASE_LR": POSITIVE,
    "SOLVER.BASE_LR_END": WEIGHT,
    "SOLVER.ADAM_BETAS": ([(0.9, 0.999), [0, 0]], [(0.9, 1.0), (-0.1, 0.9), (0.9,)]),
    "SOLVER.WEIGHT_DECAY": WEIGHT,
    "SOLVER.LR_SCHEDULER_NAME": (
        ["WarmupCosineLR", "PaperExponentialLR"],
        ["CosineLR", "WarmupStepWithFixedGammaLR", ""],
    ),
    "SOLVER.PAPER_DECAY_ITERS": COUNT,
    "SOLVER.PAPER_LR_FLOOR": WEIGHT,
    "SOLVER.WARMUP_FACTOR": PROBABILITY,
    "SOLVER.WARMUP_ITERS": SIZE,
    "SOLVER.WARMUP_METHOD": (["linear", "constant"], ["cosine"]),
    "SOLVER.STEPS": ([(), (1, 5)], [(0,), (5, 5), (5, 1)]),
    "SOLVER.GAMMA": POSITIVE,
    "SOLVER.CHECKPOINT_PERIOD": COUNT,
    "SOLVER.METRIC_PERIOD": COUNT,
    "SOLVER.AMP.ENABLED": FLAG,
    "SOLVER.CLIP_GRADIENTS.ENABLED": FLAG,
    "SOLVER.CLIP_GRADIENTS.CLIP_TYPE": (["full_model", "norm", "value"], ["all", ""]),
    "SOLVER.CLIP_GRADIENTS.CLIP_VALUE": POSITIVE,
    "SOLVER.CLIP_GRADIENTS.NORM_TYPE": POSITIVE,
    "SOLVER.DISCRIMINATOR.LR_FACTOR": POSITIVE,
    "SOLVER.DISCRIMINATOR.START_ITER": SIZE,
    "SOLVER.COMPILE": FLAG,
    "SOLVER.CUDA_GRAPH": FLAG,
    "SOLVER.SKIP_NONFINITE": FLAG,
    "SOLVER.EMA.ENABLED": FLAG,
    "SOLVER.EMA.DECAY": DECAY,
    "INPUT.CROP_SIZE": ([[16, 300]], [[15, 64], [0, 64], [64], ["a", 64], [64, 64, 3]]),
    "INPUT.FLIP_HORIZONTAL_PROB": PROBABILITY,
    "INPUT.FLIP_VERTICAL_PROB": PROBABILITY,
    "INPUT.TRANSPOSE_PROB": PROBABILITY,
    "INPUT.TIME_REVERSAL_PROB": PROBABILITY,
    "INPUT.FRAME_SPACING": PAIR_ABOVE_0,
    "INPUT.FRAME_SPACING_UNIT": (["frames", "ms"], ["s", ""]),
    "INPUT.ARBITRARY_T": FLAG,
    "INPUT.SCALE_RANGE": ([[0.5, 1.0], [1, 1]], [[0, 1], [0.5, 1.5], [1.0, 0.5]]),
    "INPUT.HIGH_RESOLUTION": FLAG,
    "INPUT.SYNTHETIC_FRACTION": PROBABILITY,
    "DATALOADER.NUM_WORKERS": SIZE,
    "DATALOADER.FRAMES_ON_DEVICE": FLAG,
    "DATASETS.TRAIN": NAMES,
    "DATASETS.TEST": (NAMES[0], [*NAMES[1], ("a", "a")]),
    "TEST.EVAL_PERIOD": SIZE,
    "TEST.EXPECTED_RESULTS": (
        [[], [["interpolation", "PSNR", 30, 0.5]]],
        ["", 3, [["bbox", "AP", 1, 2]], [["interpolation", "PSNRR", 30, 1]], [["interpolation"]]],
    ),
    "TEST.ROI_METRICS": FLAG,
    "TEST.METRICS": ([[], ["sharpness", "LPIPS"]], [["FID"], "LPIPS"]),
    "TEST.NUM_SAVED": SIZE,
    "VIS_PERIOD": SIZE,
    "SEED": ([-1, 0, 2**32 - 1], [2**32, 1.0]),
    "CUDNN_BENCHMARK": FLAG,
    "OUTPUT_DIR": (["./output"], ["", 3]),
    "VERSION": ([2], [0]),
}


def _leaves(node: CfgNode, prefix: str = "") -> dict:
    leaves = {}
    for key, value in node.items():
        is_node = isinstance(value, CfgNode)
        leaves |= _leaves(value, f"{prefix}{key}.") if is_node else {prefix + key: value}
    return leaves


def test_every_key_that_we_add_has_a_range():
    before, cfg = get_cfg(), get_cfg()
    add_zoomin_config(cfg)
    theirs = _leaves(before)
    ours = {k for k, v in _leaves(cfg).items() if k not in theirs or theirs[k] != v}
    assert ours - RANGES.keys() == set()


def test_every_range_is_tried_below():
    assert VALUES.keys() == RANGES.keys()


def test_the_defaults_are_inside():
    check_ranges(get_zoomin_cfg())


@pytest.mark.parametrize("key", VALUES)
def test_values_inside_outside_and_of_no_fit(key):
    inside, outside = VALUES[key]
    for value in inside:
        check_value(key, value)
    for value in [*outside, None, {}, object()]:
        with pytest.raises(ValueError, match=f"^{key} is ") as error:
            check_value(key, value)
        assert "it must be " in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("SOLVER.BASE_LR_END", 1.0, "must be at most SOLVER.BASE_LR, 0.001"),
        ("MODEL.LOSS_WEIGHTS.PHOTOMETRIC", 0.0, "GAN_G_SHARE is a share of the gradient of PHOTO"),
        ("INPUT.FRAME_SPACING", [1, 1.5], "must be whole numbers of frames"),
        ("SOLVER.REFERENCE_WORLD_SIZE", 3, "a multiple of SOLVER.REFERENCE_WORLD_SIZE, 3"),
    ],
)
def test_keys_that_do_not_go_together(key, value, reason):
    cfg = get_zoomin_cfg()
    cfg.MODEL.LOSS_WEIGHTS.GAN_G_SHARE = 0.1
    node, name = key.rsplit(".", 1)
    value_of(cfg, node)[name] = value
    with pytest.raises(ValueError, match=reason):
        check_ranges(cfg)


def test_the_coarsest_level_has_gradients():
    cfg = get_zoomin_cfg()
    cfg.MODEL.GENERATOR.NAME = "fast"
    cfg.INPUT.CROP_SIZE = [64, 32]
    check_ranges(cfg)
    cfg.INPUT.CROP_SIZE = [64, 31]
    with pytest.raises(ValueError, match=r"sides must be 32 or more .* with 4 levels"):
        check_ranges(cfg)


def test_scaling_to_the_processes():
    cfg = get_zoomin_cfg()
    cfg.SOLVER.REFERENCE_WORLD_SIZE, cfg.SOLVER.IMS_PER_BATCH = 2, 8
    cfg.SOLVER.PAPER_DECAY_ITERS, cfg.SOLVER.DISCRIMINATOR.START_ITER = 100, 50
    cfg.SOLVER.CHECKPOINT_PERIOD = 10
    cfg.freeze()
    scaled = InterpolationTrainer.auto_scale_workers(cfg, 1)
    assert scaled.SOLVER.MAX_ITER == 2 * cfg.SOLVER.MAX_ITER and scaled.SOLVER.IMS_PER_BATCH == 4
    assert scaled.SOLVER.PAPER_DECAY_ITERS == 200
    assert scaled.SOLVER.DISCRIMINATOR.START_ITER == 100 and scaled.is_frozen()
    with pytest.raises(ValueError, match=r"SOLVER\.CHECKPOINT_PERIOD is 0"):
        InterpolationTrainer.auto_scale_workers(cfg, 64)
    assert InterpolationTrainer.auto_scale_workers(cfg, 2) is cfg


def test_refinement_needs_channels_by_four():
    cfg = get_zoomin_cfg()
    cfg.MODEL.GENERATOR.FAST.REFINE_CHANNELS = 8
    cfg.MODEL.GENERATOR.FAST.DECODER_CHANNELS = [30, 64, 96, 128]
    with pytest.raises(ValueError, match="the first must also be a multiple of 4"):
        check_ranges(cfg)


def test_levels_are_as_many_everywhere():
    cfg = get_zoomin_cfg()
    cfg.MODEL.GENERATOR.FAST.PYRAMID_CHANNELS = [24, 40, 64, 96, 32]
    with pytest.raises(ValueError, match="got 5 for PYRAMID_CHANNELS, 4 for DECODER_CHANNELS"):
        check_ranges(cfg)


def test_a_batch_is_a_multiple_of_processes(monkeypatch):
    monkeypatch.setattr("detectron2.utils.comm.get_world_size", lambda: 3)
    with pytest.raises(ValueError, match=r"IMS_PER_BATCH is 16: .*the number of processes, 3"):
        check_ranges(get_zoomin_cfg())
