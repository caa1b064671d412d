"""Files with several streams, and ways to hurt them."""

import io
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

TS_PACKET = 188


@pytest.fixture
def join_streams(tmp_path):
    """(name, files) -> a file with all streams of the files, copied."""

    def make(name: str, *files: Path, chapters=None) -> Path:
        path = tmp_path / name
        with av.open(str(path), "w") as out:
            sources = [av.open(str(file)) for file in files]
            targets = [
                {s.index: out.add_stream_from_template(s, opaque=True) for s in source.streams}
                for source in sources
            ]
            if chapters:
                out.set_chapters(chapters)
            for source, target in zip(sources, targets):
                for packet in source.demux():
                    if packet.size:
                        packet.stream = target[packet.stream_index]
                        out.mux(packet)
                source.close()
        return path

    return make


@pytest.fixture
def add_cover(tmp_path):
    """(name, file) -> the file with a PNG as its cover, in an .mp4; or as an attachment, in an
    .mkv."""

    def make(name: str, file: Path) -> Path:
        picture = io.BytesIO()
        with av.open(picture, "w", format="image2pipe") as out:
            stream = out.add_stream("png")
            stream.width, stream.height, stream.pix_fmt = 16, 16, "rgb24"
            image = np.arange(768, dtype=np.uint8).reshape(16, 16, 3)
            out.mux(stream.encode(av.VideoFrame.from_ndarray(image)))
            out.mux(stream.encode())
        path = tmp_path / name
        with av.open(str(file)) as source, av.open(str(path), "w") as out:
            out.metadata.update(source.metadata)
            video = source.streams.video[0]
            target = out.add_stream_from_template(video, opaque=True)
            cover = None
            if path.suffix == ".mkv":
                out.add_attachment("cover.png", "image/png", picture.getvalue())
            else:
                cover = out.add_mux_stream("png", width=16, height=16)
                cover.disposition = av.stream.Disposition.attached_pic
            for packet in source.demux(video):
                if packet.size:
                    packet.stream = target
                    out.mux(packet)
            if cover is not None:
                packet = av.Packet(picture.getvalue())
                packet.stream = cover
                out.mux(packet)
        return path

    return make


@pytest.fixture
def write_sound(tmp_path):
    """(name, codec, layout, rate, seconds) -> a file with a tone of 440 Hz in every channel."""

    def make(name, codec="flac", layout="mono", rate=48_000, seconds=0.5) -> Path:
        path = tmp_path / name
        with av.open(str(path), "w") as out:
            stream = out.add_stream(codec, rate=rate)
            stream.codec_context.layout = layout
            channels = stream.codec_context.layout.nb_channels
            stream.bit_rate = 64_000 * channels
            samples = np.arange(round(seconds * rate))
            tone = (8000 * np.sin(2 * np.pi * 440 * samples / rate)).astype(np.int16)
            frame = av.AudioFrame.from_ndarray(np.repeat(tone, channels)[None], "s16", layout)
            frame.sample_rate, frame.pts, frame.time_base = rate, 0, Fraction(1, rate)
            size = stream.codec_context.frame_size or 1024
            resampler = av.AudioResampler(stream.codec_context.format, layout, rate, size)
            for piece in [*resampler.resample(frame), *resampler.resample(None)]:
                out.mux(stream.encode(piece))
            out.mux(stream.encode())
        return path

    return make


def lose_ts_packet(path: Path, pid: int) -> None:
    """Remove one packet from the middle of a stream of an MPEG-TS, as bad reception does."""
    data = path.read_bytes()
    packets = [data[i : i + TS_PACKET] for i in range(0, len(data), TS_PACKET)]
    inner = [
        i
        for i, packet in enumerate(packets)
        if ((packet[1] & 31) << 8 | packet[2]) == pid and not packet[1] & 64
    ]
    del packets[inner[len(inner) // 2]]
    path.write_bytes(b"".join(packets))
