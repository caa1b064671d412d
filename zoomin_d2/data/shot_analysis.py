"""A video file in, the runs of frames that training can use out.

A run is a stretch of consecutive frames of one shot, evenly spaced in time, in which every frame
differs from the one before: any three neighbors are a valid triplet. The judge of
video/time/scene_cuts.py finds cuts, fades, dissolves, repeated frames and still stretches; time is
uneven where a step differs by more than half from the file's median step.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from zoomin_d2.data.video_file import iter_frames, probe_video
from zoomin_d2.frames import CorruptFrameError
from zoomin_d2.video.read.source import THUMBNAIL_WIDTH, thumbnail
from zoomin_d2.video.time.scene_cuts import Step, StepJudge

MIN_RUN = 3  # a triplet
COMPLETE = 0.9  # below this share of the frames that the header promises, some count as missing


class ShotAnalysis(NamedTuple):
    """`shots`: per shot, its runs as (first, end) frame indices, end excluded. `fps`: frames per
    second or None. `counts`: `frames`, of which `frames_kept` are in runs and each other one is
    counted as left out, by reason; the number of `cuts`."""

    shots: list[list[tuple[int, int]]]
    fps: float | None
    counts: dict[str, int]


def analyse_video(file_name: str | Path) -> ShotAnalysis:
    """Find the shots of a video and their usable runs. Decodes the file once.

    Raises:
        CorruptFrameError: the file cannot be decoded to its end, or has no frames.
    """
    judge = StepJudge()
    kinds: list[Step] = []
    times = []
    for image, time in iter_frames(file_name, thumbnail_width=THUMBNAIL_WIDTH):
        kinds += judge.add(thumbnail(image))
        times.append(time)
    kinds += judge.finish()
    if not times:
        raise CorruptFrameError(file_name, "has no frames")
    info = probe_video(file_name)
    fps = info.fps
    steps = np.diff([np.nan if time is None else time for time in times])
    if len(steps) and np.isfinite(steps).all() and np.median(steps) > 0:
        fps = 1.0 / float(np.median(steps))
    analysis = find_runs(kinds, steps, fps)
    # In some containers a truncated file decodes without an error: only its header shows it.
    is_short = len(times) < COMPLETE * info.num_frames
    analysis.counts["missing_frames"] = info.num_frames - len(times) if is_short else 0
    return analysis


def find_runs(kinds: Sequence[Step], steps: np.ndarray, fps: float | None) -> ShotAnalysis:
    """The runs of n frames by their n - 1 steps.

    Args:
        kinds: of the step from frame i to frame i + 1.
        steps: time from frame i to frame i + 1 in seconds, (n - 1,); nan where unknown.
        fps: stored in the result.
    """
    num_steps = len(kinds)
    mixed = np.array([kind.transition is not None for kind in kinds], bool)
    ends = np.append(mixed[:-1] & ~mixed[1:], mixed[-1:])  # the new shot begins here
    cut = np.array([kind.cut for kind in kinds], bool) | ends
    repeated = np.array([kind.repeated for kind in kinds], bool)
    still = np.array([kind.still for kind in kinds], bool)
    uneven = np.zeros(num_steps, bool)
    if num_steps and np.isfinite(steps).all():
        median = np.median(steps)
        uneven = np.abs(steps - median) > 0.5 * median

    # Where several apply, the first one is the reason.
    reasons = {
        "left_out_at_cuts": cut | mixed,
        "left_out_in_stills": still,
        "left_out_at_repeats": repeated,
        "left_out_at_uneven_times": uneven,
    }
    broken = np.any(list(reasons.values()), axis=0)
    left_out = dict.fromkeys([*reasons, "left_out_as_too_short"], 0)
    shots: list[list[tuple[int, int]]] = [[]]
    first = 0
    for i in range(num_steps + 1):  # step i leads from frame i to frame i + 1
        if i < num_steps and not broken[i]:
            continue
        if i + 1 - first >= MIN_RUN:
            shots[-1].append((first, i + 1))
        else:
            # The step before these frames parts them from the others; at the start, the one after.
            step = first - 1 if first else i
            reason = next((x for x in reasons if reasons[x][step : step + 1].any()), None)
            left_out[reason or "left_out_as_too_short"] += i + 1 - first
        first = i + 1
        if i < num_steps and cut[i]:
            shots.append([])
    counts = {
        "frames": num_steps + 1,
        "frames_kept": sum(end - first for runs in shots for first, end in runs),
        **left_out,
        "cuts": int(cut.sum()),
    }
    return ShotAnalysis([runs for runs in shots if runs], fps, counts)
