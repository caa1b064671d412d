"""The ComfyUI node "Interpolate frames (zoomin_d2)": put or link this folder into custom_nodes."""

from .node import InterpolateFrames

NODE_CLASS_MAPPINGS = {"ZoominInterpolateFrames": InterpolateFrames}
NODE_DISPLAY_NAME_MAPPINGS = {"ZoominInterpolateFrames": "Interpolate frames (zoomin_d2)"}

__all__ = ["NODE_CLASS_MAPPINGS", "NODE_DISPLAY_NAME_MAPPINGS"]
