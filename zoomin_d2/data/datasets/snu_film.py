"""SNU-FILM: 4 lists of 310 triplets of rising difficulty (CAIN, AAAI 2020) as records."""

from pathlib import Path

from zoomin_d2.data.datasets.records import (
    MissingDatasetError,
    clip_record,
    image_size,
    resolve_inside,
)

NUM_TRIPLETS = 310
TREE = """
test-easy.txt  test-medium.txt  test-hard.txt  test-extreme.txt   (or in eval_modes/)
test/
    GOPRO_test/<clip>/*.png
    YouTube_test/<clip>/*.png
"""
COMMAND = "download SNU-FILM from https://myungsub.github.io/CAIN and unpack it there."


def load_snu_film(folder: str | Path, difficulty: str) -> list[dict]:
    """The triplets of one list, in its order.

    The lists name files as data/SNU-FILM/test/...; what follows "test/" is looked up here.

    Raises:
        MissingDatasetError: the list is missing or does not have 310 lines, or a frame is missing.
    """
    folder = Path(folder)
    name = f"snu_film_{difficulty}"

    def missing(problem: str) -> MissingDatasetError:
        return MissingDatasetError(name, folder, problem, TREE, COMMAND)

    list_name = f"test-{difficulty}.txt"
    candidates = [folder / list_name, folder / "eval_modes" / list_name]
    list_file = next((path for path in candidates if path.is_file()), None)
    if list_file is None:
        raise missing(f"{list_name} is missing.")
    lines = [
        line.split() for line in list_file.read_text(errors="replace").splitlines() if line.strip()
    ]
    if len(lines) != NUM_TRIPLETS or any(len(line) != 3 for line in lines):
        raise missing(f"{list_name} does not have {NUM_TRIPLETS} lines of three files.")
    records = []
    for line in lines:
        relative = [entry.replace("\\", "/").split("test/", 1)[-1] for entry in line]
        try:
            frames = [folder / "test" / path for path in relative]
            for path in relative:
                resolve_inside(folder / "test", path)
        except ValueError as error:
            raise missing(f"{list_name} is damaged: {error}.") from error
        for frame in frames:
            if not frame.is_file():
                raise missing(f"{frame.relative_to(folder)}, listed in {list_name}, is missing.")
        file_name = f"{name}/{Path(relative[1]).with_suffix('').as_posix()}"
        records.append(clip_record(file_name, map(str, frames), image_size(frames[1])))
    return records
