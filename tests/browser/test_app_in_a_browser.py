"""`lab app` as a person meets it: an address in the terminal, the panel in a browser, a run in the folder it named."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest
from jupyterlab_window import free_port  # pyright: ignore[reportMissingImports]
from playwright.sync_api import Browser, expect

import lab

pytest.importorskip("voila", reason="lab app is served by Voila: pip install 'lab[app]'")
pytestmark = pytest.mark.browser
MINE = '''
import lab, torch

@lab.activations.add
def mine():
    """The positive part. f(x) = max(0, x). Source: this test."""
    return torch.nn.ReLU()
'''


class App(NamedTuple):
    address: str
    process: int

    @property
    def kernels(self) -> list[int]:
        children = psutil.Process(self.process).children(recursive=True)
        return [each.pid for each in children if each.status() != psutil.STATUS_ZOMBIE]


@pytest.fixture
def app(tmp_path: Path) -> Iterator[App]:
    (tmp_path / "mine.py").write_text(MINE)
    words = ["app", "--json", "--folder", "kept", "--options", "mine.py", "--port", str(free_port())]
    places = {name: str(tmp_path / name) for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR")}
    process = subprocess.Popen(
        [sys.executable, "-m", "lab_command", *words],
        cwd=tmp_path,
        env={**os.environ, **places, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    try:
        yield App(json.loads(process.stdout.readline())["address"], process.pid)
    finally:
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=120)
    assert (process.returncode, said) == (0, ""), "the terminal stays quiet"


def test_a_person_opens_the_app_trains_and_finds_the_run(app: App, chromium: Browser, tmp_path: Path) -> None:
    page = chromium.new_page(viewport={"width": 1400, "height": 1000})
    page.set_default_timeout(120_000)
    refused = page.goto(app.address[:-1] + ("a" if app.address[-1] != "a" else "b"))
    assert refused
    assert "/login" in page.url or refused.status == 403
    assert page.locator(".lab-panel").count() == 0
    asked, missed = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda said: missed.append(said.text) if said.type == "error" else None)
    page.goto(app.address)
    page.locator(".lab-train").click()
    expect(page.locator("[data-state=finished]").first).to_be_attached(timeout=120_000)
    page.wait_for_function(
        "() => [...document.querySelectorAll('.js-plotly-plot')].some(p => p.data?.some(t => t.y?.length > 2))"
    )
    (run,) = (tmp_path / "kept").glob("[!.]*")
    assert lab.open_run(run).status == "finished"
    assert page.locator(".lab-panel select").get_by_text("mine", exact=True).count()
    assert [url for url in asked if not url.startswith(("http://127.0.0.1:", "data:", "blob:"))] == []
    assert missed == []
    assert len(app.kernels) == 1
    page.goto("about:blank")
    late = time.monotonic() + 60
    while app.kernels and time.monotonic() < late:
        page.wait_for_timeout(50)
    assert app.kernels == [], "a page that is left ends its kernel"
    page.close()
