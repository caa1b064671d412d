"""A real clip, small."""

from fractions import Fraction
from pathlib import Path

import av
import pytest

from zoomin_d2.data.datasets.sample_clips import find_sample_videos

FRAMES = 8


@pytest.fixture(scope="session")
def real_clip(tmp_path_factory) -> Path:
    """The first 8 frames of a sample clip, 160 x 96 at 25 fps."""
    source = find_sample_videos(tmp_path_factory.mktemp("none"))[0]
    path = tmp_path_factory.mktemp("clips") / "real clip.mp4"
    with av.open(str(source)) as video, av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 160, 96, "yuv420p"
        for k, frame in zip(range(FRAMES), video.decode(video=0)):
            small = frame.reformat(width=160, height=96, format="yuv420p")
            small.pts, small.time_base = k, Fraction(1, 25)
            out.mux(stream.encode(small))
        out.mux(stream.encode())
    return path
