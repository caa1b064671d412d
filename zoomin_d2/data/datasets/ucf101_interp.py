"""The 379 UCF101 test triplets of Deep Voxel Flow, with their motion masks, as records."""

from pathlib import Path

from zoomin_d2.data.datasets.records import MissingDatasetError, clip_record, image_size

NUM_TRIPLETS = 379
TREE = """
ucf101_interp_ours/<number>/            379 folders
    frame_00.png  frame_01_gt.png  frame_02.png
motion_masks_ucf101_interp/<number>/
    motion_mask.png
"""
COMMAND = (
    "unpack the testing data of https://github.com/liuziwei7/voxel-flow (UCF101 frames and motion "
    "masks) there."
)


def load_ucf101_interp(root: str | Path) -> list[dict]:
    """The test triplets, each with its motion mask (255 = counted).

    Raises:
        MissingDatasetError: a folder, a frame or a mask is missing.
    """
    root = Path(root)
    name = "ucf101_interp_test"

    def missing(problem: str) -> MissingDatasetError:
        return MissingDatasetError(name, root, problem, TREE, COMMAND)

    frames_folder = root / "ucf101_interp_ours"
    folders = sorted(
        (path for path in frames_folder.glob("*") if path.name.isdigit()),
        key=lambda path: int(path.name),
    )
    if not folders:
        raise missing("there is no folder ucf101_interp_ours with numbered subfolders.")
    if len(folders) != NUM_TRIPLETS:
        raise missing(
            f"found {len(folders)} folders in ucf101_interp_ours, expected {NUM_TRIPLETS}."
        )
    records = []
    for folder in folders:
        frames = [folder / n for n in ("frame_00.png", "frame_01_gt.png", "frame_02.png")]
        mask = root / "motion_masks_ucf101_interp" / folder.name / "motion_mask.png"
        for file in (*frames, mask):
            if not file.is_file():
                raise missing(f"{file.relative_to(root)} is missing.")
        records.append(
            clip_record(
                f"{name}/{folder.name}",
                map(str, frames),
                image_size(frames[0]),
                mask_file_name=str(mask),
            )
        )
    return records
