"""--no-still, --mask and --unsure, on a real clip with text over it."""

import json
from itertools import pairwise
from types import SimpleNamespace

import av
import cv2
import numpy as np
import pytest

from tests.helpers.overlays import overlay_of, paint
from zoomin_d2 import Interpolator
from zoomin_d2.frames import read_image
from zoomin_d2.video import Target
from zoomin_d2.video.jobs.container_job import JobOptions, _settings_key
from zoomin_d2.video.time.pipeline import StreamOptions

SIZE = (96, 160)


@pytest.fixture
def painted(real_clip, write_video):
    """(file, its frames, opacity of what is painted over them): 10 frames of a ride."""
    with av.open(str(real_clip("bikes.mp4"))) as container:
        images = [f.to_ndarray(format="rgb24") for _, f in zip(range(50), container.decode())]
    overlay = overlay_of(*SIZE)
    frames = [paint(cv2.resize(x, SIZE[::-1], None, 0, 0, 3), overlay) for x in images[30:50:2]]
    return write_video("in.mkv", frames, codec="ffv1", pix_fmt="bgr0"), frames, overlay[1]


@pytest.fixture
def make(run, tmp_path):
    """Options -> (made frames, report)."""

    def call(file, *options, model="dis"):
        folder = tmp_path / "out"
        code, out, err = run(file, f"{folder}/", "--overwrite", "--json", *options, model=model)
        assert code == 0, err
        made = sorted(folder.glob("*.png"))[1::2]
        return [read_image(path) for path in made[:9]], json.loads(out.splitlines()[-1])

    return call


def test_text_stays_still(painted, make):
    file, frames, opacity = painted
    text = opacity == 1
    before, plain = make(file, "--no-still")
    after, report = make(file)

    def error(made):
        # painted pixels are the same in all frames
        return np.mean([np.abs(x[text].astype(int) - frames[0][text]) for x in made])

    assert error(after) < 0.5 * error(before)
    assert plain["overlay_frames"] == 0 and report["overlay_frames"] == 9


def test_off_changes_no_byte(painted, make):
    file, frames, _ = painted
    model = Interpolator.from_pretrained("dis")
    made, report = make(file, "--no-still")
    for k, (a, b) in enumerate(pairwise(frames)):
        assert np.array_equal(made[k], model(a, b))
    assert report["unsure_frames"] == report["unsure_area"] == 0


def test_unsure_is_replaced_and_counted(painted, make):
    file, frames, _ = painted
    before, _ = make(file, "--no-still")
    after, report = make(file, "--no-still", "--unsure", "nearest")
    changed = [(x != y).any(2) for x, y in zip(before, after)]
    assert 0 < report["unsure_frames"] <= 9 and 0 < report["unsure_area"] < 0.5
    for k in range(9):
        # what changed is now closer to the frame before
        old, new = (np.abs(x[k].astype(int) - frames[k])[changed[k]] for x in (before, after))
        assert not changed[k].any() or new.mean() < old.mean()


def test_the_mask_keeps_the_nearer_frame(painted, make, tmp_path):
    file, frames, _ = painted
    mask = np.zeros(SIZE, np.uint8)
    mask[10:30, 20:60] = 255
    cv2.imwrite(str(tmp_path / "mask.png"), mask)
    before, _ = make(file, "--no-still")
    after, _ = make(file, "--no-still", "--mask", tmp_path / "mask.png")
    for k in range(9):
        assert np.array_equal(after[k][mask > 0], frames[k][mask > 0])
        assert np.array_equal(after[k][mask == 0], before[k][mask == 0])


def test_the_summary_counts(painted, run, tmp_path):
    _, _, err = run(painted[0], tmp_path / "out.mp4", "--unsure", "blend", model="dis")
    assert "(9 made, still parts kept in 9, " in err and "replaced as unsure)" in err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--unsure", "blend"], "average gives no flow here, so it is never unsure"),
        (["--mask", "small.png"], "small.png has 8x8 pixels, but the frames have 64x48"),
        (["--mask", "none.png"], "none.png: cannot be read"),
    ],
)
def test_what_does_not_fit_ends_with_2(run, clip, tmp_path, monkeypatch, options, words):
    monkeypatch.chdir(tmp_path)
    cv2.imwrite("small.png", np.zeros((8, 8), np.uint8))
    source = clip()
    before = sorted(tmp_path.iterdir())
    for output in ("out.mp4", "out.gif", "new/", "out.mp4 --estimate"):
        code, _, err = run(source, *output.split(), *options)
        assert (code, err.count("\n")) == (2, 1) and words in err
        assert sorted(tmp_path.iterdir()) == before


def test_a_refused_job_replaces_nothing(run, clip, tmp_path):
    folder, exr = tmp_path / "old", tmp_path / "new"
    assert run(clip(), f"{folder}/")[0] == 0
    before = {file: file.read_bytes() for file in folder.iterdir()}
    code, _, err = run(clip(), folder, "--overwrite", "--mask", "none.png")
    assert code == 2 and "cannot be read" in err
    assert {file: file.read_bytes() for file in folder.iterdir()} == before
    for options in (["--mask", folder / "000000.png"], ["--unsure", "blend"]):
        code, _, err = run(clip(), exr / "a.%04d.exr", *options, model="dis")
        assert code == 2 and "--mask and --unsure do not take EXR outputs" in err
    code, _, err = run(clip(), exr / "a.%04d.exr", "--compare", "side")
    assert code == 5 and "cannot be EXR images" in err
    assert not exr.exists()


def test_another_mask_is_another_job(tmp_path):
    """A run resumes only with the same pixels in its mask."""
    file = tmp_path / "mask.png"
    keys = []
    for level in (0, 0, 255):
        cv2.imwrite(str(file), np.full((8, 8), level, np.uint8))
        options = JobOptions(stream=StreamOptions(mask=file))
        keys.append(_key_of(options))
    assert keys[0] == keys[1] != keys[2]
    json.dumps(keys)


def _key_of(options):
    info = SimpleNamespace(fingerprint=[1])
    names = ("codec", "pix_fmt", "width", "height", "options")
    return _settings_key(info, SimpleNamespace(**dict.fromkeys(names, 1)), Target(2), options)


def test_unsure_pixels_may_be_transparent(run, tmp_path):
    """A disk that fades out while a bar passes it."""
    images = [np.full((64, 64, 4), (60, 120, 180, 255), np.uint8) for _ in range(2)]
    for i, image in enumerate(images):
        image[:, 10 + 30 * i : 20 + 30 * i, :3] = 255
        cv2.circle(image, (32, 32), 12, (0, 0, 0, 255 - 200 * i), -1)
        cv2.imwrite(str(tmp_path / f"{i}.png"), image)
    code, _, err = run(
        *(tmp_path / name for name in ("0.png", "1.png", "middle.png")),
        *("--unsure", "nearest"),
        model="dis",
    )
    made = cv2.imread(str(tmp_path / "middle.png"), cv2.IMREAD_UNCHANGED)
    assert code == 0 and "replaced as unsure" in err
    assert made.shape == (64, 64, 4) and 55 <= made[32, 32, 3] <= 255
