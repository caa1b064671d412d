"""zoomin_d2.model_zoo.catalog: names resolve to what ships, and errors say what to do."""

import hashlib
import urllib.error
from pathlib import Path

import pytest
from detectron2.config import get_cfg
from detectron2.modeling import build_model
from detectron2.utils.file_io import PathManager
from iopath.common import file_io
from safetensors.torch import load_file

from zoomin_d2.config import get_zoomin_cfg
from zoomin_d2.model_zoo import catalog
from zoomin_d2.model_zoo.generator_file import load_generator, shipped_generators
from zoomin_d2.modeling.generator_options import generator_options
from zoomin_d2.modeling.zoo_paths import get_local_path

CONFIGS = Path(__file__).parents[2] / "configs"


def test_config_builds_a_proposal_network():
    cfg = get_cfg()
    cfg.merge_from_file(PathManager.get_local_path("zoo:rpn_R_18_FPN.yaml"))
    cfg.MODEL.DEVICE = "cpu"
    model = build_model(cfg)
    assert type(model.proposal_generator).__name__ == "RPN"
    assert model.backbone.bottom_up.stem.conv1.weight.shape == (64, 3, 7, 7)
    assert cfg.INPUT.FORMAT == "RGB"


@pytest.mark.parametrize("name", sorted(catalog.WEIGHTS_SHA256))
def test_weights_are_intact_and_fit(name):
    path = PathManager.get_local_path(f"zoo:{name}")
    with open(path, "rb") as f:
        data = f.read()
    assert hashlib.sha256(data).hexdigest() == catalog.WEIGHTS_SHA256[name]
    assert len(data) <= 30e6
    if name in shipped_generators():
        assert load_generator(name).name == name  # it needs no config
        return
    cfg = get_cfg()
    cfg.merge_from_file(PathManager.get_local_path(f"zoo:{name}.yaml"))
    cfg.MODEL.DEVICE = "cpu"
    build_model(cfg).load_state_dict(load_file(path), strict=True)


@pytest.mark.parametrize("name", ["fast", "fast-roigan", "fine", "fine-roigan"])
def test_weights_are_what_a_config_builds(name):
    # MODEL.GENERATOR.FAST.DETAIL needs no weights, so weights without it load as well
    config, _, recipe = name.partition("-")
    cfg = get_zoomin_cfg()
    cfg.merge_from_file(str(CONFIGS / config / f"{recipe or 'baseline'}.yaml"))
    assert load_generator(name).options["FAST"] == generator_options(cfg)["FAST"]


def test_every_weight_file_is_in_the_table():
    shipped = {n.removeprefix("zoo:") for n in catalog.available() if not n.endswith(".yaml")}
    assert shipped == set(catalog.WEIGHTS_SHA256)


def test_unknown_name_lists_what_there_is():
    with pytest.raises(FileNotFoundError, match=r"'zoo:no_such'.*zoo:rpn_R_18_FPN\.yaml"):
        PathManager.get_local_path("zoo:no_such")
    assert not PathManager.exists("zoo:no_such")
    assert PathManager.exists("zoo:rpn_R_18_FPN.yaml")


def test_zoo_files_can_be_opened():
    with PathManager.open("zoo:rpn_R_18_FPN.yaml") as f:
        assert "build_resnet_fpn_backbone" in f.read()


URL = "detectron2://COCO-Detection/rpn_R_50_C4_1x/137258005/model_final_450694.pkl"
CACHED = "detectron2/COCO-Detection/rpn_R_50_C4_1x/137258005/model_final_450694.pkl"


def test_no_network_tells_what_to_fetch(monkeypatch, tmp_path):
    def offline(*args, **kwargs):
        raise urllib.error.URLError("Name or service not known")

    monkeypatch.setattr(file_io, "download", offline)
    monkeypatch.setenv("FVCORE_CACHE", str(tmp_path))
    with pytest.raises(FileNotFoundError) as error:
        get_local_path(URL)
    message = str(error.value)
    assert URL in message
    assert "https://dl.fbaipublicfiles.com/" + CACHED in message
    assert str(tmp_path / CACHED) in message
    assert "zoo:rpn_R_18_FPN" in message

    # Following the message works, still without a network.
    (tmp_path / CACHED).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / CACHED).write_bytes(b"weights")
    assert get_local_path(URL) == str(tmp_path / CACHED)


def test_local_path_passes_through(tmp_path):
    file = tmp_path / "model.pth"
    file.write_bytes(b"weights")
    assert get_local_path(str(file)) == str(file)


def test_a_name_is_no_path():
    for name in ("zoo:../weights/rpn_R_18_FPN", "zoo:../../../etc/x.yaml", "zoo:/etc/passwd"):
        with pytest.raises(FileNotFoundError, match="not in the model zoo"):
            PathManager.get_local_path(name)


def test_a_file_with_another_hash_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "w.pth"
    path.write_bytes(b"abc")
    right = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2, B.1
    assert get_local_path(f"{path}#sha256={right}") == str(path)
    with pytest.raises(ValueError, match=f"w.pth: is damaged.*{right}, expected 1234"):
        get_local_path(f"{path}#sha256=1234")
    monkeypatch.setitem(catalog.WEIGHTS_SHA256, "rpn_R_18_FPN", "0" * 64)
    with pytest.raises(ValueError, match="rpn_R_18_FPN"):
        PathManager.get_local_path("zoo:rpn_R_18_FPN")
