"""Loss landscapes in the panel, in a real browser: two runs on one plane, while they train and afterwards."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from jupyterlab_window import Window  # pyright: ignore[reportMissingImports]

pytestmark = pytest.mark.browser

PLOT = "[...document.querySelectorAll('.lab-landscape .js-plotly-plot')].find(e => e.offsetParent)"  # the one shown
SURFACES = f"""() => ({PLOT}?.data ?? [])
  .filter(t => ['surface', 'contour'].includes(t.type)).map(t => ({{ type: t.type, size: t.z.length }}))"""
COMPLETE = f"n => {{ const all = ({SURFACES})(); return all.length === n && all.every(t => t.size === 33) }}"
CAMERAS = f"""() => {{ const {{ scene, scene2 }} = {PLOT}._fullLayout;
  return [scene, scene2].map(s => s.camera.eye.x) }}"""
GROW = """before => [0, 4].every(
  i => document.querySelector('.lab-results .js-plotly-plot').data[2 + i].y.length > before[i])"""
SAYS = "words => document.querySelector('.lab-progress .lab-status')?.textContent === words"
PLACE = f"""() => {{ const frame = {PLOT}.querySelector('#scene').getBoundingClientRect();
  return [frame.x + frame.width / 2, frame.y + frame.height / 2] }}"""


def unfold(window: Window) -> None:
    window.page.locator(".lab-landscape button.lab-fold").click()
    window.page.wait_for_selector(".lab-landscape-solid")


def two_runs(window: Window) -> None:
    for optimizer in ("sgd", "adam"):
        window.recipe(optimizer=optimizer, epochs=40)
        window.page.locator(".lab-train").click()
        window.page.wait_for_timeout(300)


def two_networks(window: Window) -> None:
    for skip in (True, False):
        window.recipe(model={"name": "resnet", "depth": 1, "width": 8, "skip": skip}, epochs=5000)
        window.page.locator(".lab-train").click()
        window.page.wait_for_timeout(300)


def picture(window: Window, name: str, of: str = ".lab-landscape") -> None:
    """Kept where a person wants to look at it."""
    if folder := os.environ.get("LAB_SCREENSHOTS"):
        window.page.locator(of).screenshot(path=Path(folder, f"{name}.png"))


def test_two_runs_grow_on_one_plane_and_turn_together(panel: Window) -> None:
    unfold(panel)
    assert "No landscape yet" in panel.page.locator(".lab-landscape").inner_text()
    two_runs(panel)
    panel.page.wait_for_function(COMPLETE, arg=2)
    assert [surface["type"] for surface in panel.page.evaluate(SURFACES)] == ["surface", "surface"]
    words = panel.page.locator(".lab-trust").inner_text()
    assert words.count("Joint plane of the paths") == 2
    assert "of the time of training" in panel.page.locator(".lab-landscape").inner_text()
    panel.page.wait_for_timeout(1500)
    picture(panel, "landscape-light-3d")
    panel.page.evaluate(f"() => {PLOT}.scrollIntoView()")
    x, y = panel.page.evaluate(PLACE)
    before = panel.page.evaluate(CAMERAS)
    panel.page.mouse.move(x, y)
    panel.page.mouse.down()
    panel.page.mouse.move(x + 90, y, steps=8)
    panel.page.mouse.up()
    panel.page.wait_for_function(f"old => ({CAMERAS})().every(x => Math.abs(x - old) > 0.05)", arg=before[0])
    first, second = panel.page.evaluate(CAMERAS)
    assert first == pytest.approx(second)
    assert panel.errors == []


def test_contours_follow_the_theme_and_a_fold_ends_the_work(panel: Window) -> None:
    unfold(panel)
    two_runs(panel)
    panel.page.wait_for_function(COMPLETE, arg=2)
    panel.page.locator("button.lab-landscape-solid").click()
    panel.page.wait_for_function(f"() => ({SURFACES})().every(s => s.type === 'contour')")
    panel.page.wait_for_timeout(1000)
    picture(panel, "landscape-light-contour")
    panel.command("apputils:change-theme", {"theme": "JupyterLab Dark"})
    panel.page.wait_for_function("() => document.body.dataset.jpThemeLight === 'false'")
    panel.page.wait_for_timeout(2000)
    picture(panel, "landscape-dark-contour")
    panel.page.locator("button.lab-landscape-solid").click()
    panel.page.wait_for_function(f"() => ({SURFACES})().every(s => s.type === 'surface')")
    panel.page.wait_for_timeout(2000)
    picture(panel, "landscape-dark-3d")
    panel.command("apputils:change-theme", {"theme": "JupyterLab Light"})
    panel.page.locator(".lab-landscape button.lab-fold").click()
    panel.page.wait_for_selector(".lab-landscape-solid", state="hidden")
    assert panel.kernel("print(panel.landscapes.surveyor.on.is_set())") == "False"
    assert panel.errors == []


def test_two_networks_train_in_turns_while_their_surfaces_grow_beside_each_other(panel: Window) -> None:
    unfold(panel)
    panel.kernel("panel.landscapes.share.value = 25; panel.landscapes.choices['samples'].value = 128")
    two_networks(panel)
    panel.page.wait_for_function(SAYS, arg="Training runs 1 and 2")
    panel.page.wait_for_function(f"() => ({SURFACES})().length === 2")
    panel.page.wait_for_function(GROW, arg=[trace["points"] for trace in panel.traces()])
    assert panel.page.locator(".lab-progress .lab-status").inner_text() == "Training runs 1 and 2"
    assert panel.page.locator(".lab-trust").inner_text().count("Joint plane of the paths") == 2
    panel.page.wait_for_timeout(3000)
    picture(panel, "turns-light", of=".lab-results")
    panel.command("apputils:change-theme", {"theme": "JupyterLab Dark"})
    panel.page.wait_for_function("() => document.body.dataset.jpThemeLight === 'false'")
    panel.page.wait_for_timeout(3000)
    picture(panel, "turns-dark", of=".lab-results")
    panel.command("apputils:change-theme", {"theme": "JupyterLab Light"})
    panel.page.locator(".lab-stop").click()
    panel.state("stopped")
    panel.kernel("panel.landscapes.share.value = 5; panel.landscapes.choices['samples'].value = 512")
    assert panel.errors == []
