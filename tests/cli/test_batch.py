"""Several inputs in one call: names of the outputs, and that no input is ever lost."""

import json
import os

import pytest

from zoomin_d2.cli.batch import Outcome, make_table, plan_jobs
from zoomin_d2.video import Report
from zoomin_d2.video.errors import OutputError
from zoomin_d2.video.write.segments import segments_path


def _touch(folder, *names):
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).write_text(name)
    return [str(folder / name) for name in names]


@pytest.mark.parametrize(
    "names", [("a.avi", "a.mkv"), ("a.mp4", "a.partial.mp4"), ("a.ts", "a.failed.mkv")]
)
def test_no_job_replaces_an_input(tmp_path, names):
    inputs = _touch(tmp_path, *names)
    with pytest.raises(OutputError, match="would replace the input"):
        plan_jobs([*inputs, str(tmp_path)])


def test_an_input_by_another_name_stays(tmp_path):
    inputs = _touch(tmp_path / "in", "a.avi", "b.mkv")
    os.mkdir(tmp_path / "out")
    os.link(inputs[1], tmp_path / "out/a.mkv")
    with pytest.raises(OutputError, match=r"would replace the input .*b\.mkv"):
        plan_jobs([*inputs, str(tmp_path / "out")])


def test_outputs_have_names_of_their_own(tmp_path):
    inputs = [*_touch(tmp_path / "1", "a.mp4", "a.ts"), *_touch(tmp_path / "2", "a.mp4", "A.MP4")]
    inputs += _touch(tmp_path / "3", "a.mp4", "a.partial.mp4")
    outputs = [job.output for job in plan_jobs([*inputs, str(tmp_path / "out")])]
    names = [os.path.basename(o) for o in outputs]
    assert names[:4] == ["a.mp4", "a.mkv", "a.mp4.mp4", "A.MP4 (2).MP4"]
    assert len({n.casefold() for n in names}) == 6
    assert "a.partial.mp4" not in names  # where the job of a.mp4 would put what it has so far


def test_the_table_tells_losses():
    job = plan_jobs(["a.mp4", "b.mp4"])[0]
    whole, lossy = Report("a", "b"), Report("a", "b", dropped=["subtitle stream 2"])
    outcomes = [Outcome(job, whole, None), Outcome(job, lossy, None)]
    assert [o.exit_code for o in outcomes] == [0, 9]
    table = make_table(outcomes, 2)
    assert "incomplete" in table and "1 of 2 done, 1 failed" in table


def test_a_resumed_batch_keeps_what_is_done(run, clip, tmp_path):
    inputs = [clip("1/a.mp4"), clip("1/b.mp4")]
    run(inputs[0], tmp_path / "a.mp4")
    done = (tmp_path / "a.mp4").stat()
    code, _, err = run(*inputs, tmp_path, "--resume")
    assert code == 0 and "a.mp4: was there already" in err and "2 of 2 done, 0 failed" in err
    assert (tmp_path / "a.mp4").stat() == done and (tmp_path / "b.mp4").exists()
    code, out, _ = run(*inputs, tmp_path, "--resume", "--json")
    kept = [json.loads(line) for line in out.splitlines()]
    assert code == 0 and [k["event"] for k in kept] == ["kept", "kept"]
    assert [k["output"] for k in kept] == [str(tmp_path / "a.mp4"), str(tmp_path / "b.mp4")]
    code, _, err = run(*inputs, tmp_path)
    assert code == 5 and "0 of 2 done, 2 failed" in err
    os.mkdir(segments_path(tmp_path / "a.mp4"))  # of a run that would have replaced a.mp4
    assert run(*inputs, tmp_path, "--resume")[0] == 5


def test_an_estimate_makes_no_folder(run, clip, tmp_path):
    code, out, _ = run(clip("a.mp4"), clip("b.mp4"), tmp_path / "new", "--estimate")
    assert code == 0 and out.count("for 24 frames") == 2
    assert sorted(x.name for x in tmp_path.iterdir()) == ["a.mp4", "b.mp4"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--input-fps", "10"], "in.mp4 has its own times: --filter setpts=N/10/TB changes them"),
        (["--raw-input", "64x48:rgb24:25"], "--raw-input is for standard input"),
    ],
)
def test_options_of_other_inputs_are_refused(run, clip, tmp_path, options, words):
    code, _, err = run(clip(), tmp_path / "out.mp4", *options)
    assert (code, err.count("\n")) == (2, 1) and words in err
