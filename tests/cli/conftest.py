"""The command, and clips for it."""

import subprocess
import sys

import av
import cv2
import numpy as np
import pytest

from zoomin_d2.cli.interpolate_video import main


@pytest.fixture
def run(capsys):
    """Arguments -> (exit code, standard output, standard error), in this process."""

    def call(*arguments, model="average"):
        try:
            code = main([*map(str, arguments), "--model", model])
        except SystemExit as stopped:  # argparse
            code = stopped.code
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


@pytest.fixture
def start(tmp_path):
    """Arguments -> (process, file of its standard error) of the command. Not forked: the child
    would hang once OpenVINO's threads run here."""

    def call(*arguments):
        errors = tmp_path.with_name(tmp_path.name + ".stderr")
        command = "import sys; from zoomin_d2.cli.interpolate_video import main; sys.exit(main())"
        words = [sys.executable, "-c", command, *map(str, arguments), "--model", "average"]
        with errors.open("w") as file:
            children.append(subprocess.Popen(words, stderr=file))
        return children[-1], errors

    children: list[subprocess.Popen] = []
    yield call
    for child in children:
        child.kill()  # nothing, if it has ended
        child.wait()


@pytest.fixture
def clip(tmp_path):
    """(name, num_frames, height, width) -> a grey clip that grows brighter."""

    def make(name="in.mp4", num_frames=12, height=48, width=64):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with av.open(str(path), "w") as out:
            stream = out.add_stream("libx264", rate=25, options={"preset": "ultrafast"})
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            for i in range(num_frames):
                image = np.full((height, width, 3), 40 + 2 * (i % 80), np.uint8)
                image[:, : width // 2] += 20
                out.mux(stream.encode(av.VideoFrame.from_ndarray(image)))
            out.mux(stream.encode())
        return path

    return make


@pytest.fixture
def images(tmp_path):
    """(folder name, num_images) -> a folder of PNGs, 2.png before 10.png."""

    def make(name="images", num_images=12):
        folder = tmp_path / name
        folder.mkdir()
        for i in range(num_images):
            cv2.imwrite(str(folder / f"{i}.png"), np.full((30, 40, 3), 10 * i, np.uint8))
        return folder

    return make
