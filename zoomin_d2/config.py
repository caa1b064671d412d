"""Every configuration key this project adds to Detectron2's defaults: value, unit, one line each.

Keys that Detectron2 already has keep their meaning (SOLVER.*, DATALOADER.*, TEST.EVAL_PERIOD,
VIS_PERIOD, SEED, OUTPUT_DIR, ...); where our default differs, it is set here too.
SOLVER.AMP.ENABLED means bfloat16 without a scaler, in training, on devices that multiply it.
"""

from collections.abc import Sequence

from detectron2.config import CfgNode as CN
from detectron2.config import get_cfg

from zoomin_d2.old_names import CONFIG_KEYS, rename_keys


class Config(CN):
    """A Detectron2 config that also takes 1 for 1.0, and the former names of keys."""

    @classmethod
    def _create_config_tree_from_dict(cls, dic: dict, key_list: list) -> dict:
        return CN._create_config_tree_from_dict(dic, key_list)  # nodes are Detectron2's own

    @classmethod
    def _decode_cfg_value(cls, value: object) -> object:
        return CN._decode_cfg_value(value)

    def merge_from_other_cfg(self, cfg_other: CN) -> None:
        rename_keys(cfg_other)
        _use_floats(cfg_other, self)
        super().merge_from_other_cfg(cfg_other)

    def merge_from_list(self, cfg_list: Sequence) -> None:
        pairs = []
        for key, value in zip(cfg_list[::2], cfg_list[1::2]):
            key = CONFIG_KEYS.get(key, key)
            *path, name = key.split(".")
            node: object = self
            for part in path:
                node = node.get(part) if isinstance(node, CN) else None
            if isinstance(node, CN):
                value = _like(self._decode_cfg_value(value), node.get(name))
            pairs += [key, value]
        super().merge_from_list(pairs)


def _like(value: object, default: object) -> object:
    """A whole number as a float where the default is one."""
    return float(value) if type(value) is int and isinstance(default, float) else value


def _use_floats(values: CN, defaults: CN) -> None:
    for key, value in values.items():
        default = defaults.get(key)
        if isinstance(value, dict) and isinstance(default, dict):
            _use_floats(value, default)
        else:
            values[key] = _like(value, default)


def add_zoomin_config(cfg: CN) -> None:
    """Add the keys of zoomin_d2 to a Detectron2 config, in place."""
    _add_model_keys(cfg)
    _add_solver_keys(cfg)
    _add_input_keys(cfg)
    _add_test_keys(cfg)


def get_zoomin_cfg() -> CN:
    """A fresh Detectron2 config that already holds the keys of zoomin_d2."""
    cfg = Config(get_cfg())
    add_zoomin_config(cfg)
    return cfg


