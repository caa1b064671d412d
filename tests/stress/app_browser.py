"""Drive zoomin-app in a browser, on a phone and a desktop: does it work, and what does axe find?

    python -m tests.stress app_browser                     # screenshots in a temporary folder
    python -m tests.stress app_browser --output shots/ --windows phone

In each window a visitor chooses settings and a mask, uploads two clips, waits for the first result
while the second runs, cancels the second, reloads the page, moves the divider by hand and by keys,
steps, plays, downloads, and makes frames between two images. The exit code is 1 if anything fails:
a step, a serious or critical finding of axe-core, a page wider than its window, a control smaller
than 24 pixels, an error in the console, a request to another server, or a file that a canceled job
leaves behind. Needs the extras app and dev, and a Chromium (or its path in ZOOMIN_CHROMIUM).
"""

import argparse
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from playwright.sync_api import Browser, Error, Page, sync_playwright

from tests.helpers.browser import find_chromium
from zoomin_d2.cli.app.job_queue import JobQueue
from zoomin_d2.cli.app.jobs import Limits
from zoomin_d2.cli.app.page import build_app, launch_options
from zoomin_d2.data.datasets.sample_clips import find_sample_videos

WINDOWS = {
    "phone": {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True},
    "desktop": {"viewport": {"width": 1366, "height": 768}},
    "dark": {"viewport": {"width": 1366, "height": 768}, "color_scheme": "dark"},
}
SHORT, LONG = 12, 160  # frames; the long one is canceled long before it is done
WAIT = 30_000  # milliseconds
# WCAG 2.2, 2.5.8: at least 24 x 24 pixels; a hidden input is reached through its label.
SMALL_CONTROLS = """() => [...document.querySelectorAll("button, a.button, select, summary, label")]
  .filter(e => e.checkVisibility() && e.tabIndex >= 0)
  .map(e => [e.getBoundingClientRect(), e.ariaLabel || e.innerText || e.className])
  .filter(([box]) => box.width && (box.width < 24 || box.height < 24))
  .map(([box, name]) => `${name.trim()} (${Math.round(box.width)} x ${Math.round(box.height)})`)"""


def write_clip(path: Path, num_frames: int) -> Path:
    """The beginning of a real clip, forwards and backwards until there are enough frames."""
    source = find_sample_videos(Path.cwd() / "none")[0]
    with av.open(str(source)) as video:
        frames = [f.to_ndarray(format="rgb24") for f, _ in zip(video.decode(video=0), range(24))]
    frames = frames + frames[-2:0:-1]
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=25)
        stream.height, stream.width = (n // 2 * 2 for n in frames[0].shape[:2])
        stream.pix_fmt = "yuv420p"
        for k in range(num_frames):
            image = frames[k % len(frames)][: stream.height, : stream.width]
            out.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(image))))
        out.mux(stream.encode())
    return path


def size_of(clip: Path) -> tuple[int, int]:
    """(width, height)."""
    with av.open(str(clip)) as video:
        return video.streams.video[0].width, video.streams.video[0].height


class Visit:
    """One window; `problems` is what is wrong."""

    def __init__(self, browser: Browser, url: str, window: str, shots: Path):
        self._window, self._shots = window, shots
        self.problems: list[str] = []
        self.page: Page = browser.new_context(**WINDOWS[window]).new_page()
        self.page.set_default_timeout(WAIT)
        self.page.on("pageerror", lambda error: self.report(str(error)))
        self.page.on("console", lambda m: m.type == "error" and self.report(m.text))
        self.page.on(
            "request",
            lambda r: r.url.startswith((url, "data:", "blob:")) or self.report(f"to {r.url}"),
        )
        self.page.goto(url)
        self.page.locator("#go").wait_for()

    def report(self, problem: str) -> None:
        self.problems.append(f"{self._window}: {problem}")

    def check(self, name: str) -> None:
        """A screenshot of the whole page, and what can be wrong with any page."""
        self.page.screenshot(path=self._shots / f"{self._window}_{name}.png", full_page=True)
        for found in Axe().run(self.page).response["violations"]:
            places = [node["target"] for node in found["nodes"][:3]]
            line = f"{name}: axe {found['impact']}: {found['id']} at {places}"
            if found["impact"] in ("serious", "critical"):
                self.report(line)
            else:
                print(f"{self._window}: {line}")
        if self.page.evaluate("document.documentElement.scrollWidth > innerWidth"):
            self.report(f"{name}: the page is wider than its window")
        for control in self.page.evaluate(SMALL_CONTROLS):
            self.report(f"{name}: small control {control}")

    def expect(self, what: str, is_so: Callable[[], bool]) -> None:
        """Report `what` unless it becomes so within ten seconds."""
        for _ in range(100):
            if is_so():
                return
            self.page.wait_for_timeout(100)
        self.report(f"not so: {what}")


def fill_in(visit: Visit, clips: list[Path], mask: Path) -> None:
    page = visit.page
    page.get_by_label("a frame rate", exact=True).check()
    page.locator("#value").get_by_text("Frames per second").wait_for()
    page.get_by_label("Model").first.click()
    page.get_by_role("option", name="OpenCV").click()
    page.get_by_text("Scene cuts, text, proposals").click()
    page.get_by_label("nearest frame").check()
    # The input of an upload button stands beside it.
    page.locator("input[type=file][data-testid$=upload-button]").set_input_files(str(mask))
    page.get_by_role("button", name="Mask: mask.png").wait_for()
    page.locator("#clips input[type=file]").set_input_files([str(clip) for clip in clips])
    page.locator("#queue li").nth(1).wait_for()
    visit.check("filled_in")
    page.locator("#go").click()


