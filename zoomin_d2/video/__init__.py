"""Streams of frames: videos in, videos out; knows nothing of Detectron2 or of any model.

Names are loaded when they are used: the rules for scene cuts serve training, too, and a machine
that only trains needs no PyAV.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .errors import VideoError
    from .job import Hooks, JobOptions
    from .opening import open_source
    from .pipeline import OutputFrame, StreamOptions, interpolate_frames
    from .report import Report
    from .run import interpolate_source, interpolate_video
    from .timeline import Target, make_grid, parse_rate

_MODULES = {
    "Hooks": "job",
    "JobOptions": "job",
    "OutputFrame": "pipeline",
    "Report": "report",
    "StreamOptions": "pipeline",
    "Target": "timeline",
    "VideoError": "errors",
    "interpolate_frames": "pipeline",
    "interpolate_source": "run",
    "interpolate_video": "run",
    "make_grid": "timeline",
    "open_source": "opening",
    "parse_rate": "timeline",
}

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


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
