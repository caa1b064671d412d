"""Streams of frames: videos in, videos out; knows nothing about Detectron2 or any model."""

from zoomin_d2.video.errors import VideoError
from zoomin_d2.video.jobs.container_job import Hooks, JobOptions
from zoomin_d2.video.jobs.run import interpolate_source, interpolate_video
from zoomin_d2.video.read.open_source import open_source
from zoomin_d2.video.read.rates import parse_rate
from zoomin_d2.video.report import Report
from zoomin_d2.video.time.pipeline import OutputFrame, StreamOptions, interpolate_frames
from zoomin_d2.video.time.timeline import Target, make_grid

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
