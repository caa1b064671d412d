"""The options on cuts and loops."""

import json

import numpy as np
import pytest

from zoomin_d2.video.time.cut_list import read_cuts


@pytest.fixture
def shots(write_video, make_frames):
    frames = make_frames(24)
    return write_video("shots.mp4", [*frames[:12], *(255 - f for f in frames[12:])])


def test_cuts_are_listed_edited_and_used(run, shots, tmp_path):
    cuts = tmp_path / "cuts.csv"
    code, out, err = run(shots, "--list-cuts", cuts)
    assert (code, out, err) == (0, "", f"{cuts}: 1 cut\n")
    assert [cut.frame for cut in read_cuts(cuts)] == [12]
    assert (tmp_path / "cuts.png").is_file()
    cuts.write_text("frame\n6\n18\n")
    code, _, err = run(shots, tmp_path / "out.mp4", "--cuts", cuts)
    assert code == 0 and "2 scene cuts" in err and "cuts at (s): 0.24, 0.72" in err
    cuts.write_text("frame\n")
    code, _, err = run(shots, tmp_path / "none.mp4", "--cuts", cuts)
    assert code == 0 and "(23 made)" in err


def test_cuts_as_json(run, shots, tmp_path):
    code, out, _ = run(shots, "--list-cuts", tmp_path / "cuts.csv", "--json")
    last = json.loads(out.splitlines()[-1])
    assert (code, last["event"]) == (0, "cuts")
    assert last["cuts"][0].items() >= {"frame": 12, "time": 0.48, "kind": "cut"}.items()


@pytest.mark.parametrize(
    "options, words",
    [
        (["--cuts", "c.csv", "--no-cuts"], "--cuts cannot be combined with --no-cuts"),
        (["--cuts", "c.csv", "--cut-threshold", "10"], "combined with --cut-threshold"),
        (["--cuts", "c.csv", "--list-cuts", "d.csv"], "combined with --list-cuts"),
        (["--list-cuts", "d.csv", "--no-cuts"], "combined with --no-cuts"),
        (["--list-cuts", "d.csv", "--estimate"], "combined with --estimate"),
        (["--cut-threshold", "nan"], "must be from 0 to 255: nan"),
        (["--cut-threshold", "-5"], "must be from 0 to 255: -5"),
        (["--loop", "--preview", "1s"], "--loop cannot be combined with --preview"),
        (["--cuts", "none.csv"], "none.csv: No such file"),
        (["--list-cuts", "d.csv"], "--list-cuts takes one input and makes no other output"),
    ],
)
def test_options_that_contradict(run, tmp_path, options, words, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, _, err = run("in.mp4", "out.mp4", *options)
    assert code == 2 and words in err.splitlines()[-1]


def test_a_bad_line_is_named(run, shots, tmp_path):
    (tmp_path / "cuts.csv").write_text("frame\nsoon\n")
    code, _, err = run(shots, tmp_path / "out.mp4", "--cuts", tmp_path / "cuts.csv")
    assert code == 2 and len(err.splitlines()) == 1
    assert "cuts.csv, line 2: frame 'soon' is not a whole number" in err


def test_list_errors_have_their_codes(run, tmp_path, shots):
    code, _, err = run(tmp_path / "none.mp4", "--list-cuts", tmp_path / "c.csv")
    assert code == 3 and "no such file" in err
    assert run(shots, "--list-cuts", tmp_path / "c.txt")[0] == 5


def test_the_list_is_of_filtered_frames(run, shots, tmp_path):
    cuts = tmp_path / "cuts.csv"
    filters = ["--filter", "fps=50"]
    assert run(shots, "--list-cuts", cuts, *filters)[0] == 0
    assert [cut.frame for cut in read_cuts(cuts)] == [24]
    code, _, err = run(shots, tmp_path / "out.mp4", "--cuts", cuts, *filters)
    assert code == 0 and "cuts at (s): 0.48" in err and "warning" not in err


def test_a_stopped_list_is_absent(run, shots, tmp_path, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("zoomin_d2.video.jobs.list_cuts.write_cuts", stop)
    code, out, err = run(shots, "--list-cuts", tmp_path / "cuts.csv")
    assert (code, out) == (130, "") and err.endswith("Stopped; no list of cuts was written\n")


def test_a_loop_on_the_command_line(run, write_video, make_frames, tmp_path, read_video):
    source = write_video("in.mp4", make_frames(10))
    code, _, err = run(source, tmp_path / "out.mp4", "--loop")
    assert code == 0 and "10 -> 20 frames (10 made), 0.400 s" in err
    frames, _ = read_video(tmp_path / "out.mp4")
    seam = (frames[18].astype(float) + frames[0]) / 2
    assert np.abs(frames[19] - seam).mean() < 2
