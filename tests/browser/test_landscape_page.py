"""A landscape's page in Chromium: it asks for its own files only, replays the runs, and turns surfaces together."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page
from small_runs import SMALL, TINY_CNN

from lab.followed import follow
from lab.landscape_folder import save
from lab.landscape_scenes import scenes_of
from lab.views import Lens, View

pytestmark = pytest.mark.browser
LENGTHS = "name => document.getElementById(name).data.filter(trace => /scatter/.test(trace.type)).map(t => t.x.length)"

RANGES = """() => [...Object.values(document.getElementById("surfaces")._fullLayout.scene.zaxis.range),
  document.getElementById("contours")._fullLayout.coloraxis.cmin]"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs, each with a surface of its own."""
    recipes = [SMALL.changed(model={**TINY_CNN, "norm": "batch"}, optimizer=name) for name in ("sgd", "adam")]
    lens = Lens(samples=40)
    runs = [follow(recipe, lens, name=recipe.optimizer.name, progress=False, device="cpu") for recipe in recipes]
    folder = tmp_path_factory.mktemp("landscape") / "page"
    save(folder, "two", scenes_of(runs, View(size=5, lens=lens), lambda done, of: None), runs)
    return folder


@pytest.fixture
def page(chromium: Browser, folder: Path) -> Iterator[Page]:
    page = chromium.new_page(viewport={"width": 1300, "height": 1000})
    asked, errors = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(f"file://{folder}/index.html")
    page.wait_for_selector("body[data-state=drawn]", timeout=60_000)
    yield page
    page.close()
    assert errors == []
    assert {url.rsplit("/", 1)[1] for url in asked if not url.startswith("data:")} == {"index.html", "plotly.min.js"}


def test_the_slider_shows_the_runs_as_they_were(page: Page) -> None:
    whole = page.evaluate(LENGTHS, "contours")
    page.locator("#step").focus()
    page.keyboard.press("ArrowLeft")
    page.wait_for_function(f"all => ({LENGTHS})('contours').every((length, i) => length === all[i] - 1)", arg=whole)
    page.locator("#step").fill("1")
    assert min(whole) > 2
    page.wait_for_function(f"({LENGTHS})('contours').every(length => length === 2)")
    page.wait_for_function(f"({LENGTHS})('surfaces').every(length => length === 2)")
    assert page.inner_text("#place") == f"step 1 of {page.get_attribute('#step', 'max')}"
    assert page.get_attribute("#step", "aria-valuetext") == page.inner_text("#place")
    assert page.inner_text(".now >> nth=0").startswith("step ")
    assert page.locator(".run").count() == 2
    assert page.locator(".images img").count() == 20
    assert page.locator(".modebar-btn").count() > 0
    assert page.locator(".modebar-btn[data-title^=Share]").count() == 0  # it would send the picture to another host


EYE = """() => Math.hypot(
  ...Object.values(document.getElementById("surfaces")._fullLayout.scene._scene.getCamera().eye))"""
LOSSES = """name => document.getElementById(name)._fullData.filter(trace => /surface|contour/.test(trace.type))
  .map(trace => Array.from(trace.z, row => Array.from(row)).flat())"""


def test_surfaces_are_replayed_on_one_scale_and_named(page: Page) -> None:
    last, ranges = {name: page.evaluate(LOSSES, name) for name in ("surfaces", "contours")}, page.evaluate(RANGES)
    page.locator("#step").fill("0")
    page.wait_for_selector("body[data-step='0']")
    for name, seen in last.items():
        first = page.evaluate(LOSSES, name)
        assert len(first) == 2
        assert all(max(abs(a - b) for a, b in zip(*pair, strict=True)) > 0.01 for pair in zip(first, seen, strict=True))
    assert page.evaluate(RANGES) == pytest.approx(ranges)
    assert page.inner_text("#said p >> nth=0").startswith("sgd: surface through step 0: 5x5 points: ")
    page.locator("#step").fill(page.get_attribute("#step", "max") or "")
    page.wait_for_function("document.body.dataset.step === document.getElementById('step').max")
    for name, seen in last.items():
        for again, before in zip(page.evaluate(LOSSES, name), seen, strict=True):
            assert again == pytest.approx(before, abs=1e-5)


def test_a_replay_runs_to_the_end(page: Page) -> None:
    page.locator("#step").fill("0")
    page.locator("#play").press("Enter")
    page.wait_for_function("document.getElementById('step').value === document.getElementById('step').max")
    page.wait_for_function("document.getElementById('play').textContent.includes('Replay')")


def test_the_wheel_scrolls_past_a_surface_and_zooms_with_ctrl(page: Page) -> None:
    eye = page.evaluate(EYE)
    page.locator("#surfaces #scene").hover()
    page.mouse.wheel(0, 120)
    page.wait_for_function("scrollY > 50")
    assert page.evaluate(EYE) == eye
    page.locator("#surfaces #scene").hover()
    page.keyboard.down("Control")
    page.mouse.wheel(0, 120)
    page.wait_for_function(f"eye => Math.abs(({EYE})() / eye - 1) > 0.05", arg=eye)
    page.keyboard.up("Control")


def test_surfaces_turn_together(page: Page) -> None:
    turned = "{'scene2.camera': {eye: {x: 2, y: 0.5, z: 0.25}}}"
    page.evaluate(f"() => Plotly.relayout(document.getElementById('surfaces'), {turned})")
    page.wait_for_function("document.getElementById('surfaces')._fullLayout.scene.camera.eye.x === 2")
