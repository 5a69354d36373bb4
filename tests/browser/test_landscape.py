"""Loss landscapes in the panel, in a real browser: two runs on one plane, in 3-D and as contours."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from jupyterlab_window import LONG, Window  # pyright: ignore[reportMissingImports]
from playwright.sync_api import TimeoutError as TookTooLong

pytestmark = pytest.mark.browser

PLOT = "[...document.querySelectorAll('.lab-landscape .js-plotly-plot')].find(e => e.offsetParent)"  # the one shown
SURFACES = f"""() => ({PLOT}?.data ?? [])
  .filter(t => ['surface', 'contour'].includes(t.type)).map(t => ({{ type: t.type, size: t.z.length }}))"""
COMPLETE = f"""n => {{ const all = ({SURFACES})(), words = document.querySelector('.lab-trust')?.textContent ?? '';
  return all.length === n && words.split('33x33 points, all exact').length === n + 1 }}"""
CAMERAS = f"""() => {{ const {{ scene, scene2 }} = {PLOT}._fullLayout;
  return [scene, scene2].map(s => s.camera.eye.x) }}"""
SUMS = f"""() => ({PLOT}?.data ?? []).filter(t => ['surface', 'contour'].includes(t.type))
  .map(t => t.z.reduce((sum, row) => row.reduce((all, z) => all + z, sum), 0))"""
ON_ONE_PLANE = """name => { const words = document.querySelector('.lab-trust').innerText;
  return words.includes(name) && words.split('Joint plane of the paths').length === 3 }"""
REPLAYED = "document.querySelector('.lab-replay .lab-detail').innerText.split(' of ')[0]"
LOOKED_AT = "document.querySelector('.lab-trust').innerText.match(/step [0-9,]+/)[0]"
AXIS = "() => document.querySelector('.lab-results .js-plotly-plot').layout.yaxis.type"
PAIRS = {
    "skips": [
        {"epochs": 3000, "model": {"name": "resnet", "depth": 1, "width": 4, "skip": skip}} for skip in (True, False)
    ],
    "optimizers": [{**LONG, "optimizer": optimizer} for optimizer in ("sgd", "adam")],
}
NAMES = {"skips": "2 skip False", "optimizers": "2 adam"}  # of the second runs
EYE = f"() => Math.hypot(...Object.values({PLOT}._fullLayout.scene._scene.getCamera().eye))"
PLACE = f"""() => {{ const frame = {PLOT}.querySelector('#scene').getBoundingClientRect();
  return [frame.x + frame.width / 2, frame.y + frame.height / 2] }}"""


def unfold(window: Window) -> None:
    window.page.locator(".lab-landscape button.lab-fold").first.click()
    window.page.wait_for_selector(".lab-landscape-solid")


def train(window: Window, recipes: Sequence[dict[str, Any]]) -> None:
    for changes in recipes:
        window.recipe(**changes)
        window.page.locator(".lab-train").click()
        window.page.wait_for_timeout(300)


def two_runs(window: Window) -> None:
    train(window, [{**changes, "epochs": 40} for changes in PAIRS["optimizers"]])


def picture(window: Window, name: str) -> None:
    """Kept where a person wants to look at it, once all of it has been drawn."""
    if folder := os.environ.get("LAB_SCREENSHOTS"):
        window.page.wait_for_timeout(2500)
        window.page.locator(".lab-landscape").screenshot(path=Path(folder, f"{name}.png"))


def turned(window: Window, before: float) -> bool:
    """Whether dragging the first surface turned both."""
    window.page.evaluate(f"() => {PLOT}.scrollIntoView()")
    x, y = window.page.evaluate(PLACE)
    window.page.mouse.move(x, y)
    window.page.mouse.down()
    window.page.mouse.move(x + 90, y, steps=8)
    window.page.mouse.up()
    try:
        both = f"old => ({CAMERAS})().every(x => Math.abs(x - old) > 0.05)"
        window.page.wait_for_function(both, arg=before, timeout=15_000)
    except TookTooLong:
        return False
    return True


def wheel(window: Window, *keys: str) -> None:
    """One notch down over the first surface, while keys are held."""
    x, y = window.page.evaluate(PLACE)
    window.page.mouse.move(x, y)
    for key in keys:
        window.page.keyboard.down(key)
    window.page.mouse.wheel(0, 120)
    for key in keys:
        window.page.keyboard.up(key)


def test_the_wheel_scrolls_past_a_surface_and_zooms_with_ctrl(panel: Window) -> None:
    unfold(panel)
    train(panel, [{"epochs": 5}])
    panel.page.wait_for_function(COMPLETE, arg=1)
    panel.page.evaluate(f"() => {PLOT}.scrollIntoView({{ block: 'center' }})")
    panel.page.wait_for_timeout(1000)
    eye, before = panel.page.evaluate(EYE), panel.page.evaluate(PLACE)
    wheel(panel)
    panel.page.wait_for_function(f"y => ({PLACE})()[1] < y - 50", arg=before[1])
    assert panel.page.evaluate(EYE) == eye
    wheel(panel, "Control")
    panel.page.wait_for_function(f"eye => Math.abs(({EYE})() / eye - 1) > 0.05", arg=eye)
    assert panel.errors == []


def test_two_runs_grow_on_one_plane_and_turn_together(panel: Window) -> None:
    unfold(panel)
    assert "No landscape yet" in panel.page.locator(".lab-landscape").inner_text()
    two_runs(panel)
    panel.page.wait_for_function(COMPLETE, arg=2)
    assert [surface["type"] for surface in panel.page.evaluate(SURFACES)] == ["surface", "surface"]
    words = panel.page.locator(".lab-trust").inner_text()
    assert words.count("Joint plane of the paths") == 2
    assert "of training" in panel.page.locator(".lab-landscape").inner_text()
    panel.page.wait_for_timeout(1500)
    picture(panel, "landscape-light-3d")
    before = panel.page.evaluate(CAMERAS)[0]
    if not turned(panel, before):  # the page moved under the mouse when a picture was drawn: a person tries again
        assert turned(panel, before)
    first, second = panel.page.evaluate(CAMERAS)
    assert first == pytest.approx(second)
    assert panel.errors == []


def test_contours_follow_the_theme_and_a_fold_ends_the_work(panel: Window) -> None:
    unfold(panel)
    two_runs(panel)
    panel.page.wait_for_function(COMPLETE, arg=2)
    panel.page.locator("button.lab-landscape-solid").click()
    panel.page.wait_for_function(f"() => ({SURFACES})().every(s => s.type === 'contour')")
    picture(panel, "landscape-light-contour")
    panel.command("apputils:change-theme", {"theme": "JupyterLab Dark"})
    panel.page.wait_for_function("() => document.body.dataset.jpThemeLight === 'false'")
    picture(panel, "landscape-dark-contour")
    panel.page.locator("button.lab-landscape-solid").click()
    panel.page.wait_for_function(f"() => ({SURFACES})().every(s => s.type === 'surface')")
    picture(panel, "landscape-dark-3d")
    panel.command("apputils:change-theme", {"theme": "JupyterLab Light"})
    panel.page.locator("button.lab-landscape-details").press("Enter")
    panel.page.wait_for_selector(".lab-all-words")
    train(panel, [{"optimizer": {"name": "sgd", "lr": 1e20}, "epochs": 5}])
    panel.page.get_by_text("3 sgd(lr=1e+20), epochs 5 diverged: not in the plane").wait_for()
    assert [surface["type"] for surface in panel.page.evaluate(SURFACES)] == ["surface", "surface"]
    panel.page.locator(".lab-landscape button.lab-fold").first.click()
    panel.page.wait_for_selector(".lab-landscape-solid", state="hidden")
    assert panel.kernel("print(panel.landscapes.surveyor.on.is_set())") == "False"
    assert panel.errors == []


def test_numbers_and_filters_come_on_request_and_all_can_be_saved(panel: Window) -> None:
    unfold(panel)
    panel.recipe(optimizer="sgd", epochs=10)
    panel.page.locator(".lab-train").click()
    panel.page.wait_for_function(COMPLETE, arg=1)
    panel.page.locator(".lab-landscape-measure").click()
    panel.page.wait_for_selector(".lab-gauge")
    panel.page.locator(".lab-landscape-glimpses").click()
    panel.page.wait_for_selector(".lab-glimpse .lab-answers img")
    panel.page.locator(".lab-replay .noUi-handle").press("Home")
    panel.page.wait_for_function(f"() => {REPLAYED} === 'step 0' && {LOOKED_AT} === 'step 0'")
    panel.page.locator(".lab-replay").get_by_role("button", name="Play").press("Enter")
    panel.page.wait_for_function(f"() => {REPLAYED} === 'step 200' && {LOOKED_AT} === 'step 200'")
    panel.page.locator(".lab-landscape-save").click()
    panel.page.wait_for_function("() => document.querySelector('.lab-landscape').innerText.includes('Saved as')")
    picture(panel, "landscape-numbers")
    panel.page.locator(".lab-landscape-glimpses").click()
    assert panel.errors == []


@pytest.mark.parametrize("pair", PAIRS)
def test_two_runs_are_seen_side_by_side_on_one_plane_while_both_train(panel: Window, pair: str) -> None:
    unfold(panel)
    if pair == "skips":  # runs long enough for the 5% that are usual would be too long for a test
        panel.kernel("panel.landscapes.share.value = 25")
    train(panel, PAIRS[pair])
    panel.page.wait_for_function(f"() => ({SUMS})().length === 2")
    panel.page.wait_for_function(ON_ONE_PLANE, arg=NAMES[pair])
    before = panel.page.evaluate(SUMS)
    panel.page.wait_for_function(f"old => ({SUMS})().every((sum, run) => sum !== old[run])", arg=before)
    panel.page.locator(".lab-log").click()
    panel.page.wait_for_function(f"() => ({AXIS})() === 'log'")
    picture(panel, f"landscape-{pair}-light")
    panel.command("apputils:change-theme", {"theme": "JupyterLab Dark"})
    panel.page.wait_for_function("() => document.body.dataset.jpThemeLight === 'false'")
    picture(panel, f"landscape-{pair}-dark")
    panel.command("apputils:change-theme", {"theme": "JupyterLab Light"})
    assert panel.kernel("print([run.status for run in panel.runs])") == "['running', 'running']"
    panel.page.locator(".lab-stop").click()
    panel.state("stopped")
    in_3d = f"() => ({SURFACES})().every(surface => surface.type === 'surface')"
    panel.page.wait_for_function(in_3d)  # on a busy machine they were contours until now
    assert panel.errors == []
