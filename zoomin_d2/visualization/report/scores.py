"""Which results.json files there are, and which method and dataset each belongs to."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

_RESULTS = "results.json"


@dataclass
class Scores:
    """The results of one evaluation of one method on one dataset."""

    method: str
    dataset: str
    folder: Path
    means: dict[str, float]  # metric -> mean over images
    images: dict[str, dict[str, float]]  # file_name -> metric -> value
    saved_frames: dict[str, Path] = field(default_factory=dict)  # file_name -> folder
    provenance: dict = field(default_factory=dict)


def find_scores(sources: Sequence[str]) -> list[Scores]:
    """Read every results.json below some folders.

    Args:
        sources: each a folder (the OUTPUT_DIR of a training or evaluation, or any folder above
            it), or a results.json; "name=path" names the method, else the path does.

    Returns:
        one per method and dataset, in the order of the sources.

    Raises:
        ValueError: a source holds no results, a file is not the result of an evaluation, or two
            files claim the same method and dataset.
    """
    found: dict[tuple[str, str], Scores] = {}
    for source in sources:
        name, root = split_name(source)
        files = [root] if root.is_file() else sorted(root.rglob(_RESULTS))
        if not files:
            raise ValueError(
                f"there is no {_RESULTS} in '{root}': evaluate first (tools/train_net.py "
                "--eval-only, tools/evaluate.py baselines)"
            )
        for file in files:
            scores = _read(file, root, name)
            key = (scores.method, scores.dataset)
            if key in found:
                raise ValueError(
                    f"{file} and {found[key].folder / _RESULTS} are both '{scores.method}' on "
                    f"'{scores.dataset}': give one of them its own name, NAME={root}"
                )
            found[key] = scores
    return list(found.values())


def split_name(source: str) -> tuple[str, Path]:
    """(name or "", path) of "path" or "name=path", either of which may contain "="."""
    parts = source.split("=")
    splits = [("=".join(parts[:i]), Path("=".join(parts[i:]))) for i in range(len(parts))]
    return next((split for split in splits if split[1].exists()), splits[min(1, len(splits) - 1)])


def _read(file: Path, root: Path, name: str) -> Scores:
    try:
        content = json.loads(file.read_text())
        images = {image["file_name"]: _numbers(image) for image in content["images"]}
        means = _numbers(content["results"])
        dataset = content.get("dataset", file.parent.name)
        provenance = content.get("provenance", {})
        method = name or provenance.get("method") or _name_from_path(file, root, dataset)
        saved = content.get("saved_frames", {}).items()
        folders = {key: file.parent / value for key, value in saved}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{file} is not the result of an evaluation ({error!r})") from error
    return Scores(method, dataset, file.parent, means, images, folders, provenance)


def _name_from_path(file: Path, root: Path, dataset: str) -> str:
    """A method's name from its file: output/fast/inference/dev/results.json is "fast"."""
    root = (root.parent if root.is_file() else root).resolve()
    between = file.parent.resolve().relative_to(root).parts
    parts = [root.name, *between]
    return "/".join(x for x in parts if x not in ("inference", dataset)) or root.parent.name


def _numbers(values: dict) -> dict[str, float]:
    """The numbers of an image; json has no inf or nan (see `evaluation.results`)."""
    numbers = {}
    for key, value in values.items():
        is_finite = isinstance(value, int | float) and math.isfinite(value)
        if is_finite or value in ("inf", "-inf"):
            numbers[key] = float(value)
    return numbers
