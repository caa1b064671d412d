"""What the evaluator keeps for the report page."""

import json

import numpy as np
import torch
from detectron2.structures import Boxes, Instances
from PIL import Image

from zoomin_d2.evaluation import InterpolationEvaluator
from zoomin_d2.evaluation.saved_images import SavedImages

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
    evaluator = InterpolationEvaluator("toy", folder, num_saved=num)
    for name in names:
        evaluator.process([make_sample(name)], [make_output(**output)])
    evaluator.evaluate()
    return json.loads((folder / "results.json").read_text())["saved_frames"]


def folders_in(folder) -> set[str]:
    paths = folder.glob("frames/**/pred_frame.png")
    return {path.parent.relative_to(folder).as_posix() for path in paths}


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


def test_all_methods_keep_the_same_images(tmp_path):
    names = [f"clip/{i}" for i in range(20)]
    first = evaluate(tmp_path / "a", names, 3)
    second = evaluate(tmp_path / "b", names[::-1], 3, value=50, maps=False)
    assert first == second and len(first) == 3
    for folder in ("a", "b"):
        assert folders_in(tmp_path / folder) == set(first.values())


def test_share_of_dataset_writes_its_share(tmp_path):
    images = [{"file_name": f"clip/{i}", "PSNR": 30.0 + i} for i in range(6)]
    shares = [SavedImages(4), SavedImages(4)]
    for i, image in enumerate(images):
        shares[i % 2].offer(make_sample(image["file_name"]), make_output(), image["PSNR"])
    saved = [share.save(tmp_path, images) for share in shares]
    assert saved[0] == saved[1] and len(saved[0]["saved_frames"]) == 4
    assert folders_in(tmp_path) == set(saved[0]["saved_frames"].values())


def test_maps_of_earlier_methods_go(tmp_path):
    evaluate(tmp_path, ["a"], 1)
    saved = evaluate(tmp_path, ["a"], 1, maps=False)
    assert not (tmp_path / saved["a"] / "maps.npz").exists()


def test_pictures_of_earlier_evaluations_go(tmp_path):
    evaluate(tmp_path, [f"clip/{i}" for i in range(12)], 12)
    saved = evaluate(tmp_path, [f"clip/{i}" for i in range(12)], 3)
    files = {path for path in (tmp_path / "frames").rglob("*") if path.is_file()}
    assert {str(path.parent.relative_to(tmp_path)) for path in files} == set(saved.values())
    panels = {path.name for path in (tmp_path / "images").iterdir()}
    evaluate(tmp_path / "new", [f"clip/{i}" for i in range(12)], 3)
    assert panels == {path.name for path in (tmp_path / "new/images").iterdir()}


def test_folders_have_the_names_of_images(tmp_path):
    """Patterns of tools/evaluate.py find a frame by it."""
    names = ["val/lindau/lindau_000001_000019", "clip.mp4/000/0", "a"]
    saved = evaluate(tmp_path, names, 3)
    assert saved == {name: f"frames/{name}" for name in names}
    assert folders_in(tmp_path) == set(saved.values())


def test_folder_names_are_safe_and_unique(tmp_path):
    names = ["../a", "a/../b", "/a", "a//b", "a/", "a/.b", "a_b", "a b", ".hidden", "x" * 300]
    saved = evaluate(tmp_path / "out", names, len(names))
    folders = [path.removeprefix("frames/") for path in saved.values()]
    assert set(saved) == set(names) and len(set(folders)) == len(names)
    assert all("/" not in f and not f.startswith(".") and len(f) < 100 for f in folders)


def test_nothing_is_kept_for_nothing(tmp_path):
    saved = SavedImages(0)
    saved.offer(make_sample("a"), {}, 30.0)  # whose frames would be looked for
    assert saved.save(tmp_path, [{"file_name": "a", "PSNR": 30.0}])["saved_frames"] == {}
    assert list(tmp_path.iterdir()) == []


def test_an_image_may_be_worst_and_sampled(tmp_path):
    saved = SavedImages(1)
    saved.offer(make_sample("a"), make_output(), 30.0)
    both = saved.save(tmp_path, [{"file_name": "a", "PSNR": 30.0}])
    assert both["saved_images"] == {"worst": ["a"], "best": []}
    assert list(both["saved_frames"]) == ["a"]
    assert (tmp_path / "images" / "worst_01.png").is_file()