def wait_and_cancel(visit: Visit, queue: JobQueue) -> None:
    page = visit.page
    page.locator("#queue li.running").wait_for()
    page.locator("#queue li.done").wait_for()
    page.locator("#queue li.running .state", has_text="left").wait_for()
    second = page.locator("#queue li").nth(1)
    cancel = second.get_by_role("button", name="Cancel long.mp4")
    cancel.focus()
    before = second.locator(".state").inner_text()
    visit.expect("progress grows", lambda: second.locator(".state").inner_text() != before)
    focused = page.evaluate("document.activeElement.ariaLabel")
    visit.expect(
        f"focus stays while the queue is refreshed, not {focused}",
        lambda: focused == "Cancel long.mp4",
    )
    visit.check("running")
    page.keyboard.press("Enter")
    second.locator(".state", has_text="Canceled").wait_for()
    folders = [path for path in queue.folder.iterdir() if path.is_dir()]
    visit.expect(f"one folder is left, not {len(folders)}", lambda: len(folders) == 1)
    page.reload()
    page.locator("#queue li.canceled").wait_for()


def compare(visit: Visit) -> None:
    page = visit.page
    page.locator("#result zoomin-compare").wait_for()
    divider, stage = page.locator("zoomin-compare .divider"), page.locator("zoomin-compare .stage")
    stage.scroll_into_view_if_needed()
    visit.expect("a picture is shown", lambda: picture(page).std() > 5)
    visit.check("result")
    box = stage.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.25, box["y"] + box["height"] / 2, steps=4)
    page.mouse.up()
    visit.expect("the mouse moves the divider", lambda: abs(int(divider.input_value()) - 25) <= 1)
    page.keyboard.press("End")
    source = picture(page)
    page.keyboard.press("Home")
    visit.expect("keys move the divider", lambda: divider.input_value() == "0")
    difference = np.abs(source - picture(page)).mean()
    visit.expect("a made frame differs from the held one", lambda: difference > 0.2)
    time = page.locator("zoomin-compare .time")
    before = float(time.input_value())
    page.get_by_role("button", name="Next frame").click()
    visit.expect(
        "a step is a frame", lambda: abs(float(time.input_value()) - before - 1 / 60) < 0.01
    )
    page.get_by_role("button", name="Play", exact=True).click()
    page.get_by_role("button", name="Pause", exact=True).wait_for()
    at = float(time.input_value())
    visit.expect("it plays", lambda: float(time.input_value()) != at)
    page.get_by_role("button", name="Pause", exact=True).click()


def picture(page: Page) -> np.ndarray:
    """What the canvas shows, as floats."""
    code = "e => [...e.getContext('2d').getImageData(0, 0, e.width, e.height).data]"
    return np.array(page.locator("zoomin-compare canvas").evaluate(code), dtype=float)


def download(visit: Visit, folder: Path) -> None:
    with visit.page.expect_download() as waiting:
        visit.page.get_by_role("link", name="Download the result").click()
    path = folder / waiting.value.suggested_filename
    waiting.value.save_as(path)
    with av.open(str(path)) as video:
        num_frames = sum(1 for _ in video.decode(video=0))
    wanted = SHORT * 60 // 25  # 12 frames of 25 fps last as long as 28 of 60
    visit.expect(f"{num_frames} frames, not {wanted}", lambda: abs(num_frames - wanted) <= 1)


def interpolate_images(visit: Visit, images: list[Path]) -> None:
    visit.page.get_by_role("tab", name="Two images").click()
    for name, image in zip(("first", "second"), images):
        visit.page.locator(f"#{name} input[type=file]").set_input_files(str(image))
        visit.page.locator(f"#{name} img").first.wait_for()
    visit.check("two_images")
    visit.page.locator("#go-images").click()
    visit.page.get_by_text("t = 0.5").first.wait_for()
    visit.check("between_images")


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, help="folder for screenshots")
    parser.add_argument("--windows", nargs="+", choices=WINDOWS, default=list(WINDOWS))
    args = parser.parse_args(argv)
    shots = args.output or Path(tempfile.mkdtemp(prefix="app-browser-"))
    shots.mkdir(parents=True, exist_ok=True)
    problems = []
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        clips = [write_clip(Path(folder) / "short clip.mp4", SHORT)]
        clips.append(write_clip(Path(folder) / "long.mp4", LONG))
        images = [Path(folder) / name for name in ("mask.png", "second.png")]
        for image, level in zip(images, (0, 80)):
            Image.new("L", size_of(clips[0]), level).save(image)
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=["--no-sandbox"])
        for window in args.windows:
            with JobQueue() as queue:
                app = build_app(queue, Limits())
                _, url, _ = app.launch(prevent_thread_lock=True, quiet=True, **launch_options())
                visit = Visit(browser, url, window, shots)
                try:
                    fill_in(visit, clips, images[0])
                    wait_and_cancel(visit, queue)
                    compare(visit)
                    download(visit, Path(folder))
                    interpolate_images(visit, images)
                except Error as error:  # the other windows are still worth a look
                    visit.page.screenshot(path=shots / f"{window}_failed.png", full_page=True)
                    visit.report(str(error))
                visit.page.context.close()
                app.close()
            problems += visit.problems
            print(f"{window}: {len(visit.problems)} problems")
        browser.close()
    print("\n".join(problems))
    print(f"screenshots: {shots}")
    sys.exit(bool(problems))
