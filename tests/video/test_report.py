"""Durations in words."""

import pytest

from zoomin_d2.video.report import duration_words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.2, "1 s"),
        (3.0, "3 s"),
        (59.1, "1 min 0 s"),
        (75, "1 min 15 s"),
        (3599.5, "1 h 0 min"),
        (7201, "2 h 1 min"),
        (7500, "2 h 5 min"),
    ],
)
def test_never_less_than_it_takes(seconds, words):
    assert duration_words(seconds) == words
