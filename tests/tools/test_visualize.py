"""The two visualize tools write the pictures that they promise, or say what is wrong."""

import contextlib
import importlib
import io
import runpy
import subprocess
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

REPOSITORY = Path(__file__).parents[2]
SMALL = [
    *("MODEL.DEVICE", "cpu"),
    *("MODEL.GENERATOR.PAPER.FLOW_CHANNELS", "[4,4]"),
    *("MODEL.GENERATOR.PAPER.SYNTHESIS_CHANNELS", "2"),
    *("MODEL.GENERATOR.PAPER.SYNTHESIS_KERNEL", "3"),
    *("MODEL.PROPOSALS.NUM", "3"),
]


def _run(tool: str, *arguments) -> subprocess.CompletedProcess:
    """Run a tool's `main` in this process, as if it were a command of its own."""
    out, err = io.StringIO(), io.StringIO()
    code = 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            importlib.import_module(tool).main([str(x) for x in arguments])
        except SystemExit as stopped:
            code = stopped.code
    return subprocess.CompletedProcess(arguments, code, out.getvalue(), err.getvalue())


@pytest.fixture
def frames(tmp_path) -> list[np.ndarray]:
    """Five frames of a textured square that moves 4 px per frame."""
    rng = np.random.default_rng(0)
    ground = cv2.resize(rng.integers(0, 255, (8, 10, 3), dtype=np.uint8), (160, 128))
    square = cv2.resize(rng.integers(0, 255, (6, 6, 3), dtype=np.uint8), (48, 48))
    result = []
    for i in range(5):
        frame = ground.copy()
        frame[40:88, 20 + 4 * i : 68 + 4 * i] = square
        result.append(frame)
    return result


@pytest.mark.slow
def test_proposals_on_an_image_pair(frames, tmp_path):
    for name, frame in zip(("a.png", "B.PNG"), frames):
        cv2.imwrite(str(tmp_path / name), frame)
    pair = (tmp_path / "a.png", tmp_path / "B.PNG")
    done = _run("visualize_proposals", "--output", tmp_path / "out", "--input", *pair, *SMALL)
    assert done.returncode == 0, done.stderr
    names = sorted(p.name for p in (tmp_path / "out").iterdir())
    assert names == ["a_panel.png", "a_proposals.png", "a_zoom.png"]
    drawn = cv2.imread(str(tmp_path / "out" / "a_proposals.png"))
    assert drawn.shape[:2] == (256, 320)  # small frames are drawn at twice their size
    plain = cv2.resize((frames[0] // 2 + frames[1] // 2), (320, 256))
    assert np.abs(drawn.astype(int) - plain).max() > 100  # boxes


@pytest.mark.slow
def test_proposals_on_a_video(frames, tmp_path):
    path = tmp_path / "clip.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=24)
        stream.width, stream.height = 160, 128
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="bgr24")))
        container.mux(stream.encode())
    done = _run("visualize_proposals", "--num", "2", "--output", tmp_path, "--input", path, *SMALL)
    assert done.returncode == 0, done.stderr
    assert {p.name for p in tmp_path.glob("*_panel.png")} == {
        "clip_000000_panel.png",
        "clip_000002_panel.png",
    }


@pytest.mark.parametrize(
    ("given", "images", "overrides"),
    [
        ("A.PNG B.PNG MODEL.WEIGHTS x", ["A.PNG", "B.PNG"], ["MODEL.WEIGHTS", "x"]),
        ("A.PNG B.PNG", ["A.PNG", "B.PNG"], []),
        ("a b SEED 3 OUTPUT_DIR o", ["a", "b"], ["SEED", "3", "OUTPUT_DIR", "o"]),
    ],
)
def test_images_are_told_from_keys(given, images, overrides):
    parse = runpy.run_path(str(REPOSITORY / "tools/visualize_proposals.py"))["parse_args"]
    args = parse(["--input", *given.split()])
    assert (args.input, args.opts) == (images, overrides)


@pytest.mark.parametrize("tool", ["visualize_proposals", "visualize_data"])
def test_no_samples_are_refused(tool):
    options = ["--input", "sample_clips_val"] if tool == "visualize_proposals" else []
    done = _run(tool, "--num", "0", *options)
    assert done.returncode == 2
    assert done.stderr.endswith("--num: must be a whole number, 1 or more, not '0'\n")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["no_such_dataset"], "give two or three images, one video file"),
        (["a.png", "missing.png"], "missing.png"),
        (["a.png", "small.png"], "must have one size"),
        (["a.png"], "a.png"),
    ],
)
def test_bad_input_is_named(frames, tmp_path, given, message):
    cv2.imwrite(str(tmp_path / "a.png"), frames[0])
    cv2.imwrite(str(tmp_path / "small.png"), frames[0][:64])
    paths = [tmp_path / x if x.endswith(".png") else x for x in given]
    done = _run("visualize_proposals", "--output", tmp_path, "--input", *paths, *SMALL)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_data_of_the_sample_clips(tmp_path, caplog):
    done = _run(
        "visualize_data",
        "--num",
        "2",
        "--output",
        tmp_path,
        "DATASETS.TRAIN",
        "('sample_clips_train',)",
    )
    assert done.returncode == 0, done.stderr
    assert "Training on sample_clips_train" in done.stdout + caplog.text
    pictures = [cv2.imread(str(p)) for p in tmp_path.glob("*.png")]
    assert len(pictures) == 2
    assert all(p.shape[1] >= 3 * 256 for p in pictures)
    done = _run("visualize_data", "--output", tmp_path, "DATASETS.TRAIN", "('nothing',)")
    assert done.returncode == 2 and "nothing" in done.stderr
