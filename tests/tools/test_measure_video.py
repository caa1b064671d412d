"""`measure_video.py stages`: a job on a clip played several times, and its parts alone."""

import re

import av
import measure_video
import numpy as np


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
    clip = tmp_path / "clip.mp4"
    write_clip(clip)
    measure_video.main(
        ["stages", str(clip), "--fps", "60", "--repeat", "2", "--model", "average"]
        + ["--device", "cpu", "--preset", "ultrafast"]
    )
    said = capsys.readouterr().out
    # 12 frames of 1/24 s are half a second: 30 of 1/60 s. Six of these fall on an input frame and
    # two after the last.
    assert "64x48, libx264 yuv420p ultrafast: 12 -> 30 frames at 60, 22 of them made" in said
    rates = re.findall(r"  (.+): [\d.]+ s, ([\d.]+) output frames a second", said)
    assert [name for name, _ in rates] == [
        "whole job",
        "decoding and encoding, no model",
        "decoding to RGB alone",
        "model alone, with copies",
    ]
    assert all(float(rate) > 0 for _, rate in rates)
