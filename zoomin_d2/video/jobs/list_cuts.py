"""The scene cuts, fades and dissolves of a source: a CSV file, and a contact sheet beside it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from zoomin_d2.video.errors import OutputError
from zoomin_d2.video.jobs.output_files import check_output
from zoomin_d2.video.read.source import Source
from zoomin_d2.video.time.cut_list import Cut, CutKind, write_cuts
from zoomin_d2.video.time.scene_cuts import MarkedFrame, mark_steps
from zoomin_d2.video.time.step_detection import CUT_MIN
from zoomin_d2.video.write.contact_sheet import ContactSheet
from zoomin_d2.video.write.segments import os_error
from zoomin_d2.video.write.sinks import write_image


def list_cuts(
    source: Source,
    output: Path,
    cut_threshold: float = CUT_MIN,
    overwrite: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> list[Cut]:
    """Find the cuts of a source; write them to `output` (.csv), and to a .png of the same name the
    last frame before and the first frame after each.

    Args:
        cut_threshold: the smallest change of a cut, 0 to 255.
        progress: called with (frames done, frames in all; 0 if unknown).

    Raises:
        VideoError: by name; see errors.py.
    """
    if output.suffix.lower() != ".csv":
        raise OutputError(f"{output}: a list of cuts is a .csv file")
    sheet_path = output.with_suffix(".png")
    for path in (output, sheet_path):
        check_output(path, overwrite, source)
    marked = mark_steps(source.frames(), cut_threshold)
    sheet = ContactSheet()
    cuts = []
    for cut, before, after in find_cuts(_counted(marked, source, progress), source.to_rgb):
        cuts.append(cut)
        sheet.add(cut, before, after)
    try:
        write_cuts(output, cuts)
    except OSError as error:
        raise os_error(error, f"Cannot write {output}") from error
    if cuts:
        write_image(sheet_path, sheet.picture())
    else:  # of an earlier list
        sheet_path.unlink(missing_ok=True)
    return cuts


def find_cuts(
    marked: Iterator[MarkedFrame], to_rgb: Callable[[object], np.ndarray]
) -> Iterator[tuple[Cut, np.ndarray, np.ndarray]]:
    """Each cut, fade and dissolve, with the RGB frames before and after it."""
    begun: list[MarkedFrame] = []  # the steps of a transition so far
    previous: MarkedFrame | None = None
    before: np.ndarray | None = None

    def ended(last: MarkedFrame) -> tuple[Cut, np.ndarray, np.ndarray]:
        assert before is not None  # a transition begins with a step
        kind: CutKind = "dissolve" if begun[0].transition == "dissolve" else "fade"
        score = max(step.score for step in begun)
        cut = _cut(begun[0], kind, len(begun), score)
        return cut, before, to_rgb(last.frame.picture)

    for item in marked:
        if begun and previous is not None and item.transition != begun[0].transition:
            yield ended(previous)
            begun.clear()
        if previous is not None and item.transition is not None:
            if not begun:
                before = to_rgb(previous.frame.picture)
            begun.append(item)
        elif previous is not None and item.cut_before:
            before = to_rgb(previous.frame.picture)
            yield _cut(item, "cut", 1, item.score), before, to_rgb(item.frame.picture)
        previous = item
    if begun and previous is not None:
        yield ended(previous)


def _cut(first: MarkedFrame, kind: CutKind, frames: int, score: float) -> Cut:
    frame = first.frame
    return Cut(frame.index, round(float(frame.time), 3), kind, frames, round(score, 1))


def _counted(
    marked: Iterator[MarkedFrame], source: Source, progress: Callable[[int, int], None] | None
) -> Iterator[MarkedFrame]:
    for done, item in enumerate(marked, 1):
        yield item
        if progress is not None:
            progress(done, source.info.num_frames)
