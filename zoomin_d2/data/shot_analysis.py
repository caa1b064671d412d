"""A video file in, the runs of frames that training can use out.

A run is a stretch of consecutive frames of one shot, evenly spaced in time, in which every frame
differs from the one before: any three neighbors are a valid triplet. The rules in
video/time/step_detection.py find cuts, repeated frames and still stretches; time is uneven where a
step differs by more than half from the file's median step.
"""

from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from zoomin_d2.data.video_file import iter_frames, probe_video
from zoomin_d2.frames import CorruptFrameError
from zoomin_d2.video.time.step_detection import NEIGHBORHOOD, THUMBNAIL_WIDTH, judge_step

MIN_RUN = 3  # a triplet
COMPLETE = 0.9  # below this share of the frames that the header promises, some count as missing


class ShotAnalysis(NamedTuple):
    """`shots`: per shot, its runs as (first, end) frame indices, end excluded. `fps`: frames per
    second or None. `counts`: what was seen and dropped, by name."""

    shots: list[list[tuple[int, int]]]
    fps: float | None
    counts: dict[str, int]


def analyse_video(file_name: str | Path) -> ShotAnalysis:
    """Find the shots of a video and their usable runs. Decodes the file once.

    Raises:
        CorruptFrameError: the file cannot be decoded to its end, or has no frames.
    """
    previous, differences, times = None, [], []
    for image, time in iter_frames(file_name, thumbnail_width=THUMBNAIL_WIDTH):
        luma = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
        if previous is not None:
            differences.append(float(np.abs(luma - previous).mean()))
        previous = luma
        times.append(time)
    if previous is None:
        raise CorruptFrameError(file_name, "has no frames")
    info = probe_video(file_name)
    fps = info.fps
    steps = np.diff([np.nan if time is None else time for time in times])
    if len(steps) and np.isfinite(steps).all() and np.median(steps) > 0:
        fps = 1.0 / float(np.median(steps))
    analysis = find_runs(np.asarray(differences), steps, fps)
    # In some containers a truncated file decodes without an error: only its header shows it.
    is_short = len(times) < COMPLETE * info.num_frames
    analysis.counts["missing_frames"] = info.num_frames - len(times) if is_short else 0
    return analysis


def find_runs(differences: np.ndarray, steps: np.ndarray, fps: float | None) -> ShotAnalysis:
    """The rules on the n - 1 differences and time steps of n frames.

    Args:
        differences: of frame i + 1 from frame i, (n - 1,).
        steps: time from frame i to frame i + 1 in seconds, (n - 1,); nan where unknown.
        fps: stored in the result.
    """
    num_steps = len(differences)
    cut = np.zeros(num_steps, bool)
    repeated = np.zeros(num_steps, bool)
    still = np.zeros(num_steps, bool)
    for i in range(num_steps):
        low = max(0, i - NEIGHBORHOOD)
        around = differences[low : i + NEIGHBORHOOD + 1]
        cut[i], repeated[i], still[i] = judge_step(around, i - low)
    uneven = np.zeros(num_steps, bool)
    if num_steps and np.isfinite(steps).all():
        median = np.median(steps)
        uneven = np.abs(steps - median) > 0.5 * median

    broken = cut | repeated | still | uneven
    shots: list[list[tuple[int, int]]] = [[]]
    first = 0
    for i in range(num_steps + 1):  # step i leads from frame i to frame i + 1
        if i < num_steps and not broken[i]:
            continue
        if i + 1 - first >= MIN_RUN:
            shots[-1].append((first, i + 1))
        first = i + 1
        if i < num_steps and cut[i]:
            shots.append([])
    kept = sum(end - first for runs in shots for first, end in runs)
    counts = {
        "frames": num_steps + 1,
        "frames_kept": kept,
        "cuts": int(cut.sum()),
        "repeated_frames": int(repeated.sum()),
        "still_frames": int(still.sum()),
        "uneven_time_steps": int((uneven & ~cut).sum()),
    }
    return ShotAnalysis([runs for runs in shots if runs], fps, counts)
