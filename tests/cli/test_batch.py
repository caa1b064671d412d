"""Several inputs in one call: names of the outputs, and that no input is ever lost."""

import os

import pytest

from zoomin_d2.cli.batch import Outcome, make_table, plan_jobs
from zoomin_d2.video import Report
from zoomin_d2.video.errors import OutputError


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
