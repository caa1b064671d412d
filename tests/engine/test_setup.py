"""What is wrong with a run's settings is said before it begins, in the words of the settings."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.training_runs import REPOSITORY, make_trainer
from zoomin_d2.engine import setup_cfg
from zoomin_d2.engine.setup import unread_keys
from zoomin_d2.files import lock_folder

HOLD = (
    "import sys; from zoomin_d2.files import lock_folder\n"
    "print(lock_folder(sys.argv[1]), flush=True); sys.stdin.read()"
)


@pytest.mark.parametrize(
    "key, value",
    [
        ("SOLVER.IMS_PER_BATCH", "0"),
        ("SOLVER.CHECKPOINT_PERIOD", "0"),
        ("SOLVER.METRIC_PERIOD", "0"),
        ("SOLVER.MAX_ITER", "0"),
        ("SOLVER.BASE_LR", "0.0"),
        ("SOLVER.BASE_LR", "-0.1"),
        ("DATALOADER.NUM_WORKERS", "-1"),
        ("TEST.EVAL_PERIOD", "-1"),
        ("VIS_PERIOD", "-1"),
        ("INPUT.CROP_SIZE", "[0, 64]"),
        ("INPUT.CROP_SIZE", "[64]"),
        ("INPUT.CROP_SIZE", "['a', 64]"),
    ],
)
def test_numbers_that_make_no_sense_are_named(key, value):
    with pytest.raises(ValueError, match=f"^{key} is "):
        setup_cfg("", [key, value])


@pytest.mark.parametrize(
    "recipe",
    [
        "",
        *sorted((REPOSITORY / "configs").glob("*.yaml")),
        *sorted((REPOSITORY / "configs").glob("[!r]*/*.yaml")),
    ],
    ids=lambda p: "/".join(Path(p).parts[-2:]),
)
def test_no_recipe_sets_a_key_that_nothing_reads(recipe):
    assert unread_keys(setup_cfg(str(recipe), [])) == []


def test_keys_that_nothing_reads_are_said(datasets_here, tmp_path):
    detectors = ("INPUT.CROP.SIZE", "[0.5,0.5]", "SOLVER.MOMENTUM", "0.5")
    make_trainer(datasets_here, tmp_path, *detectors)
    assert (
        "Nothing here reads INPUT.CROP.SIZE, SOLVER.MOMENTUM: "
        in (tmp_path / "log.txt").read_text()
    )


def test_weights_that_are_a_folder_are_no_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no file .*MODEL\.WEIGHTS"):
        setup_cfg("", ["MODEL.WEIGHTS", str(tmp_path)])


@pytest.mark.parametrize("name", ["file", "file/below", "n" * 300])
def test_an_output_folder_that_cannot_be_is_named(datasets_here, tmp_path, name):
    (tmp_path / "file").touch()
    with pytest.raises(SystemExit, match=r"OUTPUT_DIR '.*' cannot be written to"):
        make_trainer(datasets_here, tmp_path / name)


def test_two_runs_do_not_share_an_output_folder(datasets_here, tmp_path):
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    other = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        assert other.stdout.readline() == "True\n"
        with pytest.raises(SystemExit, match="another run is training in OUTPUT_DIR"):
            make_trainer(datasets_here, tmp_path)
        assert [path.name for path in tmp_path.iterdir()] == [".lock"]
    finally:
        other.kill()
        other.communicate()
    assert lock_folder(tmp_path)  # what was killed holds nothing
    assert lock_folder(tmp_path)  # nor is a second run of this process another one


def test_an_option_after_the_overrides_is_told_where_it_goes():
    with pytest.raises(
        ValueError, match=r"'--resume' stands after KEY VALUE.* before the first KEY"
    ):
        setup_cfg("", ["SOLVER.MAX_ITER", "5", "--resume"])
    with pytest.raises(ValueError, match=r"SOLVER\.MAX_ITER' has no value"):
        setup_cfg("", ["SEED", "1", "SOLVER.MAX_ITER"])
