"""Headless Chromium for the tests of pages."""

import os
import shutil
import sys
from collections.abc import Iterator

import pytest


def find_chromium() -> str | None:
    """The path of a Chromium, or None."""
    # The last one is what `make test` fetches (tools/setup_env.sh).
    names = ("chromium", "chromium-browser", "google-chrome", f"{sys.prefix}/chromium/run")
    return os.environ.get("ZOOMIN_CHROMIUM") or next(filter(None, map(shutil.which, names)), None)


@pytest.fixture(scope="session")
def browser() -> Iterator:
    """Headless Chromium; the test is skipped where there is none, with what to install."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="needs the package playwright")
    path = find_chromium()
    if path is None:
        pytest.skip("no Chromium: apt install chromium, or set ZOOMIN_CHROMIUM")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()
