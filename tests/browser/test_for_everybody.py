"""The panel for everybody: keys alone, names, contrast in both themes (axe-core), and room on a small screen."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from jupyterlab_window import Window, press  # pyright: ignore[reportMissingImports]

pytestmark = pytest.mark.browser

MOST_KEYS = 250  # a person would have given up long before
FOCUSED = "(css) => Boolean(document.activeElement?.closest(css))"
SHORT = {"epochs": 2, "augment": ["flip"], "schedule": "cosine"}
UNFOLD = """
panel.landscapes.choices['size'].value = 9
panel.landscapes.solid.value = False  # drawn sooner
toggles = panel.landscapes.fold, panel.landscapes.glimpses.toggle, panel.landscapes.edges.toggle, panel.samples.stages
toggles += panel.predictions.fold,
for toggle in (*toggles, panel.list.pin):
    toggle.value = True
panel.list.note.value = 'the first one'
panel.comparing.add_runs()
"""
REFUSED = "panel.controls['optimizer'].settings['momentum'].box.value = 2.0"


def tab_to(window: Window, css: str) -> int:
    """Press Tab until the focus is in it; how many times."""
    for count in range(MOST_KEYS):
        if window.page.evaluate(FOCUSED, css):
            return count
        window.page.keyboard.press("Tab")
    raise AssertionError(f"Tab never reaches {css}")


ALL_OF_IT = {"width": 1920, "height": 6000}  # axe-core passes over the contrast of what is scrolled out of sight
ON_SCREEN = "() => { for (const part of [document.documentElement, document.body]) part.style.height = '100%' }"
CONTRASTS = 50  # that it is to have measured at least


def faults(window: Window, **options: Any) -> list[str]:
    """What axe-core finds in the panel, JupyterLab's own rooms aside: the rule, and where it is broken first."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    window.page.evaluate(ON_SCREEN)  # JupyterLab's body has no height, and so, for axe-core, hides all that is in it
    found = axe.run(window.page, ".lab-panel", {"resultTypes": ["violations", "passes"], **options}).response
    measured = [
        node["any"][0]["data"] for rule in found["passes"] if rule["id"] == "color-contrast" for node in rule["nodes"]
    ]
    assert sum("contrastRatio" in (data or {}) for data in measured) >= CONTRASTS
    return [
        f"{rule['help']} ({len(rule['nodes'])}): {node['html'][:160]} {node['failureSummary'][:250]}"
        for rule in found["violations"]
        for node in rule["nodes"][:3]
    ]


@pytest.fixture
def themed(panel: Window) -> Iterator[Window]:
    """The panel in a window that is as it was afterwards."""
    size = panel.page.viewport_size
    yield panel
    panel.page.set_viewport_size(size)


def test_keys_alone_lead_from_the_start_to_the_result(panel: Window) -> None:
    panel.recipe(epochs=1)
    keys = panel.page.keyboard
    panel.page.locator(".lab-preset select").focus()
    assert tab_to(panel, ".lab-optimizer") > 5
    before = panel.page.locator(".lab-optimizer select").input_value()
    keys.press("ArrowDown")
    panel.page.wait_for_function("b => document.querySelector('.lab-optimizer select').value !== b", arg=before)
    chosen = panel.page.locator(".lab-optimizer select").input_value()
    tab_to(panel, ".lab-train")
    keys.press("Enter")
    panel.state("finished")
    tab_to(panel, ".lab-run-table")
    assert "1 of 1" in panel.page.evaluate("() => document.activeElement.innerText")
    assert panel.kernel("print(panel.runs[0].recipe.optimizer.name)") == chosen != before
    assert panel.errors == []