def _add_model_keys(cfg: CN) -> None:
    cfg.MODEL.META_ARCHITECTURE = "FrameInterpolator"
    cfg.MODEL.WEIGHTS = ""  # a training checkpoint, an exported file, or "zoo:<name>"; "" = scratch

    cfg.MODEL.GENERATOR = CN(new_allowed=True)  # a generator of your own adds its node in a yaml
    cfg.MODEL.GENERATOR.NAME = "paper"  # a name in zoomin_d2.generators.GENERATORS
    cfg.MODEL.GENERATOR.CHANNELS_LAST = False  # memory format of the convolutions

    # Each generator has a node of its name; the keys are the arguments of its class.
    cfg.MODEL.GENERATOR.PAPER = CN()
    # Widths of the flow U-Net, one entry per resolution; the first works at half resolution.
    cfg.MODEL.GENERATOR.PAPER.FLOW_CHANNELS = [32, 64, 96, 128, 160, 192]
    # Width of the synthesis network, and its kernel size in pixels (the paper: 9).
    cfg.MODEL.GENERATOR.PAPER.SYNTHESIS_CHANNELS = 32
    cfg.MODEL.GENERATOR.PAPER.SYNTHESIS_KERNEL = 9
    # Shape of the context convolution copied from the frozen detector (ResNet stems: 64 of 7x7).
    cfg.MODEL.GENERATOR.PAPER.CONTEXT_CHANNELS = 64
    cfg.MODEL.GENERATOR.PAPER.CONTEXT_KERNEL = 7
    # One value per level at 1/2, 1/4, 1/8, 1/16 of the size; a fifth everywhere adds one at 1/32.
    cfg.MODEL.GENERATOR.FAST = CN()
    cfg.MODEL.GENERATOR.FAST.PYRAMID_CHANNELS = [24, 40, 64, 96]
    cfg.MODEL.GENERATOR.FAST.DECODER_CHANNELS = [32, 64, 96, 128]
    cfg.MODEL.GENERATOR.FAST.DECODER_BLOCKS = [1, 1, 2, 2]  # residual blocks of two convolutions
    # Further blocks after those, whose sum has no activation: a trained network can grow them.
    cfg.MODEL.GENERATOR.FAST.LINEAR_BLOCKS = [0, 0, 0, 0]
    # Radii of the cost volumes, in pixels of the level's grid; 0 = none.
    cfg.MODEL.GENERATOR.FAST.CORRELATION_RADII = [0, 0, 3, 4]
    cfg.MODEL.GENERATOR.FAST.SYNTHESIS_CHANNELS = [32, 64]  # at 1/2 and 1/4
    # "bilinear", or "mixed": for each pixel the synthesis chooses between bilinear and bicubic.
    cfg.MODEL.GENERATOR.FAST.LAST_WARP = "bilinear"
    # How far frames get the fine structure of those around them, 0 to 2; not while training.
    cfg.MODEL.GENERATOR.FAST.DETAIL = 0.0
    # Width of a decoder that refines the motion at full size; 0 = none.
    cfg.MODEL.GENERATOR.FAST.REFINE_CHANNELS = 0

    # The pretrained detector: proposals, perceptual features, context convolution.
    cfg.MODEL.FROZEN_RPN = CN()
    # A local yaml, a Detectron2 model-zoo name ("COCO-Detection/..."), or "zoo:<name>".
    cfg.MODEL.FROZEN_RPN.CONFIG_FILE = "zoo:rpn_R_18_FPN"
    # A local .pkl/.pth/.safetensors file, "detectron2://...", "zoo:<name>"; "" = random weights.
    cfg.MODEL.FROZEN_RPN.WEIGHTS = "zoo:rpn_R_18_FPN"

    cfg.MODEL.PROPOSALS = CN()
    cfg.MODEL.PROPOSALS.SOURCE = "real"  # "real" (frame_t), "synthesized" (pred_frame) or "both"
    cfg.MODEL.PROPOSALS.NUM = 16  # N: boxes per image; empty slots are zeros and never counted
    cfg.MODEL.PROPOSALS.MIN_SIZE = 16.0  # pixels; smaller boxes (before enlarging) are dropped
    cfg.MODEL.PROPOSALS.ENLARGE = 1.2  # factor on width and height, clipped to the frame
    cfg.MODEL.PROPOSALS.PATCH_SIZE = 64  # pixels; the side every ROI is zoomed to
    # What is cut for each proposal: "zoomed" (the box, zoomed to PATCH_SIZE) and "native" (the
    # PATCH_SIZE pixels around its center as they are, so that a large object's blur stays visible).
    cfg.MODEL.PROPOSALS.PATCH_SCALES = ["zoomed"]

    cfg.MODEL.PERCEPTUAL = CN()
    # Phi of eq. 7: "rpn" (hidden features of the RPN head, all levels), backbone levels ("p2", ..)
    # or, for FPN detectors, bottom-up stages ("res2", ..).
    cfg.MODEL.PERCEPTUAL.FEATURES = ["rpn"]

    cfg.MODEL.DISCRIMINATOR = CN()
    cfg.MODEL.DISCRIMINATOR.NAME = "none"  # "none" (baseline), "image" (gan) or "roi" (roigan)
    cfg.MODEL.DISCRIMINATOR.CHANNELS = 64  # width of the first convolution; doubles up to 8x
    # "whole" (one verdict), "local" (one for each place of a patch or image) or "both"; "auto" =
    # "whole" for "roi" and "local" for "image".
    cfg.MODEL.DISCRIMINATOR.VERDICT = "auto"
    cfg.MODEL.DISCRIMINATOR.CONDITIONAL = False  # it also sees the two input frames there

    cfg.MODEL.TEACHER = CN()
    # Ours: a finished network, "zoo:<name>" or a file, whose frames, averaged over mirror images of
    # the pair, are mixed into the true ones that the synthesis losses compare with; "" = none.
    cfg.MODEL.TEACHER.WEIGHTS = ""
    cfg.MODEL.TEACHER.SHARE = 0.5  # of the teacher's frame in the mixture

    # lambda_0..lambda_4 of eq. 8 and 11. The paper's images are 0..255: photometric terms are
    # computed on [0, 1] and multiplied by 255 (losses.PHOTOMETRIC_SCALE). The others need no
    # factor: the detector's features are of 0..255 images, flow is in pixels, discriminators have
    # no unit.
    cfg.MODEL.LOSS_WEIGHTS = CN()
    cfg.MODEL.LOSS_WEIGHTS.PHOTOMETRIC = 2.0
    cfg.MODEL.LOSS_WEIGHTS.PERCEPTUAL = 1.0
    cfg.MODEL.LOSS_WEIGHTS.SMOOTH = 0.1
    # Ours: the photometric loss of a coarse-to-fine generator's coarser levels (as PHOTOMETRIC).
    cfg.MODEL.LOSS_WEIGHTS.LEVELS = 0.5
    # Ours: Laplacian pyramid of the final and the coarse frame (as PHOTOMETRIC); 0 = none.
    cfg.MODEL.LOSS_WEIGHTS.LAPLACIAN = 0.0
    # Ours: where above 0, minus the final frame's PSNR in dB replaces its photometric loss.
    cfg.MODEL.LOSS_WEIGHTS.PSNR = 0.0
    cfg.MODEL.LOSS_WEIGHTS.GAN_D = 0.3
    cfg.MODEL.LOSS_WEIGHTS.GAN_G = 0.1
    # Ours: where above 0, it replaces GAN_G: lambda_4 is chosen in each iteration so that the
    # adversarial gradient of the final frame has this share of the norm of its photometric (or
    # PSNR) one.
    cfg.MODEL.LOSS_WEIGHTS.GAN_G_SHARE = 0.0


