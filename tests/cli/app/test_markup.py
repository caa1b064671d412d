"""The queue and the result as HTML: words, buttons, escaping."""

from pathlib import Path

import pytest

from zoomin_d2.cli.app.job_queue import Entry
from zoomin_d2.cli.app.jobs import Result
from zoomin_d2.cli.app.markup import queue_html, result_html, words_of_state
from zoomin_d2.video.report import Report


def entry(state, name="a.mp4", id=1, **fields) -> Entry:
    return Entry(id, "me", name, Path("x"), summary="60 fps", state=state, **fields)


@pytest.mark.parametrize(
    ("shown", "ahead", "words"),
    [
        (entry("chosen"), 0, "Not started"),
        (entry("waiting"), 0, "Starting"),
        (entry("waiting"), 1, "Waiting: 1 job before it"),
        (entry("waiting"), 2, "Waiting: 2 jobs before it"),
        (entry("running"), 0, "Loading the model"),
        (entry("running", done=3, total=120), 0, "3 of 120 frames"),
        (
            entry("running", done=3, total=120, seconds_left=64),
            0,
            "3 of 120 frames, 1 min 4 s left",
        ),
        (entry("running", done=3), 0, "3 frames"),
        (entry("failed", message="/srv/a/in.mp4: no video"), 0, "in.mp4: no video"),
        (entry("canceled"), 0, "Canceled"),
    ],
)
def test_words_of_states(shown, ahead, words):
    assert words_of_state(shown, ahead) == words


def test_a_canceled_job_that_still_runs():
    shown = entry("running", done=3, total=120)
    shown.stop.set()
    assert words_of_state(shown, 0) == "Canceling"


def test_buttons_of_the_queue():
    page = queue_html(
        [
            (entry("done", "a.mp4", 1, ended=1.0), 0),
            (entry("done", "b.mp4", 2, ended=1.0), 0),
            (entry("running", "c.mp4", 3, done=4, total=9), 0),
            (entry("waiting", "d.mp4", 4), 1),
        ],
        shown=1,
    )
    assert '<p role="status">2 done, 1 running, 1 waiting</p>' in page
    for label in ("Remove a.mp4", "Show b.mp4", "Remove b.mp4", "Cancel c.mp4", "Cancel d.mp4"):
        assert page.count(f'aria-label="{label}"') == 1
    assert "Show a.mp4" not in page and page.count("aria-current") == 1
    assert '<progress value="4" max="9" aria-label="Progress of c.mp4">' in page
    assert queue_html([], None) == ""


def test_names_are_escaped():
    name = '<b onclick="x">.mp4'
    report = Report("a", "b", fps="50", warnings=["<i>"])
    done = entry("done", name, result=Result(Path("/t/<b>.mp4"), Path("/t/c d.mp4"), 0.3, report))
    for page in (queue_html([(done, 0)], None), result_html(done)):
        assert "<b onclick" not in page and "&lt;b onclick=&quot;x&quot;&gt;.mp4" in page
    page = result_html(done)
    assert "<li>&lt;i&gt;</li>" in page
    assert 'src="gradio_api/file=/t/c%20d.mp4" still="0.3000" fps="50"' in page
    assert 'download="&lt;b&gt;.mp4"' in page


def test_no_result():
    assert result_html(None) == "" and result_html(entry("canceled")) == ""
