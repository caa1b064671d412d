"""Streams of frames: videos in, videos out; knows nothing of Detectron2 or of any model."""

from .errors import VideoError
from .job import Hooks, JobOptions, run_video_job
from .pipeline import OutputFrame, StreamOptions, interpolate_frames
from .reader import VideoReader
from .timeline import Target, parse_rate

__all__ = [
    "Hooks",
    "JobOptions",
    "OutputFrame",
    "StreamOptions",
    "Target",
    "VideoError",
    "VideoReader",
    "interpolate_frames",
    "parse_rate",
    "run_video_job",
]
