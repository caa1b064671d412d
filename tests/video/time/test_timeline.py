"""Which moments the output shows: numbers worked out by hand."""

from fractions import Fraction as F
from typing import NamedTuple

import pytest

from zoomin_d2.video.read.rates import SourceClock, parse_rate, standard_rate
from zoomin_d2.video.time.timeline import SubdivisionGrid, Target, UniformGrid, make_grid

FILM = F(24000, 1001)


class _Timing(NamedTuple):
    rate: F
    start: F
    time_base: F


@pytest.mark.parametrize(
    "text, rate",
    [
        ("60", F(60)),
        ("60000/1001", F(60000, 1001)),
        ("59.94", F(60000, 1001)),
        ("23.976", F(24000, 1001)),
        ("29.97", F(30000, 1001)),
        ("12.5", F(25, 2)),
    ],
)
def test_rates_are_exact(text, rate):
    assert parse_rate(text) == rate


@pytest.mark.parametrize("text", ["", "0", "-3", "fast", "1/0"])
def test_bad_rates_say_so(text):
    with pytest.raises(ValueError, match=r"frame rate|above 0"):
        parse_rate(text)


def test_header_rates_name_their_family():
    assert standard_rate(F(19001, 317)) == F(60000, 1001)  # what FFmpeg reads from Matroska
    assert standard_rate(F(24)) == 24
    assert standard_rate(F(25, 2)) == F(25, 2)


@pytest.mark.parametrize(
    "kwargs, words",
    [
        ({}, "Nothing to do"),
        ({"multi": 1}, "multi must be from 2 to 1000, got 1"),
        ({"multi": 10**20}, "multi must be from 2 to 1000"),
        ({"multi": 2, "fps": F(60)}, "cannot be combined"),
        ({"slowmo": F(1, 2)}, "slowmo must be"),
        ({"fps": F(0)}, "above 0"),
    ],
)
def test_targets_that_make_no_sense(kwargs, words):
    with pytest.raises(ValueError, match=words):
        Target(**kwargs)


def _run(grid, times, duration):
    """All moments of frames at `times`, as the pipeline asks for them."""
    moments = []
    for i in range(len(times) - 1):
        moments += grid.between(i, times[i : i + 2])
    return moments + grid.tail(len(times) - 1, times[-1], duration)


def test_24_to_60_shows_every_second_frame():
    times = [F(i, 24) for i in range(24)]
    moments = _run(UniformGrid(F(60), F(1), F(0), F(1, 24000)), times, F(1, 24))
    assert [m.index for m in moments] == list(range(60))
    shown = [m.source_time for m in moments]
    assert [n for n, t in enumerate(shown) if t in times] == list(range(0, 60, 5))
    assert shown[2] == F(1, 30)


def test_23_976_to_59_94_over_600_frames():
    times = [i / FILM for i in range(600)]
    moments = _run(UniformGrid(F(60000, 1001), F(1), F(0), F(1, 24000)), times, 1 / FILM)
    assert len(moments) == 1500
    assert moments[-1].time + F(1001, 60000) == 600 / FILM


def test_25_to_30_and_down_to_10():
    times = [F(i, 25) for i in range(50)]
    assert len(_run(UniformGrid(F(30), F(1), F(0), F(0)), times, F(1, 25))) == 60
    assert len(_run(UniformGrid(F(10), F(1), F(0), F(0)), times, F(1, 25))) == 20


def test_the_length_is_rounded_not_cut():
    # 7 frames at 24 are 0.29167 s: 17.5 frames at 60 -> within half a frame
    times = [F(i, 24) for i in range(7)]
    count = len(_run(UniformGrid(F(60), F(1), F(0), F(0)), times, F(1, 24)))
    assert abs(F(count, 60) - F(7, 24)) <= F(1, 120)


def test_multi_keeps_every_source_frame():
    times = [F(0), F(1, 10), F(4, 10), F(5, 10)]
    moments = _run(SubdivisionGrid(2, F(1), F(10), F(1, 1000)), times, F(1, 10))
    expected = [F(0), F(5, 100), F(1, 10), F(25, 100), F(4, 10), F(45, 100), F(5, 10), F(55, 100)]
    assert [m.source_time for m in moments] == expected
    assert [m.index for m in moments] == list(range(8))


