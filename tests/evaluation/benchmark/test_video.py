"""The stages of a video job: a job on a clip played several times, and its parts alone."""

import re
from fractions import Fraction

import av
import numpy as np
import pytest

from zoomin_d2 import Interpolator
from zoomin_d2.evaluation.benchmark.video import measure_memory, measure_stages
from zoomin_d2.video import Target


def write_clip(path, num_frames=6):
    random = np.random.default_rng(0)
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=24)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for _ in range(num_frames):
            image = random.integers(0, 255, (48, 64, 3), np.uint8)
            out.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        out.mux(stream.encode())


def test_stages(tmp_path, capsys):
    clip = tmp_path / "source.mp4"
    write_clip(clip)
    model = Interpolator.from_pretrained("average", device="cpu")
    measure_stages(clip, model, Target(fps=Fraction(60)), tmp_path, repeat=2, preset="ultrafast")
    said = capsys.readouterr().out
    # 12 frames of 1/24 s are half a second: 30 of 1/60 s. Six of these fall on an input frame and
    # two after the last.
    assert (
        "64x48, libx264 yuv420p ultrafast: 12 -> 30 frames at 60, 22 of them interpolated" in said
    )
    shape = r"  (.+): [\d.]+ s, ([\d.]+) output frames per second, [\d.]+ cores"
    rates = re.findall(shape, said)
    assert [name for name, _ in rates] == [
        "whole job",
        "encoding alone",
        "decoding and encoding, no model",
        "decoding to RGB alone",
        "model alone, with copies",
    ]
    assert all(float(rate) > 0 for _, rate in rates)


@pytest.mark.slow
def test_memory_of_jobs_of_two_lengths(tmp_path, capsys):
    measure_memory([2, 3], (64, 48), tmp_path)
    said = capsys.readouterr().out
    peaks = [float(x) for x in re.findall(r"frames:\s+([\d.]+) MiB at the highest", said)]
    assert len(peaks) == 2
    assert f"largest / smallest: {max(peaks) / min(peaks):.3f}"[:-2] in said
