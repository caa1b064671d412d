"""zoomin-app: its limits and words, and the page in a browser on a real clip."""

import threading
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from zoomin_d2.cli import app_jobs
from zoomin_d2.cli.app import _for_a_visitor, build_app, launch_options
from zoomin_d2.cli.app_jobs import RATE, SLOWER, SMOOTHER, Limits
from zoomin_d2.data.datasets.sample_clips import find_sample_videos
from zoomin_d2.video import Target, VideoError

FRAMES = 8


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> Path:
    """The first frames of a real clip, small."""
    source = find_sample_videos(tmp_path_factory.mktemp("none"))[0]
    path = tmp_path_factory.mktemp("clips") / "real clip.mp4"
    with av.open(str(source)) as video, av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 160, 96, "yuv420p"
        for k, frame in zip(range(FRAMES), video.decode(video=0)):
            small = frame.reformat(width=160, height=96, format="yuv420p")
            small.pts, small.time_base = k, Fraction(1, 25)
            out.mux(stream.encode(small))
        out.mux(stream.encode())
    return path


def run(clip, target, folder, limits=Limits(), draw=False):  # noqa: B008
    seen = []
    stop = threading.Event()
    result = app_jobs.interpolate_clip(
        str(clip), target, "dis", draw, limits, folder, lambda *x: seen.append(x), stop
    )
    return result, seen


def num_frames(path) -> int:
    with av.open(str(path)) as video:
        return sum(1 for _ in video.decode(video=0))


def test_a_clip_becomes_smoother(clip, tmp_path):
    (path, words), progress = run(clip, Target(multi=2), tmp_path)
    assert num_frames(path) == 2 * FRAMES
    assert progress[-1][0] == 2 * FRAMES
    assert f"{FRAMES} \u2192 {2 * FRAMES} frames" in words and "at 50 fps" in words


def test_proposals_are_drawn(clip, tmp_path):
    (plain, _), _ = run(clip, Target(multi=2), tmp_path)
    (drawn, _), _ = run(clip, Target(multi=2), tmp_path, draw=True)
    frames = []
    for path in (plain, drawn):
        with av.open(path) as video:
            frames.append(next(video.decode(video=0)).to_ndarray(format="rgb24").astype(int))
    assert (np.abs(frames[0] - frames[1]).max(axis=2) > 60).sum() > 100


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        (Limits(seconds=0.1), r"lasts 0\.3 s; this page accepts at most 0\.1 s"),
        (Limits(pixels=1000), r"has 160 x 96 pixels; this page accepts at most 1,000"),
        (Limits(frames=12), r"would have 16 frames; this page makes at most 12"),
    ],
)
def test_limits_are_told_before_any_work(clip, tmp_path, limits, words):
    with pytest.raises(ValueError, match=words):
        run(clip, Target(multi=2), tmp_path, limits)


def test_what_is_no_video_leaves_nothing(tmp_path):
    (tmp_path / "notes.mp4").write_text("no video")
    (tmp_path / "results").mkdir()
    with pytest.raises(VideoError):
        run(tmp_path / "notes.mp4", Target(multi=2), tmp_path / "results")


def test_stop_shows_what_was_made_until_then(clip, tmp_path):
    stop = threading.Event()
    path, words = app_jobs.interpolate_clip(
        *(str(clip), Target(multi=2), "dis", False, Limits(), tmp_path),
        lambda done, total: stop.set() if done == 5 else None,
        stop,
    )
    assert 5 <= num_frames(path) < 2 * FRAMES
    assert words.startswith("**Stopped**") and "--resume" not in words
    assert list(Path(path).parent.iterdir()) == [Path(path)]  # the segments are gone


def test_choices_become_targets():
    assert app_jobs.make_target(SMOOTHER, 3) == Target(multi=3)
    assert app_jobs.make_target(RATE, 59.94).fps == Fraction(60000, 1001)
    assert app_jobs.make_target(RATE, 47.5).fps == Fraction(95, 2)
    assert app_jobs.make_target(SLOWER, 2.5) == Target(slowmo=Fraction(5, 2))
    for kind, value in ((SMOOTHER, 1.5), (RATE, 0), (SLOWER, 1)):
        with pytest.raises(ValueError, match="must be"):
            app_jobs.make_target(kind, value)


