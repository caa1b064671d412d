import numpy as np
import pytest

from zoomin_d2.data.shot_analysis import analyse_video, find_runs
from zoomin_d2.frames import CorruptFrameError
from zoomin_d2.video.time.scene_cuts import Step
from zoomin_d2.video.time.step_detection import NEIGHBORHOOD, judge_step

FPS = 25.0


def runs_of(differences, steps=None):
    differences = np.asarray(differences, float)
    steps = np.full(len(differences), 1 / FPS) if steps is None else np.asarray(steps, float)
    kinds = []
    for i in range(len(differences)):
        low = max(0, i - NEIGHBORHOOD)
        kinds.append(Step(*judge_step(differences[low : i + NEIGHBORHOOD + 1], i - low)))
    return checked_runs(kinds, steps)


def checked_runs(kinds, steps):
    """Shots and counts, in which every frame is kept or left out for one reason."""
    shots, _, counts = find_runs(kinds, steps, FPS)
    parts = [n for name, n in counts.items() if name.startswith(("frames_kept", "left_out"))]
    assert len(parts) == 6 and sum(parts) == counts["frames"] == len(kinds) + 1
    return shots, counts


def test_a_plain_shot_is_one_run():
    shots, counts = runs_of([3.0] * 19)
    assert shots == [[(0, 20)]]
    assert (counts["frames"], counts["frames_kept"]) == (20, 20)
    assert counts["cuts"] == 0


def test_a_cut_parts_shots():
    shots, counts = runs_of([3.0] * 9 + [40.0] + [3.0] * 9)
    assert shots == [[(0, 10)], [(10, 20)]]
    assert counts["cuts"] == 1 and counts["frames_kept"] == 20


@pytest.mark.parametrize("differences", [[30.0] * 20, [9.0] * 9 + [30.0] + [9.0] * 9])
def test_fast_motion_is_no_cut(differences):
    assert len(runs_of(differences)[0]) == 1


def test_cut_below_ten_levels_is_none():
    assert len(runs_of([0.5] * 9 + [9.0] + [0.5] * 9)[0]) == 1


def test_repeated_frame_parts_runs():
    shots, counts = runs_of([3.0] * 9 + [0.02] + [3.0] * 9)
    # step 9 leads from frame 9 to its copy, frame 10
    assert shots == [[(0, 10), (10, 20)]]
    assert counts["frames_kept"] == 20 and counts["left_out_at_repeats"] == 0


def test_pulldown_of_24_to_30_fps():
    # every fifth frame is a copy: four steps of motion, one without (coding noise: 0.3)
    shots, counts = runs_of([4.0, 4.0, 4.0, 4.0, 0.3] * 5)
    assert shots == [[(0, 5), (5, 10), (10, 15), (15, 20), (20, 25)]]
    assert (counts["frames_kept"], counts["left_out_at_repeats"]) == (25, 1)  # the 26th is alone


def test_animation_on_twos_has_no_triplet():
    shots, counts = runs_of([5.0, 0.1] * 10)
    assert shots == []
    assert counts["left_out_at_repeats"] == 21 and counts["frames_kept"] == 0


def test_frames_left_out_have_one_reason():
    """Runs of 20 frames, parted by repeats; then 2 frames, a repeat, and one more before a cut."""
    moving, repeat, cut = Step(), Step(repeated=True), Step(cut=True)
    kinds = [*([*[moving] * 19, repeat] * 5), moving, cut]
    shots, counts = checked_runs(kinds, np.full(len(kinds), 1 / FPS))
    assert shots == [[(0, 20), (20, 40), (40, 60), (60, 80), (80, 100)]]
    assert (counts["frames"], counts["frames_kept"]) == (103, 100)
    # five steps repeat a frame, but only the two frames between the last one and the cut are lost
    assert counts["left_out_at_repeats"] == 2
    assert (counts["left_out_at_cuts"], counts["cuts"]) == (1, 1)


def test_first_frames_have_the_next_reason():
    shots, counts = checked_runs([Step(repeated=True), Step(), Step()], np.full(3, 1 / FPS))
    assert shots == [[(1, 4)]] and counts["left_out_at_repeats"] == 1


def test_a_still_stretch_is_left_out():
    shots, counts = runs_of([3.0] * 20 + [0.01] * 40 + [3.0] * 20)
    (first, second) = shots[0]
    assert len(shots) == 1
    # frames within reach of the motion may stay, up to the neighbourhood of six frames
    assert first[0] == 0 and 20 <= first[1] <= 24
    assert second[1] == 81 and 57 <= second[0] <= 61
    assert counts["left_out_in_stills"] > 25
    # near the motion, frames without any are repeats
    left_out = counts["left_out_in_stills"] + counts["left_out_at_repeats"]
    assert left_out == second[0] - first[1]


def test_uneven_time_parts_runs():
    steps = [0.04] * 9 + [0.12] + [0.04] * 9
    shots, counts = runs_of([3.0] * 19, steps)
    assert shots == [[(0, 10), (10, 20)]]
    assert counts["left_out_at_uneven_times"] == 0
    steps[11] = 0.12  # two frames between two long steps
    shots, counts = runs_of([3.0] * 19, steps)
    assert shots == [[(0, 10), (12, 20)]] and counts["left_out_at_uneven_times"] == 2


def test_unknown_times_are_taken_as_even():
    assert runs_of([3.0] * 9, [np.nan] * 9)[0] == [[(0, 10)]]


@pytest.mark.parametrize("num_frames", [1, 2])
def test_too_few_frames(num_frames):
    shots, counts = runs_of([3.0] * (num_frames - 1))
    assert shots == [] and counts["left_out_as_too_short"] == num_frames


def test_video_with_a_cut_and_a_repeat(tmp_path, write_video, moving_frames):
    first, second = moving_frames(12, seed=1), moving_frames(10, seed=2)
    frames = first[:7] + [first[6]] + first[7:] + second
    analysis = analyse_video(write_video(tmp_path / "a.mp4", frames, fps=30))
    assert analysis.shots == [[(0, 7), (7, 13)], [(13, 23)]]
    assert analysis.fps == pytest.approx(30, rel=1e-3)
    assert analysis.counts == {
        "frames": 23,
        "frames_kept": 23,
        "left_out_at_cuts": 0,
        "left_out_in_stills": 0,
        "left_out_at_repeats": 0,
        "left_out_at_uneven_times": 0,
        "left_out_as_too_short": 0,
        "cuts": 1,
        "missing_frames": 0,
    }


def test_truncated_file_tells_what_is_lost(tmp_path, write_video, moving_frames):
    path = write_video(tmp_path / "a.mkv", moving_frames(60))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    try:
        counts = analyse_video(path).counts
    except CorruptFrameError:
        return  # the cut went through a frame
    assert counts["missing_frames"] == 60 - counts["frames"] > 10
