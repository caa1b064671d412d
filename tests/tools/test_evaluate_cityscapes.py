"""Numbers inside the objects of Cityscapes' gtFine, by the commands of docs/reproduction.md."""

import re
import shlex
from pathlib import Path

import cv2
import evaluate
import numpy as np
import pytest

from tests.helpers.commands import shown_commands
from tests.helpers.dataset_trees import write_image
from zoomin_d2.data.datasets.cityscapes import prepare_cityscapes

PAGE = Path(__file__).parents[2] / "docs" / "reproduction.md"
HEIGHT, WIDTH = 64, 128  # in place of 1024 and 2048
OBJECTS = np.s_[20:40, 30:90]
SNIPPETS = [("lindau", 0), ("munster", 0), ("munster", 30)]  # the last two touch


@pytest.fixture
def root(datasets_at):
    """Gray frames: the average of 80 and 120 is the truth, which is 5 levels brighter in objects.

    Lindau has no objects.
    """
    root = datasets_at / "cityscapes"
    for city, first in SNIPPETS:
        for frame in range(30):
            name = f"{city}/{city}_000000_{first + frame:06d}"
            path = root / f"leftImg8bit_sequence/val/{name}_leftImg8bit.png"
            write_image(path, {18: 80, 20: 120}.get(frame, 100), HEIGHT, WIDTH)
            if frame == 19:
                write_annotated(root, name, path, has_objects=city != "lindau")
    prepare_cityscapes(root, "val", show_progress=False)
    return root


def write_annotated(root: Path, name: str, path: Path, has_objects: bool) -> None:
    labels = np.full((HEIGHT, WIDTH), 7, np.uint16)
    if has_objects:
        labels[OBJECTS] = 26001
        image = cv2.imread(str(path))
        image[OBJECTS] += 5
        cv2.imwrite(str(path), image)
    ids = root / f"gtFine/val/{name}_gtFine_instanceIds.png"
    ids.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(ids), labels)
    cv2.imwrite(str(ids).replace("instanceIds", "labelIds"), labels)  # gtFine has others beside it


def save_frames(dataset: str, output: Path) -> Path:
    """Evaluate the average of the two inputs; the folder that has the place of inference/."""
    words = ["--dataset", dataset, "--baseline", "average", "--output", str(output)]
    evaluate.main(["baselines", *words, "TEST.NUM_SAVED", "500", "DATALOADER.NUM_WORKERS", "0"])
    return output / "average"


def shown_words(saved: Path, root: Path) -> list[str]:
    """The words of the page's command, but for its folders and its metrics."""
    commands = [words for _, words in shown_commands(PAGE) if "--roi-masks" in words]
    words = shlex.split(" ".join(commands[0]))
    folders = {"$SAVED": str(saved), "datasets/cityscapes/gtFine/val": str(root / "gtFine/val")}
    assert words.count("$SAVED") == 2 and words.count("datasets/cityscapes/gtFine/val") == 1
    return [folders.get(word, word) for word in words[: words.index("--output")]]


def test_the_page_leads_to_the_numbers(root, tmp_path):
    inference = save_frames("cityscapes_sequence_val_full", tmp_path / "out")
    (saved,) = re.findall(r"^SAVED=\S+/inference/(\S+)$", PAGE.read_text(), re.MULTILINE)
    words = [*shown_words(inference / saved, root), "--output", str(tmp_path / "inside")]
    results = evaluate.main(words)
    assert results["ROI_IE"] == pytest.approx(5.0)
    share = (20 * 60) / (HEIGHT * WIDTH)
    assert results["MAE"] == pytest.approx(2 / 3 * 5 * share, abs=1e-4)
    text = (tmp_path / "inside/results.json").read_text()
    names = [f"{city}/{city}_000000_{first + 19:06d}" for city, first in SNIPPETS]
    assert re.findall(r'"file_name": "([^"]+)"', text) == names


def test_frames_of_another_method(root, tmp_path):
    """Named as gtFine names them, against the frames that an evaluation has saved."""
    inference = save_frames("cityscapes_sequence_val_full", tmp_path / "out")
    saved = inference / "cityscapes_sequence_val_full/frames/cityscapes_sequence_val_full"
    words = shown_words(saved, root)
    for city, first in SNIPPETS:
        path = tmp_path / f"pred/{city}/{city}_000000_{first + 19:06d}.png"
        write_image(path, 103, HEIGHT, WIDTH)
    start, end = words.index("--pred"), words.index("--gt")
    words[start:end] = ["--pred", str(tmp_path / "pred")]
    assert evaluate.main(words)["ROI_IE"] == pytest.approx(2.0)


def test_masks_fit_the_full_size_only(root, tmp_path):
    inference = save_frames("cityscapes_sequence_val", tmp_path / "out")
    saved = inference / "cityscapes_sequence_val/frames/cityscapes_sequence_val"
    with pytest.raises(ValueError, match=r"\(64, 128\), the frame \(16, 32\)"):
        evaluate.main(shown_words(saved, root))
