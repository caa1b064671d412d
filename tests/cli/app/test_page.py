"""The page in a browser on a real clip; `python -m tests.stress app_browser` looks closer."""

import av
import pytest
from PIL import Image

from tests.cli.app.conftest import FRAMES
from zoomin_d2.cli.app.job_queue import JobQueue
from zoomin_d2.cli.app.jobs import RATE, SLOWER, SMOOTHER, Limits
from zoomin_d2.cli.app.page import build_app, launch_options

pytestmark = pytest.mark.slow  # a browser


@pytest.fixture(scope="module")
def page(browser):
    pytest.importorskip("gradio", reason="needs the extra 'app'")
    with JobQueue() as queue:
        app = build_app(queue, Limits(seconds=5))
        _, url, _ = app.launch(prevent_thread_lock=True, quiet=True, **launch_options())
        page = browser.new_page()
        elsewhere = []
        page.on(
            "request",
            lambda r: r.url.startswith((url, "data:", "blob:")) or elsewhere.append(r.url),
        )
        page.goto(url)
        yield page
        app.close()
    assert elsewhere == []


def test_a_visitor_interpolates_a_clip(page, real_clip, tmp_path):
    (tmp_path / "notes.mp4").write_text("no video")
    page.locator("#clips input[type=file]").set_input_files(
        [str(real_clip), str(tmp_path / "notes.mp4")]
    )
    refused = page.locator("#queue li.failed")
    refused.wait_for(timeout=30000)
    assert "notes.mp4" in refused.inner_text()
    page.get_by_label("Model").first.click()
    page.get_by_role("option", name="average").click()
    page.locator("#go").click()
    page.locator("#queue li.done").wait_for(timeout=60000)
    assert f"{FRAMES} \u2192 {2 * FRAMES} frames" in page.locator("#result .facts").inner_text()
    page.wait_for_function("document.querySelector('#result video').readyState >= 1")
    duration = page.locator("#result video").evaluate("e => e.duration")
    assert duration == pytest.approx(FRAMES / 25, abs=0.03)
    with page.expect_download() as download:
        page.get_by_role("link", name="Download the result").click()
    download.value.save_as(tmp_path / "result.mp4")
    with av.open(str(tmp_path / "result.mp4")) as video:
        assert sum(1 for _ in video.decode(video=0)) == 2 * FRAMES


def test_the_divider_moves_by_keys(page):
    divider = page.locator("zoomin-compare .divider")
    divider.focus()
    page.keyboard.press("ArrowRight")
    assert divider.get_attribute("aria-valuetext") == "51 % source"
    page.wait_for_function(
        "document.querySelector('zoomin-compare').shadowRoot.querySelector('canvas').width === 160"
    )


def test_a_removed_result_leaves_the_page(page):
    page.get_by_role("button", name="Remove real clip.mp4").click()
    page.locator("#result zoomin-compare").wait_for(state="detached", timeout=20000)


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
    page.keyboard.press("Enter")
    page.locator("#go").click()
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