@pytest.mark.parametrize(
    "path", ["/srv/app/in.mp4", "C:\\Users\\me\\in.mp4", "D:/clips/in.mp4", "in.mp4"]
)
def test_no_server_paths_are_shown(path):
    words = _for_a_visitor(ValueError(f"'{path}': no video, 3/4 of 5 s"))
    assert words == "'in.mp4': no video, 3/4 of 5 s"


def test_frames_between_two_images():
    first, second = (np.full((48, 64, 3), value, dtype=np.uint8) for value in (40, 80))
    shown = app_jobs.interpolate_images(first, second, 3, "average", False, Limits())
    assert [caption for _, caption in shown] == [
        *("frame 1", "t = 0.25", "t = 0.5", "t = 0.75", "frame 2")
    ]
    assert [int(picture.mean()) for picture, _ in shown] == [40, 50, 60, 70, 80]
    for images, words in (((first, None), "two images"), ((first, first[1:]), "64 x 48 and 64 x")):
        with pytest.raises(ValueError, match=words):
            app_jobs.interpolate_images(*images, 1, "average", False, Limits())


@pytest.fixture(scope="module")
def page(browser):
    pytest.importorskip("gradio", reason="needs the extra 'app'")
    app = build_app(Limits(seconds=5))
    _, url, _ = app.launch(prevent_thread_lock=True, quiet=True, **launch_options())
    page = browser.new_page()
    elsewhere = []
    page.on(
        "request",
        lambda r: r.url.startswith(("http://1", "data:", "blob:")) or elsewhere.append(r.url),
    )
    page.goto(url)
    yield page
    app.close()
    assert elsewhere == []


def test_a_visitor_interpolates_a_clip(page, clip, tmp_path):
    page.locator("#clip input[type=file]").set_input_files(str(clip))
    page.locator("#clip video").wait_for(timeout=30000)
    page.get_by_label("Model").first.click()
    page.get_by_role("option", name="average").click()
    page.get_by_role("button", name="Interpolate").first.click()
    page.locator("#result video").wait_for(timeout=60000)
    page.wait_for_function("document.querySelector('#result video').readyState >= 2")
    duration = page.locator("#result video").evaluate("e => e.duration")
    assert duration == pytest.approx(FRAMES / 25, abs=0.03)
    assert f"{FRAMES} \u2192 {2 * FRAMES} frames" in page.locator("#words").inner_text()
    with page.expect_download() as download:
        page.locator("#result a[download]").first.click()
    download.value.save_as(tmp_path / "result.mp4")
    assert num_frames(tmp_path / "result.mp4") == 2 * FRAMES


def test_the_number_says_what_it_is_of(page):
    for choice, label, value in (
        (RATE, "Frames per second", "60"),
        (SLOWER, "Times as long", "4"),
        (SMOOTHER, "Times as many frames", "2"),
    ):
        page.get_by_label(choice, exact=True).check()
        page.locator("#value").get_by_text(label, exact=True).wait_for(timeout=20000)
        assert page.locator("#value input").input_value() == value


def test_a_visitor_reads_what_is_wrong(page):
    page.locator("#value input").fill("99")
    page.get_by_role("button", name="Interpolate").first.click()
    toast = page.get_by_text("must be a whole number from 2 to 16")
    toast.first.wait_for(timeout=20000)


def test_visitor_interpolates_two_images(page, tmp_path):
    page.get_by_role("tab", name="Two images").click()
    for name, value in (("first", 40), ("second", 80)):
        Image.new("RGB", (64, 48), (value,) * 3).save(tmp_path / f"{name}.png")
        page.locator(f"#{name} input[type=file]").set_input_files(str(tmp_path / f"{name}.png"))
        page.locator(f"#{name} img").first.wait_for(timeout=20000)
    page.locator("#go-images").click()
    page.get_by_text("t = 0.5").first.wait_for(timeout=60000)
    assert page.locator("#gallery img").count() >= 3
