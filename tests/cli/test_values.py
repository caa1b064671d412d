"""What is said of values that do not fit, and of an output that says too little."""

import pytest


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--multi", "2.5"], "--multi: must be a whole number, not '2.5'; --fps takes any rate"),
        (["--tile", "8"], "--tile: must be auto, off, or a number of at least"),
        (["--flow-scale", "half"], "--flow-scale: must be auto or a number, not 'half'"),
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


def test_a_missing_extension_is_noted(run, clip, tmp_path):
    note = "no extension, so this becomes a folder of PNG images"
    source = clip(num_frames=3)
    for output, is_noted in (("new", True), ("other/", False), ("out.mp4", False)):
        code, _, err = run(source, f"{tmp_path}/{output}")
        assert code == 0 and (f"{output}: {note}" in err) == is_noted
    assert len(list((tmp_path / "new").glob("*.png"))) == 6
    assert note not in run(source, f"{tmp_path}/new", "--overwrite")[2]
    assert note not in run(source, f"{tmp_path}/quiet", "--quiet")[2]
