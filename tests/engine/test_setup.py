"""What is wrong with a run's settings is said before it begins, in the words of the settings."""

from pathlib import Path

import pytest
import torch
from detectron2.evaluation import DatasetEvaluator

from tests.helpers.locks import locked_by_another
from tests.helpers.training_runs import REPOSITORY, make_trainer
from zoomin_d2 import get_zoomin_cfg
from zoomin_d2.engine import InterpolationTrainer, setup_cfg
from zoomin_d2.engine.setup import unread_keys
from zoomin_d2.files import lock_folder
from zoomin_d2.generators import GENERATORS
from zoomin_d2.modeling import build_generator
from zoomin_d2.user_errors import UserError


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("MODEL.PROPOSALS.NUM", "0"),
        ("MODEL.PROPOSALS.NUM", "many"),
        ("SOLVER.EMA.DECAY", "1.5"),
        ("SOLVER.EMA.DECAY", "[0.5]"),
        ("INPUT.CROP_SIZE", "64"),
        ("SOLVER.CUDA_GRAPH", "3"),
    ],
)
def test_a_value_out_of_range_is_named(tmp_path, key, value):
    """On the command line and in a file, whether the number or its type is wrong."""
    with pytest.raises(ValueError, match=f"{key} is .*: it must be ") as error:
        setup_cfg("", [key, value])
    assert "\n" not in str(error.value)
    *path, name = key.split(".")
    lines = [f"{'  ' * i}{part}:" for i, part in enumerate(path)]
    (tmp_path / "a.yaml").write_text("\n".join([*lines, f"{'  ' * len(path)}{name}: {value}\n"]))
    with pytest.raises(ValueError, match=f"{key} is .*: it must be ") as error:
        setup_cfg(str(tmp_path / "a.yaml"), [])
    assert "\n" not in str(error.value)


def test_a_whole_number_is_a_float(tmp_path):
    (tmp_path / "a.yaml").write_text("SOLVER:\n  BASE_LR: 1\n")
    cfg = setup_cfg(str(tmp_path / "a.yaml"), ["MODEL.PROPOSALS.ENLARGE", "2"])
    assert (cfg.SOLVER.BASE_LR, cfg.MODEL.PROPOSALS.ENLARGE) == (1.0, 2.0)
    assert type(cfg.SOLVER.BASE_LR) is type(cfg.MODEL.PROPOSALS.ENLARGE) is float


def test_a_key_that_is_none_is_named():
    with pytest.raises(ValueError, match=r"override SOLVER\.LR 1: Non-existent key: SOLVER\.LR$"):
        setup_cfg("", ["SOLVER.LR", "1"])


@pytest.mark.parametrize("key", ["MODEL.WEIGHTS", "MODEL.FROZEN_RPN.WEIGHTS"])
@pytest.mark.parametrize("name", ["nowhere.pth", "zoo:nothing"])
def test_weights_that_are_missing_are_named(key, name):
    with pytest.raises(FileNotFoundError, match=f"no file '{name}' \\({key}\\).*zoo:fast,"):
        setup_cfg("", [key, name])


def test_a_config_of_the_zoo_is_its_yaml():
    with pytest.raises(ValueError, match=r"'lazy\.py': LazyConfigs are not read, only YAML"):
        setup_cfg("lazy.py", [])
    with pytest.raises(ValueError, match="META_ARCHITECTURE is 'ProposalNetwork': it must be"):
        setup_cfg("zoo:rpn_R_18_FPN", [])
    with pytest.raises(FileNotFoundError, match=r"'zoo:nothing\.yaml' is not in the model zoo"):
        setup_cfg("zoo:nothing", [])


@pytest.mark.parametrize(
    "recipe",
    [
        "",
        *sorted((REPOSITORY / "configs").glob("*.yaml")),
        *sorted((REPOSITORY / "configs").glob("[!r]*/*.yaml")),
    ],
    ids=lambda p: "/".join(Path(p).parts[-2:]),
)
def test_recipes_set_only_keys_that_are_read(recipe, tmp_path):
    cfg = setup_cfg(str(recipe), [])
    assert unread_keys(cfg) == []
    saved = tmp_path / "config.yaml"  # of a run, in which tuples are lists
    saved.write_text(cfg.dump())
    assert unread_keys(setup_cfg(str(saved), [])) == []


