"""Fixtures of the data tests: clips whose pixels tell the frame, small real video files."""

import logging
import runpy
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog

from zoomin_d2.data.datasets.sample_clips import prepare_sample_clips
from zoomin_d2.data.packing import box_average, write_shot


@pytest.fixture
def make_clip(tmp_path):
    """(num_frames, height, width, **record keys) -> record; every pixel of frame i has value i."""

    def make(num_frames: int, height: int = 40, width: int = 48, name: str = "clip", **keys):
        path = tmp_path / f"{name}.npy"
        frames = (np.full((height, width, 3), i, np.uint8) for i in range(num_frames))
        write_shot(path, frames, num_frames)
        return {
            "file_name": name,
            "frames": [(str(path), i) for i in range(num_frames)],
            "height": height,
            "width": width,
            **keys,
        }

    return make


@pytest.fixture
def make_hr_clip(tmp_path):
    """(hr image, scale, num_frames) -> record whose frames are the box averages of the image."""

    def make(hr_image: np.ndarray, scale: int, num_frames: int = 3):
        low = box_average(hr_image, scale)
        write_shot(tmp_path / "low.npy", iter([low] * num_frames), num_frames)
        write_shot(tmp_path / "high.npy", iter([hr_image] * num_frames), num_frames)
        return {
            "file_name": "hr",
            "frames": [(str(tmp_path / "low.npy"), i) for i in range(num_frames)],
            "hr_frames": [(str(tmp_path / "high.npy"), i) for i in range(num_frames)],
            "hr_scale": scale,
            "height": low.shape[0],
            "width": low.shape[1],
        }

    return make


@pytest.fixture
def write_video():
    """(path, frames, fps, codec, times, tags) -> path; encodes frames (H, W, 3) RGB losslessly
    enough that grey values survive within 3 levels."""

    def write(path, frames, fps=25, codec="libx264", times=None, colorspace=None, full_range=False):
        path.parent.mkdir(parents=True, exist_ok=True)
        with av.open(str(path), "w") as container:
            stream = container.add_stream(codec, rate=Fraction(fps).limit_denominator(1001))
            stream.height, stream.width = frames[0].shape[:2]
            stream.pix_fmt = "yuv444p" if codec == "libx264" else "yuv420p"
            stream.gop_size = 6
            if codec == "libx264":
                stream.options = {"qp": "1"}
            else:
                stream.bit_rate = 4_000_000
            context = stream.codec_context
            if colorspace is not None:
                context.colorspace = colorspace
                context.color_range = 2 if full_range else 1
            for i, image in enumerate(frames):
                frame = av.VideoFrame.from_ndarray(image, format="rgb24")
                if colorspace is not None:
                    frame = frame.reformat(
                        format=stream.pix_fmt,
                        dst_colorspace=colorspace,
                        dst_color_range=2 if full_range else 1,
                    )
                frame.pts = i if times is None else times[i]
                frame.time_base = Fraction(1, 1) / Fraction(fps).limit_denominator(1001)
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
        return path

    return write


@pytest.fixture
def moving_frames():
    """(num_frames, height, width, seed) -> coloured 16-pixel cells that move a pixel per frame."""

    def make(num_frames: int, height: int = 48, width: int = 64, seed: int = 0):
        rng = np.random.default_rng(seed)
        cells = rng.integers(0, 256, (-(-height // 16), 2 * -(-width // 16), 3), dtype=np.uint8)
        texture = cells.repeat(16, 0).repeat(16, 1)
        return [
            np.ascontiguousarray(np.roll(texture, i, axis=1)[:height, :width])
            for i in range(num_frames)
        ]

    return make


@pytest.fixture
def register():
    """(name, records) -> name, registered as a dataset until the test ends."""
    names = []

    def add(name: str, records: list[dict]) -> str:
        DatasetCatalog.register(name, lambda: records)
        MetadataCatalog.get(name).set(evaluator_type="interpolation")
        names.append(name)
        return name

    yield add
    for name in names:
        DatasetCatalog.remove(name)
        MetadataCatalog.remove(name)


@pytest.fixture
def log(caplog, monkeypatch):
    """caplog for the package's logger, also after a test has called setup_logger."""
    logger = logging.getLogger("zoomin_d2")
    monkeypatch.setattr(logger, "propagate", False)
    logger.addHandler(caplog.handler)
    with caplog.at_level(logging.INFO, logger="zoomin_d2"):
        yield caplog
    logger.removeHandler(caplog.handler)


@pytest.fixture
def run_command(log, monkeypatch, capsys):
    """(script in datasets/, *arguments) -> (exit code, what it says), in this process."""
    monkeypatch.setattr(
        "detectron2.utils.logger.setup_logger", lambda name: logging.getLogger(name)
    )

    def run(script: str, *arguments) -> tuple[int, str]:
        log.clear()
        path = Path(__file__).parents[2] / "datasets" / script
        try:
            code = runpy.run_path(str(path))["main"]([str(argument) for argument in arguments])
        except SystemExit as stopped:
            code = stopped.code
        return code, log.text + capsys.readouterr().err

    return run


@pytest.fixture(scope="session")
def sample_clips_made(tmp_path_factory) -> Path:
    """The sample clips, prepared once for all tests."""
    folder = tmp_path_factory.mktemp("videos") / "sample_clips"
    prepare_sample_clips(folder)
    return folder


@pytest.fixture
def with_sample_clips(datasets_at, sample_clips_made) -> None:
    """The sample clips lie in `datasets_at`."""
    (datasets_at / "videos").mkdir()
    (datasets_at / "videos" / "sample_clips").symlink_to(sample_clips_made)
