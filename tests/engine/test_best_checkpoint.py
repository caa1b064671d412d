"""model_best.pth: the best evaluation of this run, however often it was interrupted."""

import json
import shutil

import pytest

from tests.helpers.training_runs import make_trainer

pytestmark = pytest.mark.slow  # whole runs


@pytest.fixture
def train(datasets_here):
    def train(output, *overrides, resume=False, max_iter=4):
        periods = ("TEST.EVAL_PERIOD", "2", "SOLVER.CHECKPOINT_PERIOD", "2", "VIS_PERIOD", "0")
        trainer = make_trainer(
            *(datasets_here, output, *periods, "SOLVER.MAX_ITER", str(max_iter), *overrides),
            config="baseline",
            is_tested=True,
            resume=resume,
        )
        trainer.train()
        return trainer

    return train


def best_of(folder) -> dict:
    return json.loads((folder / "model_best.json").read_text())


def test_a_value_of_another_run_or_set(train, tmp_path):
    train(tmp_path, max_iter=2)
    ours = best_of(tmp_path)
    assert (ours["iteration"], ours["evaluated"], ours["dataset"]) == (1, 2, "triplets_tiny")
    for key, other in (("run_id", "of another run"), ("dataset", "triplets_other")):
        content = {**ours, "value": 99.0, key: other}
        (tmp_path / "model_best.json").write_text(json.dumps(content))
        train(tmp_path, resume=True, max_iter=ours["evaluated"] + 2)
        ours = best_of(tmp_path)
        assert ours["value"] < 99 and ours[key] != other
    # A value of this run counts.
    (tmp_path / "model_best.json").write_text(json.dumps({**ours, "value": 99.0}))
    train(tmp_path, resume=True, max_iter=ours["evaluated"] + 2)
    assert best_of(tmp_path)["value"] == 99


@pytest.mark.parametrize(
    "content", ['{"value":', "[]", '{"value": 1}', '{"value": "a", "iteration": 1, "evaluated": 2}']
)
def test_a_damaged_record(train, tmp_path, content):
    train(tmp_path, max_iter=2)
    (tmp_path / "model_best.json").write_text(content)
    train(tmp_path, resume=True)
    assert best_of(tmp_path)["evaluated"] == 4


def test_an_interrupted_evaluation_is_done(train, tmp_path):
    whole = train(tmp_path / "whole")
    expected = best_of(tmp_path / "whole")
    scores = [x["interpolation/PSNR"] for x in metrics(tmp_path / "whole")]
    assert len(scores) == 2
    killed = tmp_path / "killed"  # while it evaluated iteration 2
    shutil.copytree(tmp_path / "whole", killed)
    for name in ("model_best.json", "model_best.pth", "model_final.pth", "metrics.json"):
        (killed / name).unlink()
    (killed / "last_checkpoint").write_text("model_0000001.pth")
    train(killed, resume=True)
    assert best_of(killed) == expected
    assert [x["interpolation/PSNR"] for x in metrics(killed)] == scores
    assert metrics(killed)[0]["iteration"] == 1
    (killed / "last_checkpoint").write_text("model_0000001.pth")
    again = train(killed, resume=True)  # evaluated before: not again
    assert again.iter == whole.iter and len(metrics(killed)) == 3


def metrics(folder) -> list[dict]:
    lines = map(json.loads, (folder / "metrics.json").read_text().splitlines())
    return [line for line in lines if "interpolation/PSNR" in line]


def test_a_failed_iteration_is_not_evaluated(train, tmp_path, monkeypatch):
    def fail(trainer):
        raise RuntimeError("failed")

    monkeypatch.setattr("zoomin_d2.engine.trainer.InterpolationTrainer.run_step", fail)
    with pytest.raises(RuntimeError, match="failed"):
        train(tmp_path, max_iter=1)
    assert not (tmp_path / "model_best.json").exists()
    assert not (tmp_path / "inference").exists()