def test_slow_motion_stretches_time():
    grid = make_grid(Target(slowmo=F(4)), _Timing(F(25), F(0), F(1, 12800)))
    moments = _run(grid, [F(i, 25) for i in range(10)], F(1, 25))
    assert grid.fps == 25
    assert len(moments) == 40
    assert moments[1].source_time == F(1, 100)
    assert moments[1].time == F(1, 25)


def test_slow_motion_with_a_rate_of_its_own():
    grid = make_grid(Target(slowmo=F(5, 2), fps=F(60)), _Timing(F(30), F(0), F(1, 30000)))
    moments = _run(grid, [F(i, 30) for i in range(30)], F(1, 30))
    assert len(moments) == 150
    assert moments[-1].time == F(149, 60)


def test_millisecond_clock_is_exact():
    clock = SourceClock(F(1, 1000), FILM, F(0))
    rounded = [F(round(i / FILM * 1000), 1000) for i in range(5000)]
    assert [clock.snap(t) for t in rounded] == [i / FILM for i in range(5000)]


def test_an_uneven_clock_is_left_as_it_is():
    clock = SourceClock(F(1, 1000), F(25), F(0))
    assert clock.snap(F(53, 1000)) == F(53, 1000)


def test_rounded_times_are_on_the_grid():
    # 1/60 s written as 17 ms
    grid = UniformGrid(F(60), F(1), F(0), F(1, 1000))
    first, second = (
        grid.between(0, [F(0), F(17, 1000)]),
        grid.between(1, [F(17, 1000), F(33, 1000)]),
    )
    assert [m.index for m in first] == [0]
    assert [m.index for m in second] == [1]
    assert abs(second[0].source_time - F(17, 1000)) <= grid.tolerance


@pytest.mark.parametrize("fps", [F(60), F(60000, 1001), F(24000, 1001), F(25, 2), F(1)])
def test_frames_last_whole_ticks(fps):
    grid = UniformGrid(fps, F(1), F(0), F(0))
    assert (1 / fps / grid.time_base).denominator == 1
    assert grid.time_base <= F(1, 10_000)


@pytest.mark.parametrize(
    "given, target",
    [
        ({"fps": 60}, Target(fps=F(60))),
        ({"fps": 59.94}, Target(fps=F(60000, 1001))),
        ({"fps": "59.94"}, Target(fps=F(60000, 1001))),
        ({"fps": "60000/1001"}, Target(fps=F(60000, 1001))),
        ({"multi": 2.0}, Target(multi=2)),
        ({"multi": "3"}, Target(multi=3)),
        ({"slowmo": 2.4}, Target(slowmo=F(12, 5))),
        ({"slowmo": 2, "fps": 23.976}, Target(fps=F(24000, 1001), slowmo=F(2))),
    ],
)
def test_targets_take_numbers_as_written(given, target):
    made = Target(**given)
    assert made == target
    assert isinstance(made.slowmo, F)
    assert isinstance(made.fps, F | None)
    assert isinstance(made.multi, int | None)


@pytest.mark.parametrize(
    "given, words",
    [
        ({"multi": 2.5}, "whole number, got 2.5"),
        ({"multi": "two"}, "not a number: 'two'"),
        ({"fps": "fast"}, "not a frame rate: 'fast'"),
        ({"fps": float("nan")}, "not a frame rate: nan"),
        ({"slowmo": None}, "not a number: None"),
    ],
)
def test_targets_that_are_no_numbers(given, words):
    with pytest.raises(ValueError, match=words):
        Target(**given)


def test_moments_last_until_the_next():
    grid = make_grid(Target(multi=2), _Timing(F(25), F(0), F(1, 1000)))
    moments = _run(grid, [F(0), F(1, 10), F(3, 10)], F(1))
    assert [m.duration for m in moments] == [F(1, 20)] * 2 + [F(1, 10)] * 2 + [F(1, 2)] * 2
    assert moments[-1].time + moments[-1].duration == F(13, 10)
    grid = make_grid(Target(fps=F(50), slowmo=2), _Timing(F(25), F(0), F(1, 1000)))
    assert {m.duration for m in _run(grid, [F(0), F(1, 25)], F(1, 25))} == {F(1, 50)}
