"""zoomin_d2.inference.streaming: the same frames, in order, as pair by pair; never far ahead."""

import numpy as np
import pytest
import torch

from zoomin_d2 import Interpolator


def _frames(n, height=6, width=8):
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (height, width, 3), dtype=np.uint8) for _ in range(n)]


DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.needs_gpu)]


@pytest.mark.parametrize("device", DEVICES)
def test_same_frames_as_pair_by_pair(small_generator, device):
    interpolator = Interpolator(small_generator[0], device=device, dtype=torch.float32)
    frames, ts = _frames(7, 24, 40), [0.25, 0.5]
    streamed = list(interpolator.stream(iter(frames), ts))
    assert len(streamed) == 6
    for between, first, second in zip(streamed, frames, frames[1:]):
        expected = interpolator(first, second, ts)
        for a, b in zip(between, expected):
            assert np.abs(a.astype(int) - b).max() <= 1


def test_reads_only_a_few_ahead(weighted_average):
    read = 0

    def source():
        nonlocal read
        for frame in _frames(50):
            read += 1
            yield frame

    stream = Interpolator(weighted_average, device="cpu").stream(source())
    for given in range(1, 10):
        next(stream)
        assert read <= given + 3


def test_a_cpu_gives_each_result_at_once(weighted_average):
    frames = iter(_frames(5))
    stream = Interpolator(weighted_average, device="cpu").stream(frames)
    next(stream)
    assert len(list(frames)) == 3


def test_frames_in_one_reused_buffer(weighted_average):
    interpolator, frames = Interpolator(weighted_average, device="cpu"), _frames(5)

    def camera():
        buffer = np.empty_like(frames[0])
        for frame in frames:
            buffer[:] = frame
            yield buffer

    for between, first, second in zip(interpolator.stream(camera()), frames, frames[1:]):
        assert np.array_equal(between[0], interpolator(first, second))


def test_one_time_is_a_list_of_one(weighted_average):
    interpolator, frames = Interpolator(weighted_average, device="cpu"), _frames(2)
    (expected,) = interpolator.stream(frames, [0.25])
    for t in (0.25, torch.tensor(0.25)):
        (found,) = interpolator.stream(frames, t)
        assert len(found) == 1 and np.array_equal(found[0], expected[0])


def test_short_streams(weighted_average):
    interpolator = Interpolator(weighted_average, device="cpu")
    assert list(interpolator.stream([])) == list(interpolator.stream(_frames(1))) == []
    assert len(list(interpolator.stream(_frames(2)))) == 1


def test_streams_that_are_refused(weighted_average):
    interpolator = Interpolator(weighted_average, device="cpu")
    with pytest.raises(
        ValueError, match="frame 2 has 9 x 6 pixels, but the ones before it have 8 x 6"
    ):
        list(interpolator.stream([*_frames(2), *_frames(1, 6, 9)]))
    with pytest.raises(ValueError, match="frame 0 is float64"):
        list(interpolator.stream([x / 255 for x in _frames(2)]))
    with pytest.raises(ValueError, match=r"frame 1 is uint8 \(6, 8\); streams take"):
        list(interpolator.stream([_frames(1)[0], _frames(1)[0][..., 0]]))
    with pytest.raises(ValueError, match="t must lie between"):
        interpolator.stream(_frames(2), [0.5, 2])
