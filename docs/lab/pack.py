#!/usr/bin/env python
"""Pack clips and wheels for a rented machine without internet, in folders of a limited size.

    python docs/lab/pack.py DATA OUT

DATA holds train/, train2/, hr/, hr2/, dev/ and pack/CATALOG2.tsv (docs/reproduction.md). OUT gets
the folders 0, 1, ..., of at most 55 MB each. Copied into one folder there, they are the SOURCE of
rented_machine.sh, with the fastest tenth of train2/ in motion/, triplets/dev for
DETECTRON2_DATASETS, weights/ of the zoo, and wheels/. There, when all folders have arrived:

    python -m pip install --no-index --no-deps --target SITE wheels/*.whl
    python -m zipfile -e wheels/detectron2.zip SITE
"""

import argparse
import csv
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

# What a machine that has PyTorch lacks.
PACKAGES = [
    *("fvcore", "iopath", "yacs", "termcolor", "pycocotools", "omegaconf==2.3.0", "hydra-core"),
    *("antlr4-python3-runtime==4.9.3", "portalocker", "cloudpickle", "tabulate", "setuptools<81"),
    *("av==18.1.0", "opencv-python-headless", "safetensors", "tensorboard", "tqdm", "natsort"),
]
DETECTRON2 = "sal-detectron2==0.7.2"  # tagged for Python 3.10: unpacked, not installed
HELD_OUT = 9  # clips of train2/
WEIGHTS = Path(__file__).parents[2] / "zoomin_d2/model_zoo/weights"


def files_of(data: Path) -> Iterator[tuple[Path, str]]:
    """Every file, and its path on the machine."""
    with (data / "pack/CATALOG2.tsv").open(newline="") as table:
        rows = list(csv.DictReader(table, delimiter="\t"))
    rows.sort(key=lambda row: -float(row["median_flow_px540_per_frame"]))
    held_out = {Path(row["file"]).name for row in rows[:HELD_OUT]}
    for file in sorted((data / "train2").glob("*.mp4")):
        yield file, f"{'motion' if file.name in held_out else 'train2'}/{file.name}"
    for folder, target in (("hr", "hr"), ("hr2", "hr"), ("train", "train")):
        for file in sorted((data / folder).glob("*.mp4")):
            yield file, f"{target}/{file.name}"
    for file in sorted((data / "dev").glob("*/*.png")):
        yield file, f"triplets/dev/{file.parent.name}/{file.name}"
    for file in sorted(WEIGHTS.glob("*.safetensors")):
        yield file, f"weights/{file.name}"


def download_wheels(folder: Path) -> None:
    """For Python 3.12 on Linux; of Detectron2 a .zip."""
    platforms = [f"--platform=manylinux_2_{n}_x86_64" for n in (17, 24, 27, 28, 31, 34)]
    platforms += ["--platform=manylinux2014_x86_64", "--platform=manylinux1_x86_64"]
    common = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", f"--dest={folder}"]
    binary = ["--only-binary=:all:", "--implementation=cp", *platforms]
    for package in PACKAGES:
        command = [*common, *binary, "--python-version=3.12", package]
        if subprocess.run(command, check=False).returncode:  # some are sources only
            subprocess.run(
                [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", f"-w{folder}", package],
                check=True,
            )
    subprocess.run([*common, *binary, "--python-version=3.10", DETECTRON2], check=True)
    for wheel in folder.glob("sal_detectron2*.whl"):
        wheel.rename(folder / "detectron2.zip")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--megabytes", type=float, default=55)
    args = parser.parse_args()
    wheels = args.out / "wheels"
    download_wheels(wheels)
    files = [(file, f"wheels/{file.name}") for file in sorted(wheels.iterdir())]
    part, size = 0, 0
    for file, target in [*files, *files_of(args.data)]:
        if size and size + file.stat().st_size > args.megabytes * 1e6:
            part, size = part + 1, 0
        size += file.stat().st_size
        copy = args.out / str(part) / target
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, copy)
    shutil.rmtree(wheels)
    print(f"{part + 1} folders in {args.out}")


if __name__ == "__main__":
    main()