def test_axe_finds_nothing_to_mend_in_either_theme(themed: Window) -> None:
    themed.page.set_viewport_size(ALL_OF_IT)
    themed.recipe(**SHORT)
    for name in ("about-activation", "health", "compare", "choose", "train"):
        press(themed, name)
    themed.state("finished")
    themed.kernel(UNFOLD)
    for awaited in (
        ".lab-landscape .js-plotly-plot",
        ".lab-glimpse",
        ".lab-side-1 img",
        ".lab-predictions .annotation",
    ):
        themed.page.wait_for_selector(awaited)
    themed.kernel(REFUSED)
    themed.page.wait_for_selector(".lab-refused .lab-fault")
    assert faults(themed) == []
    themed.command("apputils:change-theme", {"theme": "JupyterLab Dark"})
    themed.page.wait_for_function("() => document.body.dataset.jpThemeLight === 'false'")
    assert faults(themed, runOnly=["color-contrast"]) == []


TIGHT = """() => [...document.querySelectorAll('.lab-panel button')]
  .filter(button => button.offsetParent && button.scrollWidth > button.clientWidth + 1)
  .map(button => button.innerText)"""
PLACES = """() => ['.lab-controls', '.lab-head', '.lab-main', '.lab-more'].map(css => {
  const { x, y, width, height } = document.querySelector(css).getBoundingClientRect();
  return { x, y, right: x + width, bottom: y + height } })"""
TO_THE_END = "() => document.querySelector('.lab-code').scrollIntoView({ block: 'end' })"
# What is drawn meanwhile moves the end: it is scrolled to until nothing has moved for ten frames.
STAYS = f"""([place, most]) => {{ ({TO_THE_END})();
  const places = ({PLACES})(), now = JSON.stringify(places), {{ y }} = places[place];
  window.stillFor = now === window.lastPlaces ? (window.stillFor ?? 0) + 1 : 0;
  window.lastPlaces = now;
  return window.stillFor >= 10 && 0 < y && y < most && places }}"""


def places_at_the_end(window: Window, place: int, most: int) -> list[dict[str, float]]:
    """Of PLACES, once the one of them stands still within so many pixels of the top, its upper edge in view."""
    return window.page.wait_for_function(STAYS, arg=[place, most]).json_value()


def test_a_small_screen_has_room_for_all_and_a_wide_one_for_two_columns(themed: Window) -> None:
    themed.page.set_viewport_size({"width": 1280, "height": 800})  # the list of files is open beside it
    themed.recipe(epochs=1, augment=["flip"])
    press(themed, "train")
    themed.state("finished")
    assert themed.page.evaluate(TIGHT) == []
    rows = themed.page.evaluate("() => document.querySelector('.lab-head .lab-toolbar').clientHeight")
    assert rows < 40  # one row of buttons
    controls, head, main, more = places_at_the_end(themed, 1, 200)
    assert controls["right"] < head["x"]
    assert main["bottom"] <= more["y"]
    themed.page.set_viewport_size({"width": 853, "height": 800})
    themed.page.wait_for_function(f"() => {{ const [controls, head] = ({PLACES})(); return controls.bottom < head.y }}")
    controls, head, *_ = themed.page.evaluate(PLACES)
    assert controls["bottom"] - controls["y"] < 400, "Below each other the controls leave room for the results"
    themed.page.set_viewport_size({"width": 1920, "height": 1080})
    themed.page.wait_for_function(f"() => {{ const [, , main, more] = ({PLACES})(); return main.right < more.x }}")
    places_at_the_end(themed, 2, 300)
    themed.page.wait_for_function(f"() => ({TIGHT})().length === 0")


@pytest.mark.parametrize("typed", ["abc", "0,5", "1e"])
def test_what_is_no_number_is_said_where_it_was_typed(panel: Window, typed: str) -> None:
    box, said = panel.page.locator(".lab-lr input[type=number]"), panel.page.locator(".lab-lr .lab-no-number")
    box.click(click_count=3)
    panel.page.keyboard.type(typed)
    panel.page.keyboard.press("Tab")
    said.wait_for()
    assert said.inner_text().endswith("not part of a number: left out.")
    panel.kernel("pass")  # what the kernel answers to the first number would fall upon the second
    box.fill("0.25")
    panel.page.keyboard.press("Tab")
    said.wait_for(state="detached")
    assert panel.kernel("print(panel.recipe.optimizer.lr)") == "0.25"
