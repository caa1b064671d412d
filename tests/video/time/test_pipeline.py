"""The model's part of the pipeline: frames to its device and back while it works."""

from fractions import Fraction as F

import numpy as np
import pytest
import torch

from zoomin_d2.frames import to_image, to_planes, to_samples, to_tensor, to_unit_range
from zoomin_d2.video import Target, interpolate_frames, make_grid, open_source
from zoomin_d2.video.errors import ModelError
from zoomin_d2.video.time import model_calls, pipeline


class Recorder:
    """A transfer that notes what it does; the device is made up, all stays on the CPU."""

    log: list[str] = []  # noqa: RUF012

    def upload(self, frame, device):
        self.log.append(f"up {frame.dtype} {int(frame.flatten()[0])} {device}")
        return frame.clone()

    def download(self, frames):
        number = sum(x.startswith("down") for x in self.log)
        self.log.append(f"down {number}")

        def wait():
            self.log.append(f"wait {number}")
            return frames

        return wait


class OnGpu:
    device = torch.device("cuda", 0)

    def __call__(self, frame_1, frame_2, ts):
        assert frame_1.dtype == torch.float32
        return [(1 - t) * frame_1 + t * frame_2 for t in ts]


def _run(source, model, **target):
    with open_source(str(source)) as opened:
        return list(interpolate_frames(opened, model, Target(**target)))


def test_copies_overlap_with_the_work(write_video, make_frames, average, monkeypatch):
    source = write_video("in.mkv", make_frames(6), codec="ffv1", pix_fmt="bgr0")
    plain = _run(source, average, multi=3)
    monkeypatch.setattr(model_calls, "Transfer", Recorder)
    monkeypatch.setattr(Recorder, "log", [])
    made = _run(source, OnGpu(), multi=3)
    assert [(f.index, f.time, f.kind) for f in made] == [(f.index, f.time, f.kind) for f in plain]
    assert all(np.array_equal(a.image, b.image) for a, b in zip(made, plain))
    log = Recorder.log
    # Every frame is copied once, as the 8 bits that it has, though it belongs to two pairs.
    assert [x for x in log if x.startswith("up")] == [
        f"up torch.uint8 {40 + 2 * i} cuda:0" for i in range(6)
    ]
    assert [x for x in log if x.startswith("wait")] == [f"wait {i}" for i in range(5)]
    # The first pair is waited for when the third one is on its way back.
    assert log.index("wait 0") == log.index("down 2") + 1
    assert log.index("wait 1") == log.index("down 3") + 1


def test_many_frames_are_made_in_parts(write_video, make_frames, average, monkeypatch):
    """A call of the model never makes more pixels than MOST_PIXELS; the frames are the same."""
    frames = make_frames(20)
    frames[10:] = [255 - f for f in frames[10:]]
    source = write_video("in.mkv", frames, codec="ffv1", pix_fmt="bgr0")
    whole = _run(source, average, multi=12)
    monkeypatch.setattr(pipeline, "MOST_PIXELS", 5 * 48 * 64)
    sizes = set()

    def noted(frame_1, frame_2, ts):
        sizes.add(len(ts))
        return average(frame_1, frame_2, ts)

    parts = _run(source, noted, multi=12)
    assert sizes == {4, 5, 2}  # of twelve moments: a source frame and 4 made ones, 5, 2
    assert [(f.index, f.cuts) for f in parts] == [(f.index, f.cuts) for f in whole]
    assert all(np.array_equal(a.image, b.image) for a, b in zip(parts, whole))


def test_a_grid_serves_as_the_target(write_video, make_frames, average):
    source = write_video("in.mkv", make_frames(4), codec="ffv1", pix_fmt="bgr0")
    with open_source(source) as opened:
        grid = make_grid(Target(fps=F(60)), opened.info)
        by_grid = list(interpolate_frames(opened, average, grid))
    assert [f.time for f in by_grid] == [f.time for f in _run(source, average, fps=F(60))]


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (lambda a, b, ts: [], r"returned \[\] for 1 frames"),
        (
            lambda a, b, ts: [a[..., 1:]],
            r"returned \[\(1, 3, 48, 63\)\] for 1 frames \(1, 3, 48, 64\)",
        ),
        (lambda a, b, ts: [a * float("nan")], r"not finite at 0\.000 s"),
        (lambda a, b, ts: [a + float("inf")], r"not finite at 0\.000 s"),
        (lambda a, b, ts: [a - float("inf")], r"not finite at 0\.000 s"),
    ],
)
def test_what_is_no_frame_is_an_error(write_video, make_frames, model, words):
    source = write_video("in.mkv", make_frames(3), codec="ffv1", pix_fmt="bgr0")
    with pytest.raises(ModelError, match=words):
        _run(source, model, multi=2)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_pixels_come_back_as_they_were(dtype):
    full = np.iinfo(dtype).max
    image = np.random.default_rng(0).integers(0, full, (5, 7, 3), dtype, endpoint=True)
    tensor = to_unit_range(to_planes(image))
    assert torch.equal(tensor, to_tensor(image))
    assert tensor[0, 1, 2, 3] == torch.tensor(float(image[2, 3, 1])) / float(full)
    assert np.array_equal(to_image(to_samples(tensor, dtype == np.uint16)), image)


def test_halves_round_up_and_clamp():
    frame = torch.tensor([-1.0, 9.5 / 255, 9.49 / 255, 2.0]).expand(1, 3, 1, 4)
    assert to_image(to_samples(frame, deep=False))[0, :, 0].tolist() == [0, 10, 9, 255]
    assert to_image(to_samples(frame, deep=True))[0, [0, 3], 0].tolist() == [0, 65535]
