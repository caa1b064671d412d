"""Warping and small blocks; knows nothing about configs and losses."""

from zoomin_d2.layers.blocks import (
    ConvBlock,
    ResidualBlock,
    conv_lrelu,
    small_head,
    upsample_2x,
)
from zoomin_d2.layers.correlation import bilateral_correlation
from zoomin_d2.layers.warp import (
    backward_warp,
    blend,
    crop,
    pad_to_multiple,
    resize_flow,
    sample,
    sampling_grid,
)

__all__ = [
    "ConvBlock",
    "ResidualBlock",
    "backward_warp",
    "bilateral_correlation",
    "blend",
    "conv_lrelu",
    "crop",
    "pad_to_multiple",
    "resize_flow",
    "sample",
    "sampling_grid",
    "small_head",
    "upsample_2x",
]
