"""What the evaluator keeps for the report page."""

import json

import numpy as np
import torch
from detectron2.structures import Boxes, Instances
from PIL import Image

from zoomin_d2.evaluation import InterpolationEvaluator
from zoomin_d2.evaluation.saved_frames import SampledFrames, folder_name

HEIGHT, WIDTH = 12, 16


def make_sample(name: str) -> dict:
    frame = torch.full((3, HEIGHT, WIDTH), 100, dtype=torch.uint8)
    return {"file_name": name, "frame_1": frame - 20, "frame_t": frame, "frame_2": frame + 40}


def make_output(value: int = 110, maps: bool = True) -> dict:
    output = {"pred_frame": torch.full((3, HEIGHT, WIDTH), value / 255)}
    if maps:
        output["flow_1t"] = torch.full((2, HEIGHT, WIDTH), 1.5)
        output["flow_2t"] = torch.full((2, HEIGHT, WIDTH), -1.5)
        output["blend_mask"] = torch.full((1, HEIGHT, WIDTH), 0.2)
        output["proposals"] = Instances((HEIGHT, WIDTH))
        output["proposals"].proposal_boxes = Boxes(torch.tensor([[1.0, 2.0, 9.0, 10.0]]))
    return output


def evaluate(folder, names, num, **output) -> dict:
    evaluator = InterpolationEvaluator("toy", folder, num_saved_frames=num)
    for name in names:
        evaluator.process([make_sample(name)], [make_output(**output)])
    evaluator.evaluate()
    return json.loads((folder / "results.json").read_text())["saved_frames"]


def test_frames_and_maps_come_back_from_disk(tmp_path):
    saved = evaluate(tmp_path, ["clip 1/0"], 3)
    folder = tmp_path / saved["clip 1/0"]
    values = {"frame_1": 80, "frame_t": 100, "frame_2": 140, "pred_frame": 110}
    for key, value in values.items():
        picture = np.asarray(Image.open(folder / f"{key}.png"))
        assert picture.shape == (HEIGHT, WIDTH, 3)
        assert (picture == value).all()
    maps = np.load(folder / "maps.npz")
    assert (maps["flow_1t"] == 1.5).all() and maps["flow_1t"].shape == (2, HEIGHT, WIDTH)
    assert (maps["flow_2t"] == -1.5).all()
    assert (maps["blend_mask"] == 51).all() and maps["blend_mask"].shape == (HEIGHT, WIDTH)
    assert maps["proposal_boxes"].tolist() == [[1.0, 2.0, 9.0, 10.0]]


def test_every_method_keeps_the_same_images_in_any_order(tmp_path):
    names = [f"clip/{i}" for i in range(20)]
    first = evaluate(tmp_path / "a", names, 3)
    second = evaluate(tmp_path / "b", names[::-1], 3, value=50, maps=False)
    assert first == second and len(first) == 3
    for folder in ("a", "b"):
        kept = {path.name for path in (tmp_path / folder / "frames").iterdir()}
        assert kept == {path.split("/")[1] for path in first.values()}


def test_a_share_of_the_dataset_writes_its_share(tmp_path):
    names = [f"clip/{i}" for i in range(6)]
    shares = [SampledFrames(4), SampledFrames(4)]
    for i, name in enumerate(names):
        shares[i % 2].offer(make_sample(name), make_output())
    chosen = [share.save(tmp_path, names) for share in shares]
    assert chosen[0] == chosen[1] and len(chosen[0]) == 4
    assert {path.name for path in tmp_path.iterdir()} == set(chosen[0].values())


def test_maps_of_an_earlier_method_do_not_stay(tmp_path):
    evaluate(tmp_path, ["a"], 1)
    saved = evaluate(tmp_path, ["a"], 1, maps=False)
    assert not (tmp_path / saved["a"] / "maps.npz").exists()


def test_folder_names_are_safe_and_unique():
    names = ["../a", "a/b", "a_b", "a b", ".hidden", "x" * 300]
    folders = [folder_name(name) for name in names]
    assert len(set(folders)) == len(names)
    assert all("/" not in f and not f.startswith(".") and len(f) < 100 for f in folders)
