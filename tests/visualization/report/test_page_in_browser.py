"""The report page in headless Chromium, opened from disk: what a visitor does, and what axe finds.

Needs a Chromium (Debian: apt install chromium; or its path in ZOOMIN_CHROMIUM) and the dev extra.
"""

import pytest

from zoomin_d2.evaluation import METRICS
from zoomin_d2.visualization.quality_plot import Cost
from zoomin_d2.visualization.report import find_scores, write_report

pytestmark = pytest.mark.slow  # a browser

sync_api = pytest.importorskip("playwright.sync_api", reason="needs the package playwright")
axe_playwright = pytest.importorskip(
    "axe_playwright_python.sync_playwright", reason="needs the package axe-playwright-python"
)
VISITORS = {
    "desktop": {"viewport": {"width": 1280, "height": 900}},
    "phone": {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True},
    "dark": {"viewport": {"width": 1280, "height": 900}, "color_scheme": "dark"},
}


@pytest.fixture(scope="module")
def page_url(results, tmp_path_factory):
    scores = find_scores([str(results / m) for m in ("fast", "slow", "still")])
    costs = {"fast": Cost(3.0, 2_000_000), "slow": Cost(9.0, 5_000_000)}
    folder = tmp_path_factory.mktemp("a page with spaces") / "report"
    return write_report(folder, scores, METRICS, costs=costs).as_uri()


@pytest.fixture(params=VISITORS)
def page(request, browser, page_url):
    """The open page; at the end nothing may have gone wrong or been fetched from elsewhere."""
    context = browser.new_context(**VISITORS[request.param])
    page = context.new_page()
    problems = []
    page.on("console", lambda m: m.type in ("error", "warning") and problems.append(m.text))
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("requestfailed", lambda request: problems.append(f"failed: {request.url}"))
    page.on(
        "request",
        lambda request: (
            request.url.startswith(("file:", "data:"))
            or problems.append(f"from elsewhere: {request.url}")
        ),
    )
    page.goto(page_url)
    page.wait_for_load_state("networkidle")
    yield page
    assert problems == []
    context.close()


def test_axe_finds_no_serious_issue(page):
    page.locator(".roi").first.click()
    # Without preload: that reads style sheets by XMLHttpRequest, which file: pages may not.
    found = axe_playwright.Axe().run(page, options={"preload": False}).response["violations"]
    serious = [v["id"] for v in found if v["impact"] in ("serious", "critical")]
    assert serious == [], found
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_slider_moves_by_mouse_and_keys(page):
    slider = page.locator("#slider")
    slider.scroll_into_view_if_needed()
    area = slider.bounding_box()
    page.mouse.move(area["x"] + area["width"] / 2, area["y"] + area["height"] / 2)
    page.mouse.down()
    page.mouse.move(area["x"] + area["width"] * 0.25, area["y"] + area["height"] / 2, steps=4)
    page.mouse.up()
    assert slider.evaluate("e => e.value") == pytest.approx(25, abs=2)
    assert slider.get_attribute("aria-valuenow") == "25"
    slider.focus()
    page.keyboard.down("ArrowRight")
    page.wait_for_function("document.getElementById('slider').value > 27")
    page.keyboard.up("ArrowRight")


def test_any_two_sources_can_be_compared(page):
    options = page.locator("#left option").all_text_contents()
    assert options == ["frame 1", "frame 2", "average", "fast", "slow", "still", "truth"]
    page.locator("#left").select_option(label="slow")
    page.locator("#right").select_option(label="truth")
    assert page.locator("#left-image").get_attribute("src").endswith("pred-1.webp")
    assert page.locator("#right-image").get_attribute("src").endswith("truth.webp")
    assert "slow: " in page.locator("#left-caption").text_content()
    assert page.locator("#left-image").evaluate("e => e.naturalWidth") == 128
    first = page.locator("#triplet").input_value()
    page.get_by_role("button", name="Next").click()
    assert page.locator("#triplet").input_value() != first
    assert page.locator("#left-caption").text_content().startswith("slow")


def test_proposals_zoom_into_every_method(page):
    page.locator(".roi").nth(0).click()
    figures = page.locator("#zoom figure")
    assert figures.count() == 5  # truth, average and three methods
    # 42.11 dB: 2 of 255 off inside this proposal, by hand.
    assert "fastPSNR 42.11 dB" in figures.nth(2).text_content()
    assert page.locator("#zoom").text_content().startswith("Proposal 1: 32 \u00d7 32 px")
    size = page.locator("#zoom .crop").first.bounding_box()
    assert size["width"] == pytest.approx(128, abs=3)  # 32 px at 4x
    page.locator("#scale").select_option("2")
    assert page.locator("#zoom .crop").first.bounding_box()["width"] == pytest.approx(64, abs=3)


def test_proposals_are_reached_by_keyboard(page):
    page.locator("#scale").focus()
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    assert page.locator("#zoom").text_content().startswith("Proposal 2")
    before = page.locator("#zoom .crop").first.get_attribute("style")
    page.locator("#scale").select_option("8")
    page.locator(".roi").nth(1).press("ArrowDown")
    assert page.locator("#zoom .crop").first.get_attribute("style") != before


def test_tables_sort_and_filter(page):
    heads = page.locator("table.summary th")
    methods = page.locator("table.summary tbody td:first-child")
    heads.nth(1).click()
    sync_api.expect(methods.last).to_have_text("still")
    heads.nth(1).press("Enter")
    sync_api.expect(methods.first).to_have_text("still")
    page.locator(".filter").fill("clip/1")
    assert page.locator("#images-0 tbody tr").count() == 1
    assert page.locator("#count-0").text_content() == "1 of 3 images"
    page.locator(".filter").fill("")
    page.locator(".metric").select_option("IE")
    # Evenly 20 too bright.
    assert page.locator("#images-0 tbody tr").first.locator("td").nth(3).text_content() == "20.000"


def test_the_plot_and_the_maps_are_there(page):
    assert page.locator(".plot svg").bounding_box()["width"] > 250
    page.locator("#details").scroll_into_view_if_needed()
    assert page.locator("#details h4").all_text_contents() == [
        "Error",
        "Flow to frame 1",
        "Flow to frame 2",
        "Blend mask",
    ]
    widths = page.locator("#details img").evaluate_all("all => all.map((e) => e.naturalWidth)")
    assert widths == [128] * 9