def _add_solver_keys(cfg: CN) -> None:
    cfg.SOLVER.ADAM_BETAS = (0.9, 0.999)
    cfg.SOLVER.WEIGHT_DECAY = 0.0
    # "WarmupCosineLR" and the others of Detectron2, or "PaperExponentialLR" (section 3.5).
    cfg.SOLVER.LR_SCHEDULER_NAME = "WarmupCosineLR"
    # PaperExponentialLR: iterations per factor 0.1 (10 epochs of 3198 triplets at batch 2) and
    # the absolute floor of the learning rate.
    cfg.SOLVER.PAPER_DECAY_ITERS = 15990
    cfg.SOLVER.PAPER_LR_FLOOR = 1e-8

    cfg.SOLVER.DISCRIMINATOR = CN()
    cfg.SOLVER.DISCRIMINATOR.LR_FACTOR = 1.0  # learning rate of D as a factor of BASE_LR
    cfg.SOLVER.DISCRIMINATOR.START_ITER = 0  # iterations without any adversarial term

    cfg.SOLVER.COMPILE = False  # torch.compile of the generator and its losses in training
    # Replay them as CUDA graphs: two launches instead of about two thousand.
    cfg.SOLVER.CUDA_GRAPH = False

    # Skip and count iterations whose loss or gradient is NaN or inf, instead of stopping. The check
    # makes every iteration wait for the GPU.
    cfg.SOLVER.SKIP_NONFINITE = False

    # Iterations between logged losses: reading a loss back waits for the GPU.
    cfg.SOLVER.METRIC_PERIOD = 20

    cfg.SOLVER.EMA = CN()
    cfg.SOLVER.EMA.ENABLED = True  # average the generator's weights; evaluation uses the average
    cfg.SOLVER.EMA.DECAY = 0.999  # per iteration


def _add_input_keys(cfg: CN) -> None:
    cfg.INPUT.CROP_SIZE = [256, 256]  # training crop (height, width) in pixels
    cfg.INPUT.FLIP_HORIZONTAL_PROB = 0.5
    cfg.INPUT.FLIP_VERTICAL_PROB = 0.0
    cfg.INPUT.TRANSPOSE_PROB = 0.0  # swap x and y
    cfg.INPUT.TIME_REVERSAL_PROB = 0.5  # swap frame_1 and frame_2, t -> 1 - t
    # Time from frame_1 to frame_t at t = 0.5, drawn uniformly from [min, max].
    cfg.INPUT.FRAME_SPACING = [1, 1]
    cfg.INPUT.FRAME_SPACING_UNIT = "frames"  # "frames" or "ms"; "ms" needs clips with a known fps
    cfg.INPUT.ARBITRARY_T = False  # frame_t anywhere strictly between frame_1 and frame_2
    # Random downscaling of the frames before the crop: factor drawn from [min, max], max <= 1.
    cfg.INPUT.SCALE_RANGE = [1.0, 1.0]
    cfg.INPUT.HIGH_RESOLUTION = True  # load frame_t_hr where the dataset has it
    # Share of each batch, 0 to 1, that consists of layered synthetic triplets made of the batch's
    # own frames (data/synthetic_layers.py), rounded to whole samples per process.
    cfg.INPUT.SYNTHETIC_FRACTION = 0.0
    # Keep all frames of the training set in the device's memory and cut crops there
    # (data/on_device/), so that a GPU never waits for the CPU. 1,000 frames of 768x432 take 1 GB.
    cfg.DATALOADER.FRAMES_ON_DEVICE = False

    # () = the datasets of the paper's mix (UCF101, Cityscapes) that are on disk, else sample clips.
    cfg.DATASETS.TRAIN = ()
    cfg.DATASETS.TEST = ()  # () = the test sets that belong to the training sets


def _add_test_keys(cfg: CN) -> None:
    cfg.TEST.ROI_METRICS = True  # ROI_PSNR and ROI_IE inside proposals of the true frame
    cfg.TEST.METRICS = []  # further metrics: "sharpness", "LPIPS" (evaluation/extra_metrics.py)
    # Number of images per dataset, the same for every method, whose frames and maps are saved for
    # the report page. A third as many, rounded up, of the worst and of the best become panels.
    cfg.TEST.NUM_SAVED = 12
