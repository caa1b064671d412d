"""Streams of frames: videos in, videos out; knows nothing of Detectron2 or of any model."""

from .errors import VideoError
from .job import Hooks, JobOptions
from .opening import open_source
from .pipeline import OutputFrame, StreamOptions, interpolate_frames
from .report import Report
from .run import interpolate_source, interpolate_video
from .timeline import Target, make_grid, parse_rate

__all__ = [
    "Hooks",
    "JobOptions",
    "OutputFrame",
    "Report",
    "StreamOptions",
    "Target",
    "VideoError",
    "interpolate_frames",
    "interpolate_source",
    "interpolate_video",
    "make_grid",
    "open_source",
    "parse_rate",
]
