"""What is said of values that do not fit, and of an output that says too little."""

import cv2
import numpy as np
import pytest
from PIL import Image


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--multi", "2.5"], "--multi: must be a whole number, not '2.5'; --fps takes any rate"),
        (["--tile", "8"], "--tile: must be auto, off, or a number of at least"),
        (["--flow-scale", "half"], "--flow-scale: must be auto or a number, not 'half'"),
        (["--multi", "1001"], "multi must be from 2 to 1000, got 1001"),
        (["--slowmo", "0"], "--slowmo: must be above 0: 0"),
        (["--cut-threshold", "256"], "--cut-threshold: must be from 0 to 255: 256"),
    ],
)
def test_a_value_that_does_not_fit(run, tmp_path, options, words):
    code, _, err = run(tmp_path / "in.mp4", tmp_path / "out.mp4", *options)
    assert code == 2 and words in err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("--codec h266", "Unknown codec 'h266'; known: h264, h265, av1, vp9, prores, or libx264, "),
        ("--crf 99", "libx264 takes --crf 0 (best) to 51 (worst), not 99"),
        ("--codec ffv1 --crf 5", "ffv1 is lossless: leave out --crf"),
        ("--pix-fmt yuv999p", "libx264 cannot write yuv999p; it can write yuv420p, "),
        ("--preset best", "libx264 takes --preset ultrafast, superfast, "),
        ("--codec av1 --preset slow", "libsvtav1 takes --preset 0, 1, 2, "),
        ("--codec vp9 --preset slow", "libvpx-vp9 takes --preset 0, 1, 2, "),
        ("--codec prores --preset slow", "prores_ks takes --preset proxy, lt, standard, hq, "),
        ("--slowmo 2 --audio copy", "Sound cannot be copied into slow motion"),
    ],
)
def test_what_an_encoder_lacks_ends_with_2(run, clip, tmp_path, options, words):
    code, _, err = run(clip(), tmp_path / "out.mkv", *options.split())
    assert (code, err.count("\n")) == (2, 1) and words in err
    assert not (tmp_path / "out.mkv").exists()


@pytest.mark.parametrize(
    "options",
    [
        "--codec h265 --crf 22 --preset slow",
        "--codec av1 --crf 32 --preset 4",
        "--codec vp9 --preset 8",
        "--codec prores --preset 4444xq",
    ],
)
def test_presets_of_the_manual(run, clip, tmp_path, options):
    source = clip(num_frames=2)
    code, _, err = run(source, tmp_path / "out.mkv", *options.split())
    assert code == 0, err


@pytest.fixture
def images(tmp_path):
    for name in ("a.png", "b.png"):
        cv2.imwrite(str(tmp_path / name), np.full((16, 24, 3), 30000, np.uint16))
    return tmp_path


def test_lost_bits_are_named(run, images):
    code, _, err = run(images / "a.png", images / "b.png", images / "out.jpg")
    assert code == 9 and "16 bits: a .jpg holds 8" in err
    assert run(images / "a.png", images / "b.png", images / "out.png")[0] == 0


def test_images_that_are_not_there(run, images):
    code, _, err = run(images / "a.png", images / "none.png", images / "out.png")
    assert code == 3 and "none.png: No such file or directory" in err


def test_pages_are_no_animation(run, tmp_path):
    pages = [Image.new("RGB", (24, 16), color) for color in ("red", "blue")]
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    code, _, err = run(tmp_path / "a.tif", tmp_path / "out.mp4")
    assert code == 3 and "Unexpected" not in err


def test_names_that_are_too_long(run, images):
    (images / "in").mkdir()
    for name in ("a.png", "b.png"):
        (images / name).rename(images / "in" / name)
    code, _, err = run(images / "in", images / "out", model="x" * 300)
    assert code == 2 and "Traceback" not in err
    code, _, err = run(images / "in", f"{images}/{'x' * 300}/")
    assert code in (2, 5) and "File name too long" in err


def test_two_numbers_in_a_name(run, clip, tmp_path):
    code, _, err = run(clip(num_frames=3), tmp_path / "100%d_%03d.png")
    assert code == 5 and "100%d_%03d.png: has two numbers; a sequence has one" in err


def test_a_missing_extension_is_noted(run, clip, tmp_path):
    note = "no extension, so this becomes a folder of images"
    source = clip(num_frames=3)
    for output, is_noted in (("new", True), ("other/", False), ("out.mp4", False)):
        code, _, err = run(source, f"{tmp_path}/{output}")
        assert code == 0 and (f"{output}: {note}" in err) == is_noted
    assert len(list((tmp_path / "new").glob("*.png"))) == 6
    assert note not in run(source, f"{tmp_path}/new", "--overwrite")[2]
    assert note not in run(source, f"{tmp_path}/quiet", "--quiet")[2]
