"""Encoded sound keeps its channels, its rate and its times, or a warning says what changed."""

from fractions import Fraction as F

import av
import numpy as np
import pytest

from zoomin_d2.video.write.audio import choose_audio, encode_audio
from zoomin_d2.video.write.copied_packets import Clock


@pytest.fixture
def encode(tmp_path):
    """(file, container suffix, slow motion) -> (samples (channels, n), layout, rate, notes)."""

    def call(file, suffix, slowmo=1):
        path, faults = tmp_path / f"encoded.{suffix}", []
        with av.open(str(file)) as source, av.open(str(path), "w") as out:
            stream = source.streams.audio[0]
            kind = {"mkv": "matroska"}.get(suffix, suffix)
            wanted, notes = choose_audio(kind, stream)
            target, packets = encode_audio(
                stream, file, out, wanted, Clock(F(slowmo)), None, lambda *x: faults.append(x)
            )
            for packet in packets:
                packet.stream = target
                out.mux(packet)
        with av.open(str(path)) as container:
            frames = list(container.decode(audio=0))
        layout, rate = frames[0].layout, frames[0].sample_rate
        packed = av.AudioResampler("flt", layout, rate)  # PyAV reads no more than seven planes
        parts = [p.to_ndarray() for f in [*frames, None] for p in packed.resample(f)]
        sound = np.concatenate(parts, axis=1).reshape(-1, layout.nb_channels).T
        return sound, layout.name, rate, notes

    return call


@pytest.mark.parametrize(
    "layout, suffix, kept",
    [
        ("6.1", "mp4", "6.1"),
        ("6.1", "webm", "6.1"),
        ("5.1(side)", "mkv", "5.1"),
        ("7.1", "mov", "7.1"),
    ],
)
def test_layouts_are_kept(encode, write_sound, layout, suffix, kept):
    _, found, _, notes = encode(write_sound("in.mkv", layout=layout), suffix)
    assert (found, notes) == (kept, [])


@pytest.mark.parametrize("layout, num", [("mono", 1), ("stereo", 2), ("5.1", 6)])
def test_channels_without_a_layout(encode, write_sound, layout, num):
    file = write_sound("in.mkv", "pcm_s16le", layout)
    with av.open(str(file)) as container:
        assert container.streams.audio[0].codec_context.layout.name == f"{num} channels"
    sound, found, _, notes = encode(file, "mp4")
    assert (found, sound.shape[0], notes) == (layout, num, [])
    assert (sound[[0, -1]].std(axis=1) > 0.1).all()  # the tone


def test_a_layout_that_nothing_holds_is_told(encode, write_sound):
    _, found, _, notes = encode(write_sound("in.mkv", layout="6.1"), "mov")
    assert found == "5.1"
    assert notes == ["6.1 is mixed down to 5.1: no codec holds it"]


def test_rates_beyond_the_encoders(encode, write_sound):
    file = write_sound("in.mkv", rate=192_000)
    sound, _, rate, notes = encode(file, "mp4", slowmo=2)
    assert rate == 96_000
    assert notes == ["192000 Hz becomes 96000 Hz, the most aac supports"]
    assert abs(sound.shape[1] - 96_000) < 8000
    middle = np.abs(np.fft.rfft(sound[0, 24_000:72_000]))
    assert abs(int(middle.argmax()) * 2 - 440) <= 8  # the pitch stays


def test_a_gap_becomes_silence(encode, write_sound, tmp_path):
    file = tmp_path / "gap.mkv"
    with av.open(str(write_sound("in.mkv", "pcm_s16le"))) as source, av.open(str(file), "w") as out:
        stream = source.streams.audio[0]
        target = out.add_stream_from_template(stream, opaque=True)
        for packet in source.demux(stream):
            if packet.size and not 0.2 <= packet.pts * packet.time_base < 0.3:
                packet.stream = target
                out.mux(packet)
    sound, *_ = encode(file, "mkv")
    assert abs(sound.shape[1] - 24_000) < 2048  # half a second, as with all of its packets
    loud = np.abs(sound[0]).reshape(-1, 256).max(1) > 0.05
    silent = np.flatnonzero(~loud[:90]) * 256 / 48_000
    assert 0.18 < silent.min() < 0.25 and 0.28 < silent.max() + 256 / 48_000 < 0.36


@pytest.mark.parametrize("slowmo", [2, 4, 8])
def test_slow_sound_stays_with_the_picture(encode, tmp_path, slowmo):
    """A burst of noise from 0.4 to 0.5 s in a second of silence."""
    file, rate = tmp_path / "in.mkv", 48_000
    sound = np.zeros((1, rate), np.float32)
    burst = slice(rate * 4 // 10, rate // 2)
    sound[0, burst] = np.random.default_rng(0).normal(0, 0.2, rate // 10)
    with av.open(str(file), "w") as out:
        stream = out.add_stream("pcm_f32le", rate=rate, layout="mono")
        for first in range(0, rate, 1000):
            frame = av.AudioFrame.from_ndarray(sound[:, first : first + 1000], "flt", "mono")
            frame.sample_rate = rate
            out.mux(stream.encode(frame))
    slow, *_ = encode(file, "mkv", slowmo)
    assert abs(slow.shape[1] / rate - slowmo) < 0.08  # AAC adds up to two of its frames
    energy = slow[0] ** 2
    center = (energy * np.arange(len(energy))).sum() / energy.sum() / rate
    assert abs(center - 0.45 * slowmo) < 0.01 * slowmo
