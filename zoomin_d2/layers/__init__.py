"""Warping and small blocks; knows no config and no loss."""

from zoomin_d2.layers.blocks import ConvBlock, upsample_2x
from zoomin_d2.layers.warp import backward_warp, blend, pad_to_multiple, resize_flow

__all__ = ["ConvBlock", "backward_warp", "blend", "pad_to_multiple", "resize_flow", "upsample_2x"]
