"""`interpolator.video(...)` in one line, with what the command offers."""

import threading
from pathlib import Path

import pytest

from zoomin_d2 import Interpolator
from zoomin_d2.cli.arguments import make_options, make_parser
from zoomin_d2.video import Hooks, VideoError, interpolate_video, open_source
from zoomin_d2.video.errors import OptionError
from zoomin_d2.video.jobs.options import job_options
from zoomin_d2.video.time.cut_list import Cut


@pytest.fixture
def clip(write_video, make_frames):
    return write_video("in.mp4", make_frames(6))


@pytest.fixture(scope="module")
def interpolator():
    return Interpolator.from_pretrained("average")


@pytest.mark.parametrize(
    ("target", "frames"), [({"fps": 60}, 14), ({"multi": 3}, 18), ({"slowmo": 4}, 24), ({}, 12)]
)
def test_targets(interpolator, clip, tmp_path, target, frames):
    report = interpolator.video(str(clip), str(tmp_path / "out.mp4"), **target)
    assert report.output_frames == frames
    assert (tmp_path / "out.mp4").is_file()


def test_options_reach_job_and_encoder(interpolator, clip, tmp_path):
    output = tmp_path / "out.mkv"
    report = interpolator.video(clip, output, codec="ffv1", cut_threshold=None, on_cut="blend")
    assert report.encoder.startswith("ffv1")
    with pytest.raises(VideoError, match="exists"):
        interpolator.video(clip, output)
    assert interpolator.video(clip, output, overwrite=True).encoder.startswith("libx264")
    with pytest.raises(TypeError, match=r"option 'crt'; beside .* known are .*cut_threshold"):
        interpolator.video(clip, output, crt=18)


def test_images_and_hooks(interpolator, images_of, tmp_path):
    seen = []
    hooks = Hooks(progress=lambda *x: seen.append(x), stop=threading.Event())
    report = interpolator.video(
        [Path(p) for p in images_of(3)], tmp_path / "out.mkv", input_fps=10, hooks=hooks
    )
    assert report.fps == "20" and seen[-1] == (6, 6)


def test_paths_and_names_alike(interpolator, clip, tmp_path):
    from zoomin_d2.video import Target

    report = interpolate_video(clip, tmp_path / "out.mp4", interpolator, Target(multi=2))
    assert report.output_frames == 12
    for name in (clip, str(clip), [clip]):
        with open_source(name) as source:
            assert source.info.width == 64


def test_flat_keywords_find_their_place():
    options = job_options(model="fast", resume=True, crf=20, dedupe=True)
    assert (options.model, options.resume) == ("fast", True)
    assert (options.encode.crf, options.stream.dedupe) == (20, True)


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ({"audio": "x"}, "audio must be copy, encode, drop, got 'x'"),
        ({"on_cut": "x"}, "on_cut must be nearest, blend, got 'x'"),
        ({"on_damage": None}, "on_damage must be hold, fail, got None"),
        ({"unsure": "drop"}, "unsure must be keep, nearest, blend, got 'drop'"),
        ({"cut_threshold": "x"}, "cut_threshold must be a number from 0 to 255, got 'x'"),
        ({"cut_threshold": 256}, "from 0 to 255, got 256"),
        ({"max_gap": -1}, "max_gap must be a number above 0, got -1"),
        ({"limit": "0.2"}, "limit must be a number above 0, got '0.2'"),
        ({"limit": 0}, "above 0, got 0"),
        ({"limit": float("inf")}, "above 0, got inf"),
        ({"cuts": [3]}, r"cuts must be a \.csv file or a list of Cut, got \[3\]"),
        ({"cuts": "none.csv"}, "cuts: none.csv: No such file"),
        ({"crf": "x"}, r"libx264 takes --crf 0 \(best\) to 51 \(worst\), not 'x'"),
    ],
)
def test_wrong_values_of_options(interpolator, clip, tmp_path, option, words):
    with pytest.raises(OptionError, match=words):
        interpolator.video(clip, tmp_path / "out.mp4", **option)
    assert not list(tmp_path.glob("out*"))


def test_cuts_from_a_file(tmp_path):
    file = tmp_path / "cuts.csv"
    file.write_text("frame\n3\n")
    for given in (str(file), file, [Cut(3)], (Cut(3),)):
        assert job_options(cuts=given).stream.cuts == (Cut(3),)


def test_one_run_for_command_and_call(clip, tmp_path, monkeypatch):
    """Either resumes what the other began, if it makes the same frames."""
    used = []
    monkeypatch.setattr("zoomin_d2.video.interpolate_video", lambda *x: used.append(x[4]))
    model = Interpolator.from_pretrained("fast-roigan", device="cpu")
    model.video(clip, tmp_path / "out.mp4")
    monkeypatch.undo()
    assert used[0].extra["detail"] == 1 and used[0].extra["flow_scale"] == "auto"
    given = ["in.mp4", "out.mp4", "--model", "fast-roigan"]
    for words, same in (([], True), (["--detail", "1"], True), (["--compare", "side"], False)):
        args = make_parser().parse_args(given + words)
        assert (make_options(args, model.for_videos()) == used[0]) is same


@pytest.fixture
def images_of(tmp_path, make_frames):
    import cv2

    def make(count):
        paths = [str(tmp_path / f"{i}.png") for i in range(count)]
        for path, image in zip(paths, make_frames(count)):
            cv2.imwrite(path, image)
        return paths

    return make
