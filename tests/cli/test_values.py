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


def test_an_unknown_codec(run, clip, tmp_path):
    code, _, err = run(clip(), tmp_path / "out.mp4", "--codec", "h266")
    assert code == 5
    assert "Unknown codec 'h266'; known: h264, h265, av1, vp9, prores, or libx264, " in err


def test_a_missing_extension_is_noted(run, clip, tmp_path):
    note = "no extension, so this becomes a folder of PNG images"
    source = clip(num_frames=3)
    for output, is_noted in (("new", True), ("other/", False), ("out.mp4", False)):
        code, _, err = run(source, f"{tmp_path}/{output}")
        assert code == 0 and (f"{output}: {note}" in err) == is_noted
    assert len(list((tmp_path / "new").glob("*.png"))) == 6
    assert note not in run(source, f"{tmp_path}/new", "--overwrite")[2]
    assert note not in run(source, f"{tmp_path}/quiet", "--quiet")[2]
