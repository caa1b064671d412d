"""The queue and a result as HTML. Every text of a visitor is escaped here."""

from collections import Counter
from collections.abc import Sequence
from html import escape
from pathlib import Path
from urllib.parse import quote

from zoomin_d2.cli.app.job_queue import Entry
from zoomin_d2.cli.app.jobs import describe, for_a_visitor
from zoomin_d2.video.report import duration_words

# Gradio sends files from here; relative, so that a proxy may serve the page under any path.
FILE_URL = "gradio_api/file="


def queue_html(entries: Sequence[tuple[Entry, int]], shown: int | None) -> str:
    """A list in the order of the queue, with buttons; "" without entries.

    Args:
        entries: each with how many jobs end before it starts.
        shown: id of the one whose result is on the page.
    """
    if not entries:
        return ""
    counts = Counter(entry.state for entry, _ in entries)
    states = ", ".join(f"{num} {state}" for state, num in counts.items())
    items = "".join(_item(entry, ahead, entry.id == shown) for entry, ahead in entries)
    return (
        f'<h2>Your clips</h2><p role="status">{states}</p>'
        f'<ol class="queue" role="list">{items}</ol>'
    )


def result_html(entry: Entry | None) -> str:
    """Comparison, player, download and report of a finished job; "" for none."""
    if entry is None or entry.result is None:
        return ""
    result, name = entry.result, escape(entry.name, quote=True)
    facts, notes = describe(result.report)
    listed = "".join(f"<li>{escape(for_a_visitor(note))}</li>" for note in notes)
    return (
        f"<h2>Result: {name}</h2>"
        f'<zoomin-compare src="{_url(result.comparison)}" still="{result.still:.4f}" '
        f'fps="{_fps(entry)}" name="{name}"></zoomin-compare>'
        f'<p class="facts">{escape(facts)}</p><ul class="notes">{listed}</ul>'
        f'<video controls playsinline preload="metadata" src="{_url(result.output)}" '
        f'aria-label="Result of {name}"></video>'
        f'<p><a class="button" href="{_url(result.output)}" '
        f'download="{escape(result.output.name, quote=True)}">Download the result</a></p>'
    )


def words_of_state(entry: Entry, ahead: int) -> str:
    """What a visitor reads below the name of a clip."""
    if entry.state == "chosen":
        return "Not started"
    if entry.state == "waiting":
        jobs = f"{ahead} job{'s' * (ahead != 1)}"
        return f"Waiting: {jobs} before it" if ahead else "Starting"
    if entry.state == "failed":
        return for_a_visitor(entry.message)
    if entry.state != "running":
        return entry.state.capitalize()
    if entry.stop.is_set():
        return "Canceling"
    if not entry.done:
        return "Loading the model"
    frames = f"{entry.done} of {entry.total} frames" if entry.total else f"{entry.done} frames"
    left = "" if entry.seconds_left is None else f", {duration_words(entry.seconds_left)} left"
    return frames + left


def _item(entry: Entry, ahead: int, is_shown: bool) -> str:
    name = escape(entry.name, quote=True)
    bar = ""
    if entry.state == "running":
        value = f' value="{entry.done}" max="{entry.total}"' if entry.done and entry.total else ""
        bar = f'<progress{value} aria-label="Progress of {name}"></progress>'
    show = _button("show", "Show", entry) if entry.state == "done" and not is_shown else ""
    action = "Cancel" if entry.state in ("waiting", "running") else "Remove"
    return (
        f'<li class="{entry.state}"{" aria-current=true" if is_shown else ""}>'
        f'<div class="words"><strong>{name}</strong> <span>{escape(entry.summary)}</span>'
        f'<div class="state">{escape(words_of_state(entry, ahead))}</div>{bar}</div>'
        f'<div class="actions">{show}{_button("cancel", action, entry)}</div></li>'
    )


def _button(action: str, label: str, entry: Entry) -> str:
    name = escape(entry.name, quote=True)
    return (
        f'<button type="button" data-action="{action}" data-id="{entry.id}" '
        f'aria-label="{label} {name}">{label}</button>'
    )


def _fps(entry: Entry) -> str:
    return entry.result.report.fps if entry.result else ""


def _url(path: Path) -> str:
    return FILE_URL + quote(path.as_posix())