def test_keys_that_nothing_reads_are_said(datasets_here, tmp_path):
    detectors = ("INPUT.CROP.SIZE", "[0.5,0.5]", "SOLVER.MOMENTUM", "0.5")
    make_trainer(datasets_here, tmp_path, *detectors)
    assert (
        "Ignored config keys: INPUT.CROP.SIZE, SOLVER.MOMENTUM. "
        in (tmp_path / "log.txt").read_text()
    )


def test_a_teacher_is_checked_at_the_start(datasets_here, tmp_path):
    with pytest.raises(UserError, match=r"there is no file 'gone'.*MODEL\.TEACHER\.WEIGHTS"):
        make_trainer(datasets_here, tmp_path, "MODEL.TEACHER.WEIGHTS", "gone")


def test_weights_are_no_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no file .*MODEL\.WEIGHTS"):
        setup_cfg("", ["MODEL.WEIGHTS", str(tmp_path)])


@pytest.mark.parametrize("name", ["file", "file/below", "n" * 300])
def test_impossible_output_folder_is_named(datasets_here, tmp_path, name):
    (tmp_path / "file").touch()
    with pytest.raises(SystemExit, match=r"cannot write to OUTPUT_DIR '.*'"):
        make_trainer(datasets_here, tmp_path / name)


def test_runs_do_not_share_an_output_folder(datasets_here, tmp_path):
    with locked_by_another(tmp_path):
        with pytest.raises(SystemExit, match="another run is training in OUTPUT_DIR"):
            make_trainer(datasets_here, tmp_path)
        assert [path.name for path in tmp_path.iterdir()] == [".lock"]
    assert lock_folder(tmp_path)  # what was killed holds nothing
    assert lock_folder(tmp_path)  # nor is a second run of this process another one


def test_options_of_a_generator_of_your_own(tmp_path, monkeypatch):
    monkeypatch.setitem(GENERATORS, "tiny", lambda width=4: torch.nn.Conv2d(6, width, 3))
    text = "MODEL: {GENERATOR: {NAME: tiny, %s: {WIDTH: 8}}}"
    (tmp_path / "own.yaml").write_text(text % "TINY")
    cfg = setup_cfg(str(tmp_path / "own.yaml"), ["MODEL.GENERATOR.TINY.WIDTH", "16"])
    assert build_generator(cfg).out_channels == 16
    (tmp_path / "wrong.yaml").write_text(text % "TINNY")
    with pytest.raises(ValueError, match=r"MODEL.GENERATOR.TINNY .* one of FAST, PAPER, TINY"):
        setup_cfg(str(tmp_path / "wrong.yaml"), [])
    (tmp_path / "lost.yaml").write_text("MODEL: {GENERATOR: {WIDTH: 8}}")
    with pytest.raises(ValueError, match=r"MODEL.GENERATOR.WIDTH .* one of FAST, PAPER, TINY"):
        setup_cfg(str(tmp_path / "lost.yaml"), [])
    (tmp_path / "plain.yaml").write_text("MODEL: {GENERATOR: {NAME: tiny, TINY: 3}}")
    with pytest.raises(ValueError, match=r"MODEL.GENERATOR.TINY is 3: it must be a node"):
        setup_cfg(str(tmp_path / "plain.yaml"), [])
    cfg = get_zoomin_cfg()
    cfg.merge_from_file(str(tmp_path / "wrong.yaml"))  # by hand, as in Detectron2's scripts
    with pytest.raises(ValueError, match=r"MODEL.GENERATOR.TINNY .* one of FAST, PAPER, TINY"):
        build_generator(cfg)


def test_option_after_overrides_is_named():
    with pytest.raises(
        ValueError, match=r"'--resume' comes after KEY VALUE.* before the first KEY"
    ):
        setup_cfg("", ["SOLVER.MAX_ITER", "5", "--resume"])
    with pytest.raises(ValueError, match=r"SOLVER\.MAX_ITER' has no value"):
        setup_cfg("", ["SEED", "1", "SOLVER.MAX_ITER"])


def test_evaluators_of_detectron2_fit():
    class Trainer(InterpolationTrainer):
        @classmethod
        def build_evaluator(cls, cfg, dataset_name):
            if dataset_name == "own":
                return DatasetEvaluator()
            return super().build_evaluator(cfg, dataset_name)

    cfg = setup_cfg("", ["DATASETS.TEST", "('own', 'triplets_dev')"])
    own, usual = Trainer._evaluators(cfg, {"run_id": 7})
    assert type(own) is DatasetEvaluator and usual.provenance == {"run_id": 7}
