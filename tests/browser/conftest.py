"""One JupyterLab server and one page in Chromium for all browser tests."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest
from jupyterlab_window import CHROMIUM, ROOT, Server, Window
from playwright.sync_api import Browser, sync_playwright

from lab.doctor import browser as find_browser

AS_IT_WAS = """
panel.clear()
panel.finding.hide()
panel.samples.drop()
toggles = [*panel.toolbar.toggles.values(), panel.predictions.fold, panel.samples.pin, panel.samples.stages]
toggles += [panel.landscapes.details, panel.landscapes.fold, panel.landscapes.glimpses.toggle]
toggles += [panel.landscapes.edges.toggle, panel.controls['activation'].about.button, panel.list.pin]
for toggle in toggles:
    toggle.value = False
panel.landscapes.share.value = 5
panel.landscapes.choices['size'].value, panel.landscapes.solid.value = 33, True
"""


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    home = tmp_path_factory.mktemp("jupyter")
    shutil.copytree(ROOT / "notebooks", home / "root" / "notebooks", ignore=shutil.ignore_patterns("runs", ".*"))
    running = Server(home / "root", home)
    try:
        yield running.wait()
    finally:
        running.close()


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    path = find_browser()
    assert path, "The browser tests need Chromium: apt-get install chromium"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, headless=True, args=CHROMIUM)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def window(chromium: Browser, server: Server) -> Iterator[Window]:
    context = chromium.new_context(
        viewport={"width": 1400, "height": 1000}, permissions=["clipboard-read", "clipboard-write"]
    )
    context.set_default_timeout(90_000)
    yield Window(context.new_page(), server)
    context.close()


@pytest.fixture
def panel(window: Window) -> Iterator[Window]:
    """The panel's notebook, open and run: the same page for all tests, brought back to its empty state."""
    if window.page.locator(".lab-panel").count() == 0:
        window.open()
        window.run_all()
    window.kernel("panel.recipe = lab.Recipe()")
    window.errors.clear()
    window.refused.clear()
    yield window
    refused = [*window.refused]
    if window.page.locator(".lab-panel").count():
        window.command("apputils:change-theme", {"theme": "JupyterLab Light"})
        window.kernel("panel.stop()")
        window.until("all(job.done.is_set() for job in panel.jobs) and not panel.comparing.busy")
        window.kernel(AS_IT_WAS)
        window.page.wait_for_selector(".lab-empty")
    assert refused == []
